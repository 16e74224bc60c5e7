"""The tables of ``docs/trust.md`` name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`((?:tests|python)/[\w/]+\.py)(?:::(\w+))?`", TABLE)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_what_it_names_is_there(path: str, name: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    assert not name or re.search(rf"^ *(?:async )?def {name}\(", source, re.MULTILINE)


def test_every_row_is_there() -> None:
    assert [int(row) for row in re.findall(r"^\| (\d+) \|", TABLE, re.MULTILINE)] == list(range(1, 32))
