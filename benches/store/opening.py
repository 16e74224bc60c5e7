"""A store on the disk from opening it to its first result, in a fresh process each, beside peers in one run.

    pip install -r benches/requirements.txt
    python benches/store/opening.py [--items 100000] [--dims 384] [--rounds 5] [--only ours ...]

Every store holds the texts and vectors of ``search.py``. A process imports what it needs, then opens the store and asks
one question, with its vector; that is timed, and how much memory the process has gained. The stores take turns, one
process of each in a round; the files are in the page cache. Medians; the ratio is to sqlite-vec.

``ours`` is asked in four states: with its index in a file; with the graph in it too (from 200,000 items on);
without a file, where it also saves one; and where none can be saved. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from search import Data, _resident
from writes import loadable

K = 10


OPEN: list[Any] = []
"""What is measured stays open until its memory was."""


class Known:
    """An embedder that looks up: of all texts, or of one question."""

    model = "known"

    def __init__(self, data: Data | None, vector: Any = None) -> None:
        self.data, self.vector = data, vector

    def embed_documents(self, texts: Any) -> list[Any]:
        return self.data.embed_documents(texts) if self.data else [self.vector for _ in texts]

    def embed_query(self, text: str) -> Any:
        return self.embed_documents([text])[0]


def ask_ours(path: Path, question: str, vector: Any) -> int:
    store = _ours(path, Known(None, vector))
    OPEN.append(store)
    return len(store.search("bench", question, limit=K))


def _ours(path: Path, embedder: Any) -> Any:
    from ai_infra.llm.memory.store import MemoryStore

    return MemoryStore.sqlite(path, embeddings=embedder)


def fill_ours(path: Path, data: Data) -> None:
    with _ours(path, Known(data)) as store:
        rows = [("bench", str(n), {"text": text}) for n, text in enumerate(data.texts)]
        for start in range(0, len(rows), 5_000):
            store.put_many(rows[start : start + 5_000])


def _vec(path: Path) -> Any:
    import sqlite_vec

    db = loadable().connect(path)
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    return db


def ask_vec(path: Path, _question: str, vector: Any) -> int:
    OPEN.append(_vec(path))
    sql = "SELECT key, value FROM items WHERE v MATCH ? AND k = ?"
    return len(OPEN[-1].execute(sql, (vector.tobytes(), K)).fetchall())


def fill_vec(path: Path, data: Data) -> None:
    db = _vec(path)
    db.execute("PRAGMA journal_mode=WAL")
    dims = data.vectors.shape[1]
    db.execute(f"CREATE VIRTUAL TABLE items USING vec0(v float[{dims}], +key TEXT, +value TEXT)")
    rows = (
        (vector.tobytes(), str(n), json.dumps({"text": text}))
        for n, (text, vector) in enumerate(zip(data.texts, data.vectors, strict=True))
    )
    db.executemany("INSERT INTO items (v, key, value) VALUES (?, ?, ?)", rows)
    db.commit()
    db.close()


def _langgraph(path: Path, embedder: Any, dims: int) -> Any:
    loadable()
    from langgraph.store.sqlite import SqliteStore

    index: Any = {"dims": dims, "embed": embedder.embed_documents, "fields": ["text"]}
    return SqliteStore.from_conn_string(str(path), index=index)


def ask_langgraph(path: Path, question: str, vector: Any) -> int:
    with _langgraph(path, Known(None, vector.tolist()), len(vector)) as store:
        store.setup()
        return len(store.search(("bench",), query=question, limit=K))


def fill_langgraph(path: Path, data: Data) -> None:
    from langgraph.store.base import PutOp

    class Lists:
        def embed_documents(self, texts: Any) -> list[Any]:
            # SqliteStore embeds the whole value as JSON.
            plain = [json.loads(text)["text"] for text in texts]
            return [vector.tolist() for vector in data.embed_documents(plain)]

    with _langgraph(path, Lists(), data.vectors.shape[1]) as store:
        store.setup()
        for start in range(0, len(data.texts), 5_000):
            part = enumerate(data.texts[start : start + 5_000], start)
            store.batch([PutOp(("bench",), str(n), {"text": text}) for n, text in part])


def _chroma(path: Path) -> Any:
    import chromadb

    client = chromadb.PersistentClient(str(path), chromadb.Settings(anonymized_telemetry=False))
    return client.get_or_create_collection("bench", metadata={"hnsw:space": "cosine"})


def ask_chroma(path: Path, _question: str, vector: Any) -> int:
    return len(_chroma(path).query(query_embeddings=[vector], n_results=K)["ids"][0])


def fill_chroma(path: Path, data: Data) -> None:
    collection = _chroma(path)
    for start in range(0, len(data.texts), 5_000):
        part = slice(start, start + 5_000)
        ids = [str(n) for n in range(start, start + len(data.texts[part]))]
        collection.add(ids=ids, embeddings=data.vectors[part], documents=data.texts[part])


Peer = tuple[str, str, Callable[[Path, Data], None], Callable[[Path, str, Any], int]]
PEERS: list[Peer] = [
    ("ours", "ai_infra", fill_ours, ask_ours),
    ("sqlite-vec", "sqlite_vec", fill_vec, ask_vec),
    ("langgraph sqlite", "langgraph.store.sqlite", fill_langgraph, ask_langgraph),
    ("chromadb", "chromadb", fill_chroma, ask_chroma),
]


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def asked(name: str, path: Path, question: str, vectors: Path) -> None:
    """In a process of its own: what the store costs from opening to the first result."""
    vector = np.load(vectors)
    ask, module = next((ask, module) for known, module, _, ask in PEERS if known == name)
    loadable()
    __import__(module)
    if name == "ours":
        for used in ("ai_infra.llm.memory.store", "ai_infra.storage.local", "ai_infra.embeddings.choose"):
            __import__(used)
    memory, start = _resident(), time.perf_counter()
    found = ask(path, question, vector)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "memory": _resident() - memory, "found": found}))


def size(path: Path) -> float:
    """Of a file or folder, in MB."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


