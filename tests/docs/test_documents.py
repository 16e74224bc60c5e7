"""Every Python block of the README and the docs runs, in order, in one namespace for each document.

A comment ``<!--python … -->`` is code too: what a reader need not see. A local server stands in for OpenAI.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ai_infra.testing.openai_server import OpenAIServer

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "tests/documented").glob("*.md")]
)
BLOCK = re.compile(r"^(?:```python\n(.*?)^```|<!--python\n(.*?)^-->)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def blocks(document: Path) -> list[tuple[int, str]]:
    text = document.read_text(encoding="utf-8")
    return [(text[: m.start()].count("\n") + 1, m[1] or m[2]) for m in BLOCK.finditer(text)]


@pytest.fixture
def openai(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[OpenAIServer]:
    with OpenAIServer(dimensions=1536) as server:  # those of text-embedding-3-small
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.chdir(tmp_path)
        yield server


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_the_code_in_it_runs(document: Path, openai: OpenAIServer) -> None:
    namespace: dict[str, object] = {"__name__": document.stem}
    for line, code in blocks(document):
        exec(compile("\n" * line + code, str(document), "exec"), namespace)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_its_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_there_is_code_to_run() -> None:
    assert sum(len(blocks(document)) for document in DOCUMENTS) >= 10
