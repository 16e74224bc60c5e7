"""An embedding service that fails half-way or answers nonsense: all is stored or nothing, and the error names the inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ai_infra.embeddings import OpenAIEmbeddings
from ai_infra.errors import EmbeddingError
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.llm.tools.custom import ConversationMemory
from ai_infra.testing import vectors
from ai_infra.testing.contract.conversations import said
from ai_infra.testing.openai_server import OpenAIServer, Reply

TEXTS = [
    f"the {animal} sleeps in the {place}"
    for animal in ("cat", "dog", "owl")
    for place in ("barn", "tree", "sea")
]
MORE = ["a tenth about the fox", "an eleventh about the whale"]

FAULTS: dict[str, tuple[Any, ...]] = {
    # Three texts a request: the second one of three fails, and is tried once more.
    "half-way": (None, Reply.error(500), Reply.error(500)),
    "half-way, refused": (None, Reply.error(400, "no")),
    "half-way, cut off": (None, Reply.raw({"data": None})),
    "fewer": (vectors.fewer,),
    "doubled": (None, vectors.doubled),
    "one more": (None, None, vectors.extra),
    "NaN": (None, None, vectors.nan),
    "infinity": (vectors.infinite,),
    "null": (None, vectors.null),
    "wrong size": (None, vectors.short),
    "no numbers": (None, vectors.empty),
}


class Face:
    """Facts or conversations, through the sync or the async methods."""

    def __init__(self, kind: str, server: OpenAIServer, place: Path, run: Callable[[Any, str], Any]) -> None:
        embedder = OpenAIEmbeddings(
            "m",
            64,
            base_url=server.base_url,
            api_key="sk-test",
            max_inputs=3,
            max_retries=1,
            retry_wait=0.001,
        )
        what, _, where = kind.partition(" ")
        self.facts, self.run = what == "facts", run
        if self.facts:
            path = place / "s.db" if where == "sqlite" else ":memory:"
            self.it: Any = MemoryStore.sqlite(path, embeddings=embedder)
        else:
            options: dict[str, Any] = {"path": place / "c.db"} if where == "sqlite" else {}
            self.it = ConversationMemory(where, embeddings=embedder, **options)  # type: ignore[arg-type]

    def write(self, texts: list[str]) -> None:
        if self.facts:
            self.run(self.it, "put_many")([("a", str(n), {"text": text}) for n, text in enumerate(texts)])
        else:
            self.run(self.it, "index_conversation")("u", "s", said(*texts))

    def texts(self) -> list[str]:
        if self.facts:
            return [item.value["text"] for item in sorted(self.it.list("a"), key=lambda item: int(item.key))]
        found = self.it.get_conversation("u", "s")
        return [] if found is None else [message["content"] for message in found.messages]

    def hits(self) -> list[tuple[str, float]]:
        if self.facts:
            return [
                (item.key, score)
                for item, score in self.run(self.it, "search")("a", "owl in a tree", limit=99)
            ]
        found = self.run(self.it, "search")("u", "owl in a tree", limit=99)
        return [(f"{result.chunk.start} {result.context}", result.score) for result in found]


def sync(it: Any, name: str) -> Any:
    return getattr(it, name)


def async_(it: Any, name: str) -> Any:
    return lambda *args, **options: asyncio.run(getattr(it, "a" + name)(*args, **options))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(
    params=[
        (kind, run)
        for kind in ("facts memory", "facts sqlite", "conversations memory", "conversations sqlite")
        for run in (sync, async_)
    ],
    ids=lambda param: f"{param[0]} {param[1].__name__}",
)
def face(request: pytest.FixtureRequest, server: OpenAIServer, tmp_path: Path) -> Iterator[Face]:
    kind, run = request.param
    made = Face(kind, server, tmp_path, run)
    yield made
    made.it.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_all_or_nothing(server: OpenAIServer, face: Face, fault: str) -> None:
    face.write(TEXTS[:1])
    before = face.hits()
    server.fault(*FAULTS[fault])
    with pytest.raises(EmbeddingError) as caught:
        face.write([*TEXTS, *MORE])
    # The first text was embedded before; of the ten others, those of the bad request are named.
    assert caught.value.inputs
    assert set(caught.value.inputs) <= set(range(10))
    assert f"input {', '.join(map(str, caught.value.inputs))}" in str(caught.value)
    assert (face.texts(), face.hits()) == (TEXTS[:1], before)
    server.clear()
    face.write([*TEXTS, *MORE])
    assert face.texts() == [*TEXTS, *MORE]
    assert "owl" in str(face.it.search("a" if face.facts else "u", "owl in a tree")[0])


def test_reordered_answers_are_put_in_order(server: OpenAIServer, face: Face, tmp_path: Path) -> None:
    server.fault(*[vectors.reordered] * 9)
    face.write(TEXTS)
    (tmp_path / "other").mkdir()
    kind = ("facts" if face.facts else "conversations") + " sqlite"
    server.clear()
    straight = Face(kind, server, tmp_path / "other", face.run)
    straight.write(TEXTS)
    assert face.hits() == straight.hits()
    straight.it.close()


def test_a_failed_question_changes_nothing(server: OpenAIServer, face: Face) -> None:
    face.write(TEXTS)
    for fault in (vectors.nan, vectors.null, vectors.empty, vectors.short):
        server.fault(fault)
        with pytest.raises(EmbeddingError):
            face.hits()
    assert face.texts() == TEXTS
    assert face.hits()
