"""Both ends of the ranges that users may install: ``python tools/dependencies.py dist/ai_infra_memory-….whl``.

Installs the wheel with all its extras twice, in an environment of its own each time: with the lowest version of each
package that ``pyproject.toml`` allows, and with the newest that there is. In each it runs the tests that touch those
packages. Any failure ends it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RANGE = re.compile(r"(?P<name>[\w-]+(\[[\w,]+\])?)>=(?P<lowest>[\d.]+),<\d+")
TESTS = (
    "tests/llm",
    "tests/embeddings",
    "tests/memory/test_messages.py",
    "tests/agent/test_page.py",
    "tests/agent/test_tools.py",
    "tests/conversation/test_recall_tool.py",
    "tests/postgres/test_connections.py",
    "tests/postgres/test_sessions.py",
)


def ranges() -> dict[str, str]:
    """The packages of our extras and their lowest versions."""
    needs = [need for extra in PROJECT["project"]["optional-dependencies"].values() for need in extra]
    found = [RANGE.fullmatch(need) for need in needs if not need.startswith(PROJECT["project"]["name"])]
    return {match["name"]: match["lowest"] for match in found if match is not None}


def run_tests(wheel: Path, place: Path, pins: list[str]) -> None:
    """Install the wheel with these versions, say what came, and test."""
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", f"{wheel.absolute()}[all]", *pins], check=True)
    tools = [need for need in PROJECT["dependency-groups"]["test"] if isinstance(need, str)]
    ours = {re.split(r"[\[>]", name)[0] for name in ranges()}
    tools = [need for need in tools if re.split(r"[\[>]", need)[0] not in ours]
    subprocess.run([*pip, "install", "--quiet", *tools], check=True)
    listed = subprocess.run([*pip, "list"], capture_output=True, text=True, check=True).stdout.splitlines()
    print(*(" ".join(line.split()) for line in listed if line.split()[0] in ours), sep=", ", flush=True)
    subprocess.run([python, "-m", "pytest", "-n", "2", *TESTS], cwd=ROOT, check=True)


def main(wheel: Path) -> None:
    """Do both."""
    lowest = [f"{name}=={version}" for name, version in ranges().items()]
    with tempfile.TemporaryDirectory() as folder:
        for name, pins in (("lowest", lowest), ("newest", [])):
            print(f"{name}: {' '.join(pins) or 'whatever is newest'}", flush=True)
            run_tests(wheel, Path(folder) / name, pins)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
