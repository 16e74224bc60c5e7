"""The cache file: used when whole and right, otherwise noticed; never a crash."""

from __future__ import annotations

import os
import random
import stat
import time
from array import array
from pathlib import Path

import pytest
from ai_infra._core import VectorIndex
from ai_infra.errors import StorageError

from tests.victims import Victims

from .reference import clustered

DIMENSIONS, ROWS = 16, 1_200


def fresh(rows: int = ROWS, dimensions: int = DIMENSIONS, graph_from: int | None = None) -> VectorIndex:
    index = VectorIndex(dimensions, graph_from=graph_from)
    flat = array("f")
    for row in clustered(1, rows, dimensions, 20):
        flat.extend(row)
    index.add_many(list(range(rows)), flat)
    return index


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cache") / "graph"
    index = fresh(graph_from=1_000)
    assert index.settle()
    assert index.save_cache(path, 7)
    return path


def test_a_saved_graph_is_taken_and_answers_the_same(saved: Path) -> None:
    built, loaded = fresh(graph_from=1_000), fresh(graph_from=1_000_000)
    assert built.settle()
    assert loaded.load_cache(saved, 7)
    assert list(saved.parent.iterdir()) == [saved]
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    for query in clustered(2, 20, DIMENSIONS, 20):
        assert loaded.search(query, 10) == built.search(query, 10)


def test_a_loaded_graph_goes_on_changing(tmp_path: Path) -> None:
    index = fresh(graph_from=1_000)
    assert index.settle()
    for id in range(100):  # dead nodes, and rows in other slots
        index.remove(id)
    assert index.save_cache(tmp_path / "graph", 8)
    other = VectorIndex(DIMENSIONS, graph_from=1_000)
    rows = clustered(1, ROWS, DIMENSIONS, 20)
    for id in reversed(range(100, ROWS)):
        other.add(id, rows[id])
    assert other.settle()
    assert other.load_cache(tmp_path / "graph", 8)
    for id in range(0, 1_500, 3):
        other.replace(id, rows[id % ROWS])
        assert other.search(rows[id % ROWS], 1)[0][1] > 0.999
    assert other.settle()
    for id in range(100, ROWS, 7):
        assert other.search(rows[id], 1)[0][1] > 0.999


@pytest.mark.parametrize(
    ("index", "generation"),
    [
        (fresh(), 8),
        (fresh(ROWS - 1), 7),
        (fresh(ROWS + 1), 7),
        (fresh(dimensions=DIMENSIONS + 1), 7),
        (VectorIndex(DIMENSIONS), 7),
    ],
)
def test_a_cache_of_other_rows_is_not_taken(saved: Path, index: VectorIndex, generation: int) -> None:
    assert not index.load_cache(saved, generation)
    assert not index.has_graph


def test_other_ids_are_noticed(saved: Path) -> None:
    index = fresh()
    index.remove(5)
    index.add(99_999, [1.0] * DIMENSIONS)
    assert not index.load_cache(saved, 7)


def test_every_flipped_bit_and_cut_is_noticed(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    source = random.Random(3)
    index = fresh()
    bad = tmp_path / "bad"
    # Every byte of the header, and 400 of the rest.
    for at in [*range(80), *(source.randrange(80, len(whole)) for _ in range(400))]:
        bad.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << source.randrange(8)]) + whole[at + 1 :])
        assert not index.load_cache(bad, 7), at
    for length in [*range(0, 100, 7), *(source.randrange(len(whole)) for _ in range(50)), len(whole) - 1]:
        bad.write_bytes(whole[:length])
        assert not index.load_cache(bad, 7), length
    for junk in (
        whole + b"\0",
        whole[::-1],
        os.urandom(len(whole)),
        whole[:80] + whole[80:][::-1],
        b"\0" * 80,
    ):
        bad.write_bytes(junk)
        assert not index.load_cache(bad, 7)
    # Sizes that would overflow, with nothing behind them.
    bad.write_bytes(whole[:80] + b"\xff" * 24)
    assert not index.load_cache(bad, 7)
    for id, _ in index.search([1.0] * DIMENSIONS, 3):
        assert id in index
    assert index.load_cache(saved, 7)


def test_what_is_no_cache_file(tmp_path: Path) -> None:
    index = fresh()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe-writer").touch()
    writer = os.open(tmp_path / "pipe", os.O_RDWR)  # so that opening it for reading does not wait
    for path in (tmp_path, tmp_path / "none", tmp_path / "pipe", Path("/dev/null"), Path("/dev/zero")):
        assert not index.load_cache(path, 7)
    os.close(writer)


def test_a_save_that_fails_says_so_and_leaves_the_old_file(saved: Path, tmp_path: Path) -> None:
    index = fresh(graph_from=1_000)
    assert index.settle()
    with pytest.raises(StorageError, match="cannot save the vector cache"):
        index.save_cache(tmp_path / "none" / "graph", 7)
    path = tmp_path / "graph"
    path.write_bytes(saved.read_bytes())
    (tmp_path / "graph.tmp").mkdir()  # in the way of the temporary file
    with pytest.raises(StorageError):
        index.save_cache(path, 8)
    assert path.read_bytes() == saved.read_bytes()
    assert not fresh().save_cache(path, 7)  # nothing to save


def test_only_a_file_is_ever_replaced(saved: Path, tmp_path: Path) -> None:
    index = fresh(graph_from=1_000)
    assert index.settle()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(saved)
    before = {entry.name: entry.lstat().st_mode for entry in tmp_path.iterdir()}
    for name in before:
        with pytest.raises(StorageError, match="not a regular file"):
            index.save_cache(tmp_path / name, 8)
    assert {entry.name: entry.lstat().st_mode for entry in tmp_path.iterdir()} == before
    assert fresh().load_cache(saved, 7)


def test_killed_in_save(tmp_path: Path) -> None:
    """Whatever the moment of the kill, the file is the old one or a new one, whole."""
    path = tmp_path / "graph"
    program = """
from tests.vectors.test_cache import fresh
index = fresh(graph_from=1_000)
assert index.settle()

def work(path):
    tell("ready")
    while True:
        index.save_cache(path, 7)
"""
    source = random.Random(4)
    taken, rounds = 0, 600 if os.environ.get("AI_INFRA_NIGHTLY") else 60
    with Victims(program) as savers:
        for _ in range(rounds):
            savers.start(str(path))
            assert savers.line() == "ready"
            time.sleep(source.random() * 0.03)
            savers.kill()
            there = path.exists()
            assert fresh().load_cache(path, 7) is there
            taken += there
            assert {entry.name for entry in tmp_path.iterdir()} <= {"graph", "graph.tmp"}
    assert taken > rounds // 2
