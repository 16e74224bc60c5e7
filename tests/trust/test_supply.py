"""What we are built from: locked, bounded above, from one place, under licences we name."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_what_users_install_is_bounded_above_and_below() -> None:
    project = PROJECT["project"]
    assert project["dependencies"] == []
    for extra, needs in project["optional-dependencies"].items():
        for need in needs:
            assert need.startswith("ai-infra-memory[") or re.search(r">=[\d.]+,<\d+$", need), (extra, need)
    (maturin,) = PROJECT["build-system"]["requires"]
    assert re.search(r">=[\d.]+,<\d+$", maturin)
    assert PROJECT["tool"]["maturin"]["locked"] is True


def test_every_tool_of_ours_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins if pin), pins
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    for group in PROJECT["dependency-groups"].values():
        for need in group:
            if isinstance(need, str):
                name = re.match(r"[\w-]+", need)
                assert name is not None
                assert name[0].lower() in pinned, need


def allowed(expression: str, names: set[str]) -> bool:
    """Whether an SPDX expression can be met with these licences."""
    words = re.findall(r"\(|\)|[\w.-]+(?: WITH [\w-]+)?", expression.replace("/", " OR "))
    code = " ".join(
        word if word in "()" else word.lower() if word in ("AND", "OR") else str(word in names)
        for word in words
    )
    return bool(eval(code, {"__builtins__": {}}))


def test_crates_come_from_one_place_each_once_under_licences_we_name() -> None:
    deny = tomllib.loads((ROOT / "deny.toml").read_text(encoding="utf-8"))
    host = re.search(r"^host: (.+)$", run("rustc", "-vV"), re.MULTILINE)
    assert host is not None
    told = run("cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", host[1])
    packages: list[dict[str, Any]] = json.loads(told)["packages"]
    foreign = [package for package in packages if package["source"] is not None]
    assert {package["source"].removeprefix("registry+") for package in foreign} == set(
        deny["sources"]["allow-registry"]
    )
    twice = [name for name, count in Counter(package["name"] for package in packages).items() if count > 1]
    assert not twice
    names = set(deny["licenses"]["allow"])
    assert [p["name"] for p in packages if not allowed(p["license"], names)] == []


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_licences_are_read_right() -> None:
    assert allowed("(MIT OR Apache-2.0) AND Unicode-3.0", {"MIT", "Unicode-3.0"})
    assert not allowed("(MIT OR Apache-2.0) AND Unicode-3.0", {"MIT"})
    assert allowed("GPL-3.0/MIT", {"MIT"})
    assert not allowed("GPL-3.0", {"MIT"})
    assert not allowed("Apache-2.0", {"Apache-2.0 WITH LLVM-exception"})
