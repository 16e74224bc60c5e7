"""Hybrid search beside peers, in one run: ``MemoryStore.search`` and the searches of other stores.

    pip install -r benches/requirements.txt
    python benches/store/search.py [--sizes 100 1000 10000] [--dims 384 1536] [--only ours ...]

Every store holds the same texts (about 100 characters, words by Zipf's law) with the same vectors (a mixture of 64
Gaussians, of which each has favourite words) and is asked the same questions, whose vectors an embedder looks up. No
question comes twice. All stores are open at the same time and asked in turn, some questions at a time: on a shared
machine what two of them take in one round can be compared, and what they take at different times cannot. Medians in
microseconds.

``ours`` weighs words and vectors together; the peers search by vector only. It is asked twice: with words of the
mixture the vector is from, which many items have, and with words that no item has, so that the vector decides alone.
That second result is what recall@10 is measured on, against the exact answer. The ratio is that of the fastest peer
store to ours, the median of all rounds. It is the fastest of those with a recall of 0.99 and more (chromadb as it comes
has less in large collections; "wide" looks at four times as many). numpy, hnswlib, usearch and our own index without a
store are no stores: they keep no texts and nothing outlives them. Peers that are not installed are left out.
``namespaces.py`` beside this searches one of many namespaces.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import importlib.util
import json
import pydoc_data.topics
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from writes import loadable

K = 10
ROUND = 25
"""Questions that a store is asked before it is the next one's turn."""
MIXTURE = 64
VOCABULARY = 20_000
STORES = ("sqlite-vec", "chromadb", "chromadb, wide", "langgraph sqlite", "langgraph memory")

Ask = Callable[[int], Sequence[int]]
"""Answers question number n with the numbers of the best items."""


class Data:
    """Texts with their vectors, and questions with theirs."""

    def __init__(self, items: int, dims: int, questions: int, cone: float = 0.0) -> None:
        self._cone = cone
        rng = np.random.default_rng(items + dims)
        counts = collections.Counter(
            word
            for text in pydoc_data.topics.topics.values()
            for word in re.findall("[a-z]{2,}", text.lower())
        )
        words = [word for word, _ in counts.most_common()]
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        made: set[str] = set()
        while len(words) + len(made) < VOCABULARY:
            made.add("".join(rng.choice(syllables, rng.integers(2, 5))))
        words += sorted(made - set(words))
        self._words = np.array(words)
        self._odds = 1 / np.arange(1, len(words) + 1)
        self._odds /= self._odds.sum()
        centres = rng.normal(size=(MIXTURE, dims))
        self._centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        self._favourites = np.array(
            [rng.choice(len(words), 200, replace=False, p=self._odds) for _ in range(MIXTURE)]
        )
        self.vectors, self.texts = self._make(rng, items)
        self.asked, texts = self._make(rng, questions)
        # The last words of a text are its mixture's own.
        self.questions = [" ".join(text.split()[-6:]) for text in texts]
        self.unknown = [f"qxz{n}q wvq{n}z" for n in range(questions)]
        self._known = dict(zip(self.texts, self.vectors, strict=True))
        self._known.update(zip(self.questions, self.asked, strict=True))
        self._known.update(zip(self.unknown, self.asked, strict=True))

    def _make(self, rng: np.random.Generator, count: int) -> tuple[Any, list[str]]:
        of = rng.integers(0, MIXTURE, count)
        dims = self._centres.shape[1]
        vectors = np.empty((count, dims), dtype=np.float32)
        for start in range(0, count, 10_000):
            part = self._centres[of[start : start + 10_000]]
            part = part + rng.normal(size=part.shape) * (0.8 / dims**0.5)
            if self._cone:
                part /= np.linalg.norm(part, axis=1, keepdims=True)
                part = part * (1 - self._cone) ** 0.5 + (self._cone / dims) ** 0.5
            vectors[start : start + 10_000] = part / np.linalg.norm(part, axis=1, keepdims=True)
        common = rng.choice(len(self._words), (count, 10), p=self._odds)
        own = np.take_along_axis(self._favourites[of], rng.integers(0, 200, (count, 7)), axis=1)
        rows = self._words[np.hstack([common, own])]
        # The number keeps texts apart, as names and dates do.
        return vectors, [f"{n} {' '.join(row)}" for n, row in enumerate(rows)]

    def exact(self) -> list[set[int]]:
        """The ten nearest items of every question."""
        found = []
        for start in range(0, len(self.asked), 50):
            scores = self.asked[start : start + 50] @ self.vectors.T
            found += [set(row) for row in np.argpartition(-scores, K - 1, axis=1)[:, :K].tolist()]
        return found

    # An embedder, as every store here takes it.

    def embed_documents(self, texts: Sequence[str]) -> list[Any]:
        return [self._known[text] for text in texts]

    def embed_query(self, text: str) -> Any:
        return self._known[text]