def with_graph(path: Path, question: str, vector: Any) -> float:
    """Let the graph be built and close the store; returns how long closing, and so saving, took."""
    store = _ours(path, Known(None, vector))
    folder = Path(f"{path}-index")
    store.search("bench", question, limit=K)
    before = size(folder)
    for _ in range(600):
        time.sleep(0.5)
        store.search("bench", question, limit=K)
        if size(folder) > before * 1.1:
            break
    start = time.perf_counter()
    store.close()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--folder", type=Path, help="where the stores are, or are to be; kept")
    parser.add_argument("--ask", nargs=4, metavar=("STORE", "PATH", "QUESTION", "VECTOR"))
    options = parser.parse_args()
    if options.ask:
        name, path, question, vectors = options.ask
        asked(name, Path(path), question, Path(vectors))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        folder.mkdir(exist_ok=True)
        compare(folder, options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    peers = [peer for peer in PEERS if installed(peer[1]) and (not options.only or peer[0] in options.only)]
    data = Data(options.items, options.dims, 2)
    question, vector = data.questions[0], data.asked[0]
    np.save(folder / "question.npy", vector)
    for name, _, fill, _ in peers:
        if not (folder / name).exists():
            start = time.perf_counter()
            fill(folder / name, data)
            print(f"  {name} filled in {time.perf_counter() - start:.0f} s, {size(folder / name):.0f} MB")
    index = folder / "ours-index"
    shutil.rmtree(index, ignore_errors=True)
    states: dict[str, tuple[str, Callable[[], Any]]] = {}
    for name, *_ in peers:
        if name != "ours":
            states[name] = (name, lambda: None)
    if any(name == "ours" for name, *_ in peers):
        states["ours, none can be saved"] = ("ours", lambda: (clear(index), index.touch()))
        states["ours, read and saved"] = ("ours", lambda: clear(index))
        states["ours, from its file"] = ("ours", lambda: None)
    results: dict[str, list[dict[str, float]]] = {state: [] for state in states}
    for _ in range(options.rounds):
        for state, (name, prepare) in states.items():
            prepare()
            results[state].append(one(name, folder, question))
    if "ours, from its file" in results and options.items >= 200_000:
        print(f"  index in a file: {size(index):.0f} MB")
        saving = with_graph(folder / "ours", question, vector)
        print(f"  with its graph: {size(index):.0f} MB; closing waited {saving * 1e3:.0f} ms for it")
        state = "ours, with the graph in it"
        results[state] = [one("ours", folder, question) for _ in range(options.rounds)]
    base = statistics.median(run["seconds"] for run in results.get("sqlite-vec", [{"seconds": 0.0}]))
    print(f"{options.items} items x {options.dims}, {options.rounds} rounds")
    for state, runs in results.items():
        seconds = statistics.median(run["seconds"] for run in runs)
        memory = statistics.median(run["memory"] for run in runs)
        ratio = f"{seconds / base:8.2f}" if base else ""
        print(f"{state:28} {seconds * 1e3:9.1f} ms {memory:7.0f} MB {ratio}")


def clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def one(name: str, folder: Path, question: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--ask", name, str(folder / name), question]
    out = subprocess.run([*command, str(folder / "question.npy")], capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    assert answer["found"] == K, (name, answer)
    return answer


if __name__ == "__main__":
    main()
