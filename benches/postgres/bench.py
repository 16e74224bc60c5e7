"""PostgreSQL: this library beside LangGraph's PostgresStore and PostgresSaver, and plain SQL, in one run.

    python -m benches.postgres.bench [--sizes 100,10000,100000] [--namespaces 200] [--without langgraph]
        [--in-database]

Needs ``benches/postgres/requirements.txt``. One server of its own with durable writes (fsync on), or the one that
DATABASE_URL
names. All ask the same embedder (384 numbers made from the words of a text), so nobody waits for a model. Figures
are medians in milliseconds; the ratio is to the fastest of the others (above 1: we are faster).

More than 20,000 items are written by the others in bulk. LangGraph writes some hundred items a second, so they are
copied into its two tables in the form that its own put writes (fifty of them are written by its put as well, and the
rows compared), and the index that its setup made is dropped before and made again afterwards, by the same statement.
``--in-database``: the searches of each size once more by a store that is told to search it in the database, with its
index, by plain SQL with an index over vectors, and by a hybrid of that and PostgreSQL's own text search.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from ai_infra.llm.session import postgres as our_sessions

from benches.postgres.peers import Embedder, LangGraph, Ours, Plain, sentence


def median(call: Callable[[int], Any], rounds: int) -> float:
    for turn in range(min(6, rounds)):
        call(turn)
    times = []
    for turn in range(rounds):
        start = time.perf_counter()
        call(turn)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def searching(peer: Any, size: int, queries: list[str]) -> Callable[[int], Any]:
    return lambda turn: peer.search(f"size{size}", queries[turn % len(queries)])


def report(what: str, figures: dict[str, float]) -> None:
    others = [value for name, value in figures.items() if name != Ours.name and name != Plain.name]
    ours = figures[Ours.name]
    plain = figures.get(Plain.name)
    cells = "  ".join(f"{name}: {value:.3f}" for name, value in figures.items())
    ratio = f"{min(others) / ours:.2f} x the fastest peer" if others else ""
    floor = f", {ours / plain:.2f} of plain SQL's time" if plain else ""
    print(f"{what:32} {cells}  | {ratio}{floor}", flush=True)


def search_in_database(url: str, embedder: Embedder, size: int, queries: list[str], peers: list[Any]) -> None:
    """The searches of one size by a store that holds nothing of it, and by plain SQL with an index."""
    start = time.perf_counter()
    ours = Ours(url, embedder, in_database_from=size)
    ours.search(f"size{size}", "coffee")
    made = time.perf_counter() - start
    exact = median(searching(ours, size, queries), 20)
    start = time.perf_counter()
    ours.store._backend._nearest.settle()  # type: ignore[attr-defined]
    indexed = time.perf_counter() - start
    plain = next(peer for peer in peers if peer.name == Plain.name)
    plain.index(f"size{size}")
    print(f"  in the database: made in {made:.1f} s, exact {exact:.1f} ms, index in {indexed:.1f} s more")
    figures = {p.name: median(searching(p, size, queries), 60) for p in (ours, plain)}
    report(f"in the database, {size} items", figures)
    hybrid = median(lambda turn: plain.hybrid(f"size{size}", queries[turn % len(queries)]), 60)
    print(f"  a hybrid by hand, words and vectors: {hybrid:.3f} ms")
    whole = Ours(url, embedder)
    shared = [
        len(ours.keys(f"size{size}", query) & whole.keys(f"size{size}", query)) / 10 for query in queries
    ]
    print(f"  of the first 10 found in memory, found in the database: {statistics.mean(shared):.3f}")
    ours.close()
    whole.close()


def stores(url: str, sizes: list[int], namespaces: int, kinds: list[Any], in_database: bool) -> None:
    embedder = Embedder()
    peers = [kind(url, embedder) for kind in kinds]
    dice = random.Random(4)
    texts = [sentence(dice) for _ in range(150)]
    embedder.embed_documents(texts)
    report("put", {p.name: median(lambda n, p=p: p.put("put", f"k{n}", texts[n]), 150) for p in peers})
    report("get", {p.name: median(lambda n, p=p: p.get("put", f"k{n % 100}"), 500) for p in peers})
    rows = [(f"k{n}", sentence(dice)) for n in range(1000)]
    embedder.embed_documents([text for _, text in rows])
    report(
        "put_many, 1,000 items",
        {p.name: median(lambda n, p=p: p.put_many(f"many{n}", rows), 3) for p in peers},
    )
    pool = [sentence(dice) for _ in range(min(10_000, max(sizes, default=0)))]
    for size in sizes:
        rows = [(f"k{n}", pool[n % len(pool)]) for n in range(size)]
        embedder.embed_documents([text for _, text in rows])
        for peer in peers:
            start = time.perf_counter()
            peer.fill([(f"size{size}", rows)])
            peer.ready()
            loaded = time.perf_counter() - start
            start = time.perf_counter()
            peer.search(f"size{size}", "coffee")
            first = (time.perf_counter() - start) * 1000
            print(f"  {peer.name}: {size} items written in {loaded:.1f} s, the first search {first:.1f} ms")
        queries = [sentence(dice) for _ in range(60)]
        embedder.embed_documents(queries)
        report(f"search, {size} items", {p.name: median(searching(p, size, queries), 60) for p in peers})
        if in_database:
            search_in_database(url, embedder, size, queries, peers)
    if namespaces:
        for peer in peers:
            same = [(f"k{n}", texts[n]) for n in range(100)]
            peer.fill([(f"user{number}", same) for number in range(namespaces)])
            peer.ready()
        order = [dice.randrange(namespaces) for _ in range(1000)]
        for label in ("first", "again"):
            report(
                f"search, {namespaces} x 100, {label}",
                {
                    p.name: median(lambda n, p=p: p.search(f"user{order[n]}", "coffee in oslo"), 300)
                    for p in peers
                },
            )
        for p in peers:
            found = [p.search(f"user{number}", "coffee in oslo") for number in order[:300]]
            print(f"  {p.name}: found {statistics.mean(found):.1f} items of 10")
    for peer in peers:
        peer.close()
    with psycopg.connect(url) as connection:
        for schema in ("ai_infra", "public"):
            for table, size, rows in connection.execute(
                "SELECT relname, pg_total_relation_size(relid), n_live_tup FROM pg_stat_user_tables "
                "WHERE schemaname = %s AND pg_total_relation_size(relid) > 1000000 ORDER BY 2 DESC",
                (schema,),
            ).fetchall():
                print(f"  {schema}.{table}: {size / 1e6:.1f} MB with its indexes, {rows} rows")


def sessions(url: str) -> None:
    from langchain_core.messages import AIMessage, HumanMessage
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph.checkpoint.postgres import PostgresSaver

    store = our_sessions(url)
    dice = random.Random(5)
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        history: list[Any] = []

        def saver_turn(turn: int) -> None:
            history.extend([HumanMessage(content=sentence(dice)), AIMessage(content=sentence(dice))])
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = {"messages": list(history)}
            version = f"{len(history):032}.0"
            checkpoint["channel_versions"] = {"messages": version}
            config = {"configurable": {"thread_id": "one", "checkpoint_ns": ""}}
            saver.put(config, checkpoint, {"source": "loop", "step": turn}, {"messages": version})

        def our_turn(turn: int) -> None:
            store.append(
                "one",
                [
                    {"role": "user", "content": sentence(dice)},
                    {"role": "assistant", "content": sentence(dice)},
                ],
            )

        report(
            "append a turn (200 turns)",
            {Ours.name: median(our_turn, 200), "LangGraph PostgresSaver": median(saver_turn, 200)},
        )
        config = {"configurable": {"thread_id": "one"}}
        report(
            "load a session of 412 messages",
            {
                Ours.name: median(lambda n: store.messages("one"), 100),
                "LangGraph PostgresSaver": median(lambda n: saver.get_tuple(config), 100),
            },
        )
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,10000")
    parser.add_argument("--namespaces", type=int, default=200)
    parser.add_argument("--without", choices=["langgraph"], help="to leave out who needs minutes to load")
    parser.add_argument("--in-database", action="store_true", help="search each size in the database, too")
    options = parser.parse_args()
    given = os.environ.get("DATABASE_URL")
    server = None
    if given is None:
        from tests.postgres.server import Server

        server = Server("shared_buffers=512MB", "maintenance_work_mem=512MB", "max_wal_size=4GB")
        given = server.url
    with psycopg.connect(given, autocommit=True) as connection:
        name = f"bench_{uuid.uuid4().hex[:8]}"
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[arg-type]
    url = psycopg.conninfo.make_conninfo(given, dbname=name)
    try:
        if options.without is None:
            sessions(url)
        kinds = [Ours, *([] if options.without else [LangGraph]), Plain]
        sizes = [int(size) for size in options.sizes.split(",") if size]
        stores(url, sizes, options.namespaces, kinds, options.in_database)
    finally:
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]
        if server is not None:
            server.end()


if __name__ == "__main__":
    main()