@contextmanager
def ours(data: Data, folder: Path | None, questions: list[str]) -> Iterator[Ask]:
    from ai_infra.llm.memory.store import MemoryStore

    store = (
        MemoryStore.sqlite(folder / "ours.db", embeddings=data) if folder else MemoryStore(embeddings=data)
    )
    with store:
        rows = [("bench", str(n), {"text": text}) for n, text in enumerate(data.texts)]
        for start in range(0, len(rows), 5_000):
            store.put_many(rows[start : start + 5_000])
        before, memory = time.perf_counter(), _resident()
        store.search("bench", data.unknown[0])
        print(f"  first search {time.perf_counter() - before:.2f} s, its index {_resident() - memory:.0f} MB")
        if len(rows) >= 200_000:
            _settle(lambda: store.search("bench", data.unknown[0]))
        yield lambda n: [int(hit.key) for hit in store.search("bench", questions[n], limit=K)]


def _resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _settle(ask: Callable[[], Any]) -> None:
    """Wait until the graph that is built in the background serves: the processor is idle again."""
    start = time.perf_counter()
    while time.perf_counter() - start < 1_800:
        used = time.process_time()
        time.sleep(2)
        if time.process_time() - used < 0.2:
            break
    ask()
    print(f"  graph built {time.perf_counter() - start:.0f} s later, the process has {_resident():.0f} MB")


def langgraph_index(data: Data) -> Any:
    """What LangGraph's stores are told about the embedder."""
    return {"dims": data.vectors.shape[1], "embed": _Lists(data), "fields": ["text"]}


@contextmanager
def open_langgraph(path: str, index: Any) -> Iterator[Any]:
    """LangGraph's SqliteStore in a file."""
    loadable()
    from langgraph.store.sqlite import SqliteStore

    with SqliteStore.from_conn_string(path, index=index) as store:
        store.setup()
        yield store


@contextmanager
def langgraph(data: Data, folder: Path | None) -> Iterator[Ask]:
    from langgraph.store.base import PutOp
    from langgraph.store.memory import InMemoryStore

    rows = [PutOp(("bench",), str(n), {"text": text}) for n, text in enumerate(data.texts)]

    def ask(store: Any) -> Ask:
        for start in range(0, len(rows), 1_000):
            store.batch(rows[start : start + 1_000])
        return lambda n: [int(hit.key) for hit in store.search(("bench",), query=data.questions[n], limit=K)]

    if folder is None:
        yield ask(InMemoryStore(index=langgraph_index(data)))
    else:
        with open_langgraph(str(folder / "langgraph.db"), langgraph_index(data)) as store:
            yield ask(store)


class _Lists:
    """The embedder as LangGraph wants it: lists, made before they are asked for."""

    def __new__(cls, data: Data) -> Any:
        from langchain_core.embeddings import Embeddings

        lists = {text: vector.tolist() for text, vector in zip(data.questions, data.asked, strict=True)}

        class Lists(Embeddings):
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                # SqliteStore embeds the whole value as JSON.
                plain = [json.loads(text)["text"] if text.startswith("{") else text for text in texts]
                return [vector.tolist() for vector in data.embed_documents(plain)]

            def embed_query(self, text: str) -> list[float]:
                return lists[text]

        return Lists()


@contextmanager
def sqlite_vec(data: Data, folder: Path) -> Iterator[Ask]:
    import sqlite_vec

    # The same library as LangGraph's: the extension cannot serve two of them in one process.
    db = loadable().connect(folder / "vec.db", isolation_level=None)
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.execute("PRAGMA journal_mode=WAL")
    dims = data.vectors.shape[1]
    db.execute(f"CREATE VIRTUAL TABLE items USING vec0(v float[{dims}] distance_metric=cosine, +value TEXT)")
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO items (rowid, v, value) VALUES (?, ?, ?)",
        ((n, v.tobytes(), t) for n, (v, t) in enumerate(zip(data.vectors, data.texts, strict=True))),
    )
    db.execute("COMMIT")
    sql = "SELECT rowid, value FROM items WHERE v MATCH ? AND k = ? ORDER BY distance"
    yield lambda n: [row for row, _ in db.execute(sql, (data.embed_query(data.questions[n]).tobytes(), K))]
    db.close()


@contextmanager
def chroma(data: Data, folder: Path, breadth: int = 100) -> Iterator[Ask]:
    import chromadb

    client = chromadb.PersistentClient(str(folder / "chroma"))
    held = client.create_collection(
        "bench", configuration={"hnsw": {"space": "cosine", "ef_search": breadth}}
    )
    for start in range(0, len(data.texts), 5_000):
        part = range(start, min(start + 5_000, len(data.texts)))
        held.add(
            ids=[str(n) for n in part],
            embeddings=data.vectors[part.start : part.stop],
            documents=data.texts[part.start : part.stop],
        )

    def ask(n: int) -> list[int]:
        found = held.query(query_embeddings=[data.embed_query(data.questions[n])], n_results=K)
        return [int(key) for key in found["ids"][0]]

    yield ask


