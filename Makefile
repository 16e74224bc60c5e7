# The one list of commands. `make demo` and `make test` need Python 3.11, Rust, gcc, make and git, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CARGO_TARGET_DIR ?= target
# Tests share nothing, so they run in several processes; each that meets a database test starts a server of its own.
WORKERS ?= 2
SPREAD := -n $(WORKERS) --dist worksteal
export CARGO_TARGET_DIR

.PHONY: help build demo test test-rust test-python types lint format bench nightly wheel clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# Two layers, so that the demo does not wait for the test tools.
$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade -c constraints.txt pip
	$(PIP) install --quiet -c constraints.txt --group demo
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) install --quiet -c constraints.txt --group dev
	@touch $@

build: $(VENV)/.demo
	@# With no group named, maturin would install all of `dev`.
	VIRTUAL_ENV=$(CURDIR)/$(VENV) PIP_CONSTRAINT=constraints.txt PIP_QUIET=1 \
		$(BIN)/maturin develop --release --quiet --group demo

demo: build  ## the main job on the conversation that ships with the product
	$(BIN)/ai-infra demo

test: $(VENV)/.dev build lint types test-rust test-python  ## everything CI runs

test-rust:  ## the core's own tests
	cargo test --quiet --locked --release -p ai-infra-core

test-python:  ## pytest: properties, contracts, executed docs
	$(BIN)/python -m pytest $(SPREAD)

types:  ## mypy, and the stubs of the native module against the binary
	$(BIN)/mypy
	$(BIN)/stubtest ai_infra._core --ignore-disjoint-bases

lint:  ## ruff, rustfmt, clippy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cargo fmt --all --check
	cargo clippy --quiet --locked --release --all-targets -- -D warnings

format:  ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt --all

bench: $(VENV)/.dev build  ## counting and fitting beside their peers; docs/ names the scripts for the rest
	$(PIP) install --quiet -r benches/requirements.txt
	$(BIN)/python -m benches.fit.peers
	$(BIN)/python benches/tokens/peers.py

nightly: $(VENV)/.dev build wheel  ## the tests of trust, ten times as long, a new user's first hour, lowest and newest dependencies
	AI_INFRA_NIGHTLY=1 $(BIN)/python -m pytest $(SPREAD)
	$(BIN)/python tools/newcomer.py "$$(ls -t dist/*.whl | head -1)"
	$(BIN)/python tools/dependencies.py "$$(ls -t dist/*.whl | head -1)"
	cargo deny --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-deny
	cargo deny check bans licenses sources

wheel: $(VENV)/.demo  ## a wheel for this platform, in dist/
	$(BIN)/maturin build --release --out dist

clean:  ## remove what was built
	rm -rf target dist $(VENV)
