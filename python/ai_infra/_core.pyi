"""The native module: see the Rust sources under rust/."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias, final

from typing_extensions import Buffer

DEBUG_BUILD: bool
VERSION: str

@final
class FitPlanner:
    """Finds where to cut a conversation; fed from its newest message backwards. See ``rust/core/src/fit.rs``."""

    def __new__(cls, first: int, end: int, budget: int) -> FitPlanner:
        """A planner for the messages ``first..end``, of which at most ``budget`` tokens will be kept."""

    @property
    def all_fit(self) -> bool:
        """Whether every message was seen and all of them fit."""

    def push(self, tokens: list[int], reach: list[int]) -> bool:
        """Takes older messages, the newest first: what each costs, and the first index of its group.

        Answers whether an older one could still be kept.
        """

    def cut(self, budget: int, *, low_water: int | None = None, keep: int | None = None) -> tuple[int, int]:
        """The index of the first message to keep, and the tokens from there to the end."""

def count_approximate(text: str, /) -> int:
    """An estimate of the tokens of ``text`` for any model, from the kinds of its characters alone.

    The rule and its costs stand in ``rust/core/src/tokens/approx.rs``. It never shrinks when text is appended.
    """

@final
class Encoding:
    """One of tiktoken's encodings. Counts equal those of ``encode_ordinary``, special-token text included.

    The vocabularies are in the module: making one loads and builds nothing. Safe to share between threads;
    the GIL is released for large inputs. A lone surrogate counts as U+FFFD, as in tiktoken.
    """

    def __new__(cls, name: str, /) -> Encoding:
        """The encoding called ``name``: o200k_base, cl100k_base, p50k_base, r50k_base or o200k_harmony.

        Raises:
            InvalidInputError: an unknown name.
        """

    @property
    def name(self) -> str:
        """The name, as tiktoken has it."""

    def count(self, text: str, /) -> int:
        """The number of tokens of ``text``."""

    def count_batch(self, texts: list[str], /) -> list[int]:
        """The number of tokens of each text."""

    def count_total(self, texts: list[str], /) -> int:
        """The number of tokens of all texts together, each counted by itself."""

    def count_up_to(self, text: str, limit: int, /) -> int | None:
        """The number of tokens of ``text``, or ``None``, early, if it has more than ``limit``."""

    def prefix_within(self, text: str, limit: int, /) -> int:
        """The length in characters of a long prefix with at most ``limit`` tokens.

        ``count(text[:n]) <= limit`` always holds. Words stay whole.
        """

    def suffix_within(self, text: str, limit: int, /) -> int:
        """Where a long suffix with at most ``limit`` tokens starts: ``count(text[n:]) <= limit`` always holds."""

    def count_messages(self, messages: list[Any], per_message: int, /) -> tuple[int, list[int]]:
        """Count the plain messages of a chat: ``per_message`` + role + content for each.

        Plain is an exact ``dict`` whose only entries are ``role`` and ``content``, both strings. Returns the sum
        over those, and the indices of all others, which the caller counts. Reply priming is not added.
        """

    def vocabulary(self) -> list[bytes]:
        """The ordinary tokens in rank order."""

# A contiguous buffer of f32 or f64 (array, memoryview, numpy), bytes of f32, or floats.
_Vectors: TypeAlias = Buffer | Sequence[float]
# A contiguous buffer of u64 or i64, or ints.
_Ids: TypeAlias = Buffer | Sequence[int]

@final
class VectorIndex:
    """Vectors of one namespace, searched by cosine similarity.

    Any number of threads may search while others write. Ids are 0 to 2**64 - 1. Vectors are
    normalised when stored; a zero vector scores 0 against everything.
    """

    def __new__(cls, dimensions: int, *, precision: Literal["f16", "i8", "f32"] = "f16") -> VectorIndex:
        """An empty index for vectors of ``dimensions`` values.

        ``precision`` is how rows are stored: ``"f16"`` (2 bytes a value), ``"i8"`` (3 bytes: codes for the
        scan, halves to score its best again) or ``"f32"`` (4 bytes).
        """

    @property
    def dimensions(self) -> int:
        """How many values a vector has."""

    @property
    def precision(self) -> str:
        """How rows are stored."""

    def __len__(self) -> int: ...
    def __contains__(self, id: int, /) -> bool: ...
    def memory_bytes(self) -> int:
        """Bytes held in memory."""

    def add(self, id: int, vector: _Vectors) -> None:
        """Add a vector under a new id.

        Raises:
            InvalidInputError: the id is taken, the size is wrong, or a value is not finite.
        """

    def replace(self, id: int, vector: _Vectors) -> None:
        """Store a vector under ``id``, in the place of the one it had, if any."""

    def add_many(self, ids: _Ids, vectors: _Vectors) -> None:
        """Add ``len(ids)`` vectors lying one after the other in ``vectors``: all of them or none."""

    def replace_many(self, ids: _Ids, vectors: _Vectors) -> None:
        """As ``add_many``, replacing what is there; of a repeated id the last counts."""

    def remove(self, id: int) -> bool:
        """Remove a vector; False if there was none."""

    def search(
        self, query: _Vectors, k: int = 10, *, ids: _Ids | None = None, min_score: float | None = None
    ) -> list[tuple[int, float]]:
        """The best ``k`` as ``(id, cosine similarity)``: higher first, of equal scores the lower id first.

        ``ids`` limits the search to these ids (unknown and repeated ones do nothing).

        Raises:
            InvalidInputError: the query has the wrong size or a value that is not finite.
        """

_HeadRow: TypeAlias = tuple[int, int, int, int, int, int, str | None]

@final
class LocalSessions:
    """Append-only logs of messages in one SQLite file, or in memory. See ``ai_infra.storage.sessions``.

    A head is ``(ref, version, length, turns, created_at, updated_at, state)``; times are microseconds since
    1970 UTC.
    """

    def __new__(cls, path: str | PathLike[str] | None, timeout: float) -> LocalSessions:
        """Opens the file at ``path``, or memory when there is none."""

    def load(self, session: str, known: int, start: int, last: int) -> tuple[_HeadRow, int, list[str]] | None:
        """The session, the position of the first message read, and the messages; None where there is none."""

    def read(self, ref: int, start: int, end: int) -> list[str]:
        """The messages at positions ``start`` to ``end``, not included."""

    def append(
        self,
        session: str,
        expected: tuple[int, int],
        turn_id: str,
        messages: list[str],
        state: str | None,
        now: int,
    ) -> _HeadRow:
        """Appends a turn and sets the state.

        Raises:
            ConflictError: the session is not as expected.
        """

    def turn(self, ref: int, turn_id: str) -> tuple[str, int, int] | None:
        """The turn with this id."""

    def turns(self, ref: int) -> list[tuple[str, int, int]]:
        """All turns, oldest first."""

    def fork(self, ref: int, target: str, end: int, state: str | None, now: int) -> _HeadRow | None:
        """Makes a session of the beginning of another; None when that is gone."""

    def list(self, prefix: str, limit: int | None, offset: int) -> list[tuple[str, _HeadRow]]:
        """The sessions whose id begins with ``prefix``, the one changed last first."""

    def delete(self, session: str) -> bool:
        """Deletes a session; False where there was none."""

    def close(self) -> None:
        """Closes once the running operations are done."""
