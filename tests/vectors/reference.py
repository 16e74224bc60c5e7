"""The referee: cosine similarity in f64, sorted as the index promises."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterable, Mapping, Sequence


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    lengths = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(x * x for x in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def best(
    rows: Mapping[int, Sequence[float]], query: Sequence[float], k: int, among: Iterable[int] | None = None
) -> list[tuple[int, float]]:
    chosen = rows if among is None else rows.keys() & set(among)
    scored = [(id, cosine(rows[id], query)) for id in chosen]
    scored.sort(key=lambda hit: (-hit[1], hit[0]))
    return scored[:k]


def noise(seed: int, dimensions: int) -> array[float]:
    source = random.Random(seed)
    return array("f", [source.gauss(0, 1) for _ in range(dimensions)])


def clustered(
    seed: int, rows: int, dimensions: int, clusters: int, spread: float = 0.6
) -> list[array[float]]:
    """Rows around centres that do not depend on the seed, as embeddings of topics lie."""
    source = random.Random(-1)
    centres = [[source.gauss(0, 1) for _ in range(dimensions)] for _ in range(clusters)]
    source.seed(seed)
    return [
        array("f", [c + spread * source.gauss(0, 1) for c in centres[source.randrange(clusters)]])
        for _ in range(rows)
    ]