@contextmanager
def floors(data: Data, name: str) -> Iterator[Ask]:
    dims, count = data.vectors.shape[1], len(data.texts)
    if name == "numpy":

        def scan(n: int) -> Any:
            scores = data.vectors @ data.asked[n]
            best = np.argpartition(-scores, min(K, count - 1))[:K]
            return best[np.argsort(-scores[best])]

        yield scan
    elif name == "our index alone":
        from ai_infra._core import VectorIndex

        index = VectorIndex(dims)
        index.add_many(np.arange(count, dtype=np.uint64), data.vectors)
        index.settle(1_800)
        yield lambda n: [item for item, _ in index.search(data.asked[n], K)]
    elif name == "hnswlib":
        import hnswlib

        graph = hnswlib.Index("cosine", dims)
        graph.init_index(count)
        graph.set_num_threads(1)
        graph.add_items(data.vectors, np.arange(count), num_threads=2)
        graph.set_ef(100)
        yield lambda n: graph.knn_query(data.asked[n], K)[0][0]
    else:
        from usearch.index import Index

        other = Index(ndim=dims, metric="cos", dtype="f16", expansion_search=100)
        other.add(np.arange(count), data.vectors)
        yield lambda n: other.search(data.asked[n], K).keys


def sides(data: Data, folder: Path) -> Iterator[tuple[str, str, Any]]:
    """Name, the module it needs, and how it is opened."""
    yield "ours, file", "ai_infra", lambda: ours(data, folder, data.questions)
    yield "ours, memory", "ai_infra", lambda: ours(data, None, data.questions)
    yield "ours, unknown words", "ai_infra", lambda: ours(data, None, data.unknown)
    yield "sqlite-vec", "sqlite_vec", lambda: sqlite_vec(data, folder)
    yield "chromadb", "chromadb", lambda: chroma(data, folder)
    yield "chromadb, wide", "chromadb", lambda: chroma(data, folder, 400)
    yield "langgraph sqlite", "langgraph.store.sqlite", lambda: langgraph(data, folder)
    yield "langgraph memory", "langgraph", lambda: langgraph(data, None)
    for name, module in (("numpy", "numpy"), ("our index alone", "ai_infra"), ("hnswlib", "hnswlib"),
                         ("usearch", "usearch")):  # fmt: skip
        yield name, module, lambda name=name: floors(data, name)


class Side:
    """A store that is asked, and what came of it."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.rounds: dict[int, float] = {}
        self.times: list[float] = []
        self.hits = 0

    def question(self, numbers: range, exact: list[set[int]]) -> None:
        """Ask some questions in a row; a slow store is spared after 20 seconds."""
        if sum(self.times) > 20 and len(self.times) >= 20:
            return
        before = len(self.times)
        for n in numbers:
            start = time.perf_counter()
            found = self.ask(n)
            self.times.append(time.perf_counter() - start)
            self.hits += len(exact[n].intersection(int(item) for item in found))
        self.rounds[numbers.start] = statistics.median(self.times[before:])

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.times)

    def recall(self, wanted: int) -> float:
        """The share of the nearest items that was found."""
        return self.hits / (len(self.times) * wanted)

    def faster_than(self, other: Side) -> float:
        """How many times as long the other one took, in the middle one of the rounds that both took part in."""
        return statistics.median(
            other.rounds[n] / self.rounds[n] for n in self.rounds.keys() & other.rounds.keys()
        )


def run(data: Data, only: list[str], langgraph_to: int) -> None:
    items, dims = data.vectors.shape
    print(f"{items:,} items of {dims} dimensions")
    exact, wanted = data.exact(), min(K, items)
    asked: dict[str, Side] = {}
    with ExitStack() as stack:
        for name, module, _ in sides(data, Path()):
            slow = name.startswith("langgraph") and items > langgraph_to
            if (only and name not in only) or slow or importlib.util.find_spec(module) is None:
                continue
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            # The folder is made anew for each side.
            again = {side: opened for side, _, opened in sides(data, Path(folder))}
            asked[name] = Side(stack.enter_context(again[name]()))
            asked[name].ask(0)
        # In turn, since the machine may slow down meanwhile.
        for start in range(1, len(data.asked), ROUND):
            for side in asked.values():
                side.question(range(start, min(start + ROUND, len(data.asked))), exact)
    stores = [asked[name] for name in STORES if name in asked and asked[name].recall(wanted) >= 0.99]
    fastest = min(stores, key=lambda side: side.median, default=None)
    for name, side in asked.items():
        ratio = f"  {side.faster_than(fastest):6.1f} x" if fastest and name.startswith("ours") else ""
        shown = "       -" if name in ("ours, file", "ours, memory") else f"{side.recall(wanted):8.3f}"
        print(f"  {name:20} {side.median * 1e6:10.1f} us  recall {shown}{ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--dims", type=int, nargs="*", default=[384])
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument(
        "--cone", type=float, default=0.0, help="what the squares of all vectors have in common, such as 0.7"
    )
    parser.add_argument("--only", nargs="*", default=[], help="the names of the sides to run")
    parser.add_argument(
        "--langgraph-to", type=int, default=10_000, help="the largest size langgraph is run at"
    )
    options = parser.parse_args()
    for dims in options.dims:
        for size in options.sizes:
            data = Data(size, dims, options.questions, options.cone)
            run(data, options.only, options.langgraph_to)


if __name__ == "__main__":
    main()
