"""The native module: see the Rust sources under rust/."""

import builtins
import os
from collections.abc import Sequence
from datetime import datetime
from os import PathLike
from typing import Any, Literal, TypeAlias, final

from typing_extensions import Buffer

__all__ = [
    "DEBUG_BUILD",
    "VERSION",
    "Batch",
    "ConversationIndex",
    "Encoding",
    "FitPlanner",
    "LocalConversations",
    "LocalSessions",
    "LocalStore",
    "MemoryItem",
    "Mirror",
    "Pending",
    "RecallHit",
    "Scores",
    "TextIndex",
    "VectorIndex",
    "after_fork",
    "array_cosines",
    "array_literal",
    "before_fork",
    "canonical_filter",
    "canonical_json",
    "check_key",
    "check_namespace",
    "check_query",
    "count_approximate",
    "filter_matches",
    "float_rows",
    "fuse_scores",
    "is_database",
    "list_documents",
    "local_dimensions",
    "local_embed",
    "local_model",
    "message_chunks",
    "message_passages",
    "needed_terms",
    "pack_vectors",
    "search_terms",
    "unpack_vectors",
    "wanted_terms",
    "word_stems",
]

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

    def __new__(
        cls,
        dimensions: int,
        *,
        precision: Literal["f16", "i8", "f32"] = "f16",
        graph_from: int | None = ...,
        kernels: str | None = None,
    ) -> VectorIndex:
        """An empty index for vectors of ``dimensions`` values.

        ``precision`` is how rows are stored: ``"f16"`` (2 bytes a value), ``"i8"`` (3 bytes: codes for the
        scan, halves to score its best again) or ``"f32"`` (4 bytes). From ``graph_from`` rows an HNSW graph
        is built in the background; searches scan until it is ready. ``None``: never. ``kernels`` is one of
        ``available_kernels()`` instead of the fastest.
        """

    @staticmethod
    def available_kernels() -> list[str]:
        """The sets of instructions that this processor has, the fastest first."""

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
        self,
        query: _Vectors,
        k: int = 10,
        *,
        ids: _Ids | None = None,
        min_score: float | None = None,
        exact: bool = False,
    ) -> list[tuple[int, float]]:
        """The best ``k`` as ``(id, cosine similarity)``: higher first, of equal scores the lower id first.

        ``ids`` limits the search to these ids (unknown and repeated ones do nothing); that never shortens
        the result while enough of them are there. ``exact`` scans even where a graph would be faster.

        Raises:
            InvalidInputError: the query has the wrong size or a value that is not finite.
        """

    @property
    def has_graph(self) -> bool:
        """Whether searches of the whole index use a graph now."""

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait at most ``timeout`` seconds until the background has nothing to do; True if so."""

    def save_cache(self, path: str | PathLike[str], generation: int) -> bool:
        """Write the graph to ``path``, whole or not at all; False if there is none to save now.

        ``generation`` is the caller's number for the rows as they are.

        Raises:
            StorageError: the file cannot be written, or something that is no regular file is in its place;
                what was there before is untouched.
        """

    def load_cache(self, path: str | PathLike[str], generation: int) -> bool:
        """Take the graph from ``path``, to be called when the rows are in.

        False if the file is not there, damaged, of another version or of other rows: then the graph is
        built in the background.
        """

# store, validate

_StorePlace: TypeAlias = tuple[Any, Any]

@final
class MemoryItem:
    """One memory: a value under a namespace and a key.

    It is a copy. The value is decoded when it is first asked for; changing it changes nothing in the store. A
    backend makes one of the value as canonical JSON and of times in microseconds since 1970 UTC.
    """

    def __new__(
        cls,
        namespace: tuple[str, ...],
        key: str,
        json: str,
        created_at: int,
        updated_at: int,
        expires_at: int | None,
        version: int,
    ) -> MemoryItem: ...
    @property
    def namespace(self) -> tuple[str, ...]:
        """The parts of the namespace."""

    @property
    def key(self) -> str:
        """The key."""

    @property
    def value(self) -> dict[str, Any]:
        """The value; a tuple that was put comes back as a list."""

    @property
    def json(self) -> str:
        """The value as canonical JSON."""

    @property
    def created_at(self) -> datetime:
        """When the key was first written, in UTC; later writes keep it."""

    @property
    def updated_at(self) -> datetime:
        """When the value was last written, in UTC."""

    @property
    def expires_at(self) -> datetime | None:
        """From this moment on the item is gone; None: it stays."""

    @property
    def times(self) -> tuple[int, int, int | None]:
        """``created_at``, ``updated_at`` and ``expires_at`` in microseconds since 1970 UTC."""

    @property
    def version(self) -> int:
        """1 for a new item, one more with each write; pass it as ``expected_version`` to change only this
        one."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: object, /) -> bool: ...
    def __le__(self, other: object, /) -> bool: ...
    def __gt__(self, other: object, /) -> bool: ...
    def __ge__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Batch:
    """Rows that were checked, ready to be written."""

    def texts(self) -> list[str]:
        """The text of each value for search: its strings; empty where it has none."""

@final
class Pending:
    """Items that are to be embedded again."""

    def __len__(self) -> int: ...

@final
class Scores:
    """What the words of a question give to the score of each document."""

    def __new__(
        cls, question: str, lists: Sequence[tuple[str, int, bytes]], documents: int, words: int
    ) -> Scores:
        """From the lists that the question needs, ``(term, block, bytes)``; ``documents`` are there, with
        ``words`` words together."""

    def best(self, count: int) -> list[int]:
        """The documents to which words give most, best first."""

    def fuse(self, documents: Sequence[tuple[int, float | None]]) -> list[float]:
        """The score of each document with the cosine of its vector (None: it has none), in this order."""

def list_documents(
    values: Sequence[str], first: int, removed: Sequence[int], local: bool
) -> tuple[list[tuple[int, str | None]], tuple[list[str], list[int], list[bytes]]]:
    """What to keep of items: for each its words and its vector as a ``real[]`` literal (where ``local``), and
    the lists to append, by column: term, block, bytes."""

def array_literal(vector: bytes) -> str | None:
    """The bytes of f32 values as a ``real[]`` literal; None where all are 0."""

def array_cosines(query: bytes, arrays: Sequence[bytes | None]) -> list[float | None]:
    """The cosine of a vector (bytes of f32 values) with each array, as PostgreSQL sends them in binary."""

def wanted_terms(question: str) -> tuple[list[str], list[str], list[str]]:
    """What to look up for a question: terms, beginnings of terms, parts of terms."""

def needed_terms(question: str, there: Sequence[str]) -> list[str]:
    """Of the terms that there are, those whose lists a question needs."""

@final
class Mirror:
    """Items of another database in memory, searched as a local store searches its own."""

    def __new__(cls, local: bool) -> Mirror:
        """An empty one. ``local``: vectors are computed here, by the built-in embedder, and not read."""

    @property
    def memory_bytes(self) -> int:
        """About how many bytes of memory it takes."""

    def load(self, rows: Sequence[tuple[Any, ...]]) -> int:
        """Takes rows as they are, and says by how many items the mirror has grown.

        Columns: the namespace (each part followed by a zero byte; None: no row, and in place of the version how
        many numbers vectors have, or None), key, value JSON (None: the vector of an item in another row, or,
        without a vector, the item is gone), created_at, updated_at, expires_at, version, vector (as
        :func:`unpack_vectors` reads it); more do not matter.

        Raises:
            StorageCorruptError: a value is no JSON, or a vector has another size.
        """

    def search(
        self, text: str, vector: bytes | None, filter: Any, window: tuple[int, float | None], now: int
    ) -> builtins.list[tuple[MemoryItem, float]]:
        """The best items for a question with their scores; ``window`` is ``(limit, least score or None)``,
        ``vector`` the bytes of f32 values."""

@final
class LocalStore:
    """A store in one SQLite file, or in memory. Times are microseconds since 1970 UTC; a row written as
    ``(namespace, key, value)``, with an expiry, the expected version and an item's past where there are any."""

    def __new__(
        cls,
        path: str | os.PathLike[str] | None,
        timeout: float,
        max_bytes: int,
        room: int,
        model: str | None = None,
        switch: bool = False,
    ) -> LocalStore:
        """Opens the file at ``path``, or memory when there is none; indexes take up to ``room`` bytes of memory."""

    def put(
        self, rows: Sequence[Sequence[Any]], now: int, expires_at: int | None = None
    ) -> builtins.list[MemoryItem]:
        """Writes all rows or none; returns each as it now is."""

    def prepare(self, rows: Sequence[Sequence[Any]], expires_at: int | None = None) -> Batch:
        """Checks rows and turns them into what is stored."""

    def lacking(self, batch: Batch, size: int | None = None) -> builtins.list[str]:
        """The texts of a prepared batch whose vectors the store lacks, each once.

        ``size``: that of the embedder's vectors, where it is known; held ones of another size do not count.
        """

    def put_batch(self, batch: Batch, made: Sequence[bytes], now: int) -> builtins.list[MemoryItem]:
        """Writes a prepared batch with the vectors (bytes of f32 values) of the texts that were lacking, and empties
        it."""

    def pending(self, size: int | None = None) -> tuple[Pending, builtins.list[str]]:
        """Every item, to be embedded again, and the texts whose vectors have to be made, each once.

        Held vectors of this embedder are taken over where they have ``size``; where that is None, all are made.
        """

    def reembed(self, pending: Pending, made: Sequence[bytes]) -> bool:
        """Gives the store to this embedder with the vectors (bytes of f32 values) of the texts that had none; false
        when items changed since ``pending``, which has to be asked again then."""

    def search(
        self,
        namespace: Any,
        recursive: bool,
        text: Any,
        vector: bytes | None,
        filter: Any,
        window: tuple[int, float | None],
        now: int,
    ) -> builtins.list[tuple[MemoryItem, float]]:
        """The best items for a question with their scores; ``window`` is ``(limit, least score or None)``."""

    def get(self, keys: Sequence[_StorePlace], now: int) -> list[MemoryItem | None]:
        """Reads items; None where there is none."""

    def delete(self, keys: Sequence[_StorePlace], now: int) -> list[bool]:
        """Deletes; says of each key whether there was an item."""

    def list(
        self, namespace: Any, recursive: bool, filter: Any, window: tuple[int | None, int], now: int
    ) -> builtins.list[MemoryItem]:
        """The items of a namespace in order; ``window`` is ``(limit or None, offset)``."""

    def count(self, namespace: Any, recursive: bool, filter: Any, now: int) -> int:
        """How many items a listing would return."""

    def namespaces(self, root: Any, now: int) -> builtins.list[tuple[str, ...]]:
        """The namespaces that hold an item, at and below ``root``."""

    def clear(self, namespace: Any, recursive: bool, now: int) -> int:
        """Deletes everything in a namespace; returns how many items there were."""

    def sweep(self, until: int, limit: int) -> int:
        """Deletes up to ``limit`` items that expired by ``until``; returns how many."""

    def purge(self, now: int) -> int:
        """Removes what expired, and every trace of what was deleted; returns how many expired items went."""

    def close(self) -> None:
        """Closes the store once the running operations are done."""

def canonical_json(value: Any, max_bytes: int) -> str:
    """The canonical JSON of an item's value (a dict), at most ``max_bytes`` long."""

def canonical_filter(value: Any) -> str | None:
    """The canonical JSON of a filter that was checked."""

def check_key(value: Any, name: str = "key") -> str:
    """A key, or an id that obeys the same rules, checked: its text as a plain ``str``. ``name`` is what errors call
    it."""

def check_namespace(value: Any) -> tuple[str, ...]:
    """The parts of a namespace, checked."""

def check_query(namespace: Any, query: Any, filter: Any) -> None:
    """Refuses a search that could not be made."""

def before_fork() -> None:
    """Waits for running operations and closes every connection to a file; ``os.fork`` calls it."""

def after_fork() -> None:
    """Lets operations run again after a fork, in parent and child."""

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

_ConversationHead = tuple[int, int, str, str, int, str, int | None, int | None, str | None, int, int, int]
_ConversationRow = tuple[_ConversationHead, list[str], dict[bytes, bytes]]

@final
class LocalConversations:
    """Conversations of users in one SQLite file, or in memory. Safe to share between threads.

    Rows have the fields of the tuples in ``ai_infra.storage.conversations``, in their order.
    """

    def __new__(cls, path: str | PathLike[str] | None, timeout: float) -> LocalConversations:
        """Opens the file at ``path``, or memory for None.

        Raises:
            ConfigurationError, StorageCorruptError, StorageError: as ``LocalStore``.
        """

    def put(
        self, writes: Sequence[tuple[Any, ...]], model: str, now: int
    ) -> list[tuple[_ConversationHead, int]]:
        """Stores all or none; with each, how many of its messages changed.

        Raises:
            EmbeddingMismatchError: another model's conversations are there, or vectors of another size.
        """

    def state(self, user_id: str) -> tuple[int, int, str | None]:
        """The user's row (0: none), generation, and the embedder of the database."""

    def changes(
        self, user_id: str, held: dict[int, int], most: int
    ) -> tuple[tuple[int, int, str | None], list[int], list[_ConversationRow], bool]:
        """The state, the rows of all conversations, and those not held as they are now: enough of them to
        exceed ``most`` messages, and whether that is all."""

    def pick(
        self, user_id: str, wanted: list[tuple[int, list[int]]]
    ) -> list[tuple[_ConversationHead, dict[int, str]]]:
        """These positions of these rows, where the user has them."""

    def restore(self, user_id: str, model: str, index: ConversationIndex) -> tuple[int, int] | None:
        """Takes an index from its file, in place of ``index``: the user's row and generation that it shows.

        None, with ``index`` as it was, where there is no file that is whole and of this very database.
        """

    def keep(self, user_id: str, model: str, mark: tuple[int, int], index: ConversationIndex) -> bool:
        """Puts an index that shows ``mark`` (row and generation) into a file beside the database.

        False where it could not be, or the user's conversations have changed since. Never raises.
        """

    def known(self, user_id: str, hashes: list[bytes]) -> dict[bytes, bytes]:
        """The user's vectors of these hashes."""

    def get(self, user_id: str, session_id: str) -> _ConversationRow | None:
        """One conversation, without vectors."""

    def list(self, user_id: str | None) -> list[_ConversationHead]:
        """The conversations of a user, or of all, the newest first."""

    def delete(self, user_id: str, session_id: str | None) -> int:
        """Deletes one or all of a user; how many there were."""

    def totals(self, user_id: str | None) -> tuple[int, int, int]:
        """Users, conversations and messages."""

    def pending(self) -> builtins.list[_ConversationRow]:
        """Every conversation, without vectors."""

    def reembed(self, model: str, rows: builtins.list[tuple[int, int, dict[bytes, bytes]]]) -> bool:
        """Gives everything to another embedder; False where something changed since ``pending``."""

    def purge(self) -> None:
        """Leaves no trace of what was deleted."""

    def close(self) -> None:
        """Closes once the running operations are done."""

def filter_matches(filter: str, values: list[str]) -> list[bool]:
    """For each of these JSON values, whether it satisfies the filter that ``canonical_filter`` gave."""

def message_chunks(joined: list[bool], size: int = 10, overlap: int = 2) -> list[tuple[int, int]]:
    """Chunks ``(start, end)`` of at most ``size`` messages, neighbours sharing about ``overlap``.

    ``joined[i]``: message ``i`` must stay in one chunk with message ``i - 1``. Only a group
    that is larger than ``size`` by itself makes a larger chunk.

    Raises:
        InvalidInputError: ``size`` is 0, or ``overlap`` is not smaller than ``size``.
    """

def message_passages(texts: list[str]) -> list[tuple[int, int, int]]:
    """The passages of messages as ``(message, start, end)`` in characters, in the order of their vectors."""

def local_embed(texts: list[str]) -> bytes:
    """Unit vectors of texts by the built-in embedder: rows of ``local_dimensions()`` little-endian f32.

    A text without words has a zero row.
    """

def float_rows(values: Sequence[Any]) -> tuple[list[bytes | None], list[int]]:
    """For each value its numbers as the bytes of f32 values, None where it is no sequence of numbers (a list, an
    array, whatever iterates); and which of them hold one that is not finite."""

def pack_vectors(vectors: Sequence[bytes]) -> list[bytes]:
    """The stored form of vectors given as the bytes of f32 values: of each its direction, as the bytes of f16 values.

    Raises:
        EmbeddingError: one is empty or not finite.
    """

def unpack_vectors(stored: Sequence[bytes], dimensions: int) -> list[bytes]:
    """The vectors that PostgreSQL holds, of so many numbers each, as the bytes of f32 values.

    Raises:
        StorageCorruptError: one is neither the f16 values of :func:`pack_vectors` nor the f32 values of earlier
            versions.
    """

def is_database(path: str) -> bool:
    """Whether a file is a SQLite database, ours or another's; false where it cannot be read."""

def local_dimensions() -> int:
    """The number of components of the built-in embedder's vectors."""

def local_model() -> str:
    """The name of the built-in embedder's model; it changes when its vectors do."""

def fuse_scores(words: list[float], similarity: list[float], weight: float = 0.5) -> list[float]:
    """The sum of the z-scores of two scores of the same items, the second times ``weight``.

    Raises:
        InvalidInputError: the lists differ in length.
    """

def word_stems(words: list[str]) -> list[str]:
    """The search stems of lower-case words; those that are not ASCII letters come back as they are."""

def search_terms(text: str) -> list[str]:
    """The search terms of a text, in order: folded, split, stemmed."""

@final
class TextIndex:
    """Small texts by number, searchable by words and related words (BM25). Safe to share between threads."""

    def __new__(cls) -> TextIndex: ...
    def add(self, items: list[tuple[int, str]]) -> None:
        """Add texts under their keys (0 to 2**64 - 1), each in place of the one that was there."""

    def remove(self, keys: list[int]) -> int:
        """Remove texts; how many there were."""

    def search(
        self, question: str, *, limit: int = 10, allowed: list[int] | None = None
    ) -> list[tuple[int, float, float]]:
        """The texts that hold a word of the question, as ``(key, score, coverage)``, best first, ties by key.

        ``score`` is a sum over the words (BM25); ``coverage``, 0 to 1, is the share of the question, by
        the weight of its words, that the text holds. Only ``allowed`` keys, where given.
        """

    def __len__(self) -> int: ...

@final
class RecallHit:
    """A result of ``ConversationIndex.search``: a chunk, in rank order."""

    @property
    def session(self) -> str:
        """The session's key."""

    @property
    def chunk(self) -> int:
        """Index of the chunk in its session."""

    @property
    def start(self) -> int:
        """Its first message."""

    @property
    def end(self) -> int:
        """One past its last message."""

    @property
    def score(self) -> float:
        """0 to 1, never rising with rank."""

    @property
    def best(self) -> int:
        """The message that brought it, an index into the session."""

    @property
    def similarity(self) -> float | None:
        """Cosine of the question and that message, where there are vectors."""

    @property
    def context(self) -> list[tuple[int, int, int]]:
        """What to read, as ``(message, start, end)`` in characters: no message is in two results."""

    @property
    def words(self) -> list[tuple[str, str, float]]:
        """``(word as asked, term found, share of the question it answers)``."""

    @property
    def parts(self) -> dict[str, float]:
        """What each view added to the best message's score, without those that added nothing."""

@final
class ConversationIndex:
    """One user's conversations, searchable by words and vectors. Safe to share between threads.

    Nothing is stored on disk, and the texts are not kept: results point into the sessions by position.
    What a search returns depends only on the sessions held, never on the order of writes.
    """

    def __new__(
        cls, chunk_size: int = 10, chunk_overlap: int = 2, *, embedding: str = "local", dimensions: int = 0
    ) -> ConversationIndex:
        """An empty index. ``embedding``: "local" (built in), "external" or "none".

        With "external" you give vectors of ``dimensions`` values.

        Raises:
            InvalidInputError: sizes that make no chunks, an unknown ``embedding``, or external without
            dimensions.
        """

    def put(
        self,
        session: str,
        texts: list[str],
        *,
        roles: list[str] | None = None,
        speakers: list[str | None] | None = None,
        joined: list[bool] | None = None,
        date: str | None = None,
        vectors: bytes | None = None,
    ) -> list[tuple[int, int]]:
        """Add a session in place of the one of that name; returns its chunks ``(start, end)``.

        ``roles``: "user" and "human" mark the user's words. ``speakers``: names, where there are any.
        ``joined``: as for ``message_chunks``. ``date``: the session's date, ISO 8601 or with a month's name.
        ``vectors``: little-endian f32 rows, one for each of ``message_passages(texts)``.

        Raises:
            InvalidInputError: lists of another length than ``texts``; vectors of a wrong size or not
                finite. Nothing is changed then.
        """

    def remove(self, session: str) -> bool:
        """Remove a session; False if there was none."""

    def search(
        self,
        question: str,
        *,
        limit: int = 5,
        vector: bytes | None = None,
        sessions: list[str] | None = None,
        context: int = 2000,
    ) -> list[RecallHit]:
        """The chunks that answer the question, best first.

        ``vector``: the question's, little-endian f32, for external embeddings. ``sessions``: search only
        these, before the limit. ``context``: characters of the strongest messages that the contexts of the
        first results hold together.
        """

    def set_weights(self, weights: list[float], *, related: bool = True) -> None:
        """Replace the weights of the views and switch related words on or off: for measuring."""

    @staticmethod
    def default_weights() -> list[tuple[str, float]]:
        """The views and their weights."""

    def sessions(self) -> list[str]:
        """The sessions' keys, sorted."""

    def chunks(self, session: str) -> list[tuple[int, int]] | None:
        """The chunks of a session; None if there is none of that name."""

    @property
    def footprint(self) -> int:
        """About how many bytes of memory it takes."""

    @property
    def dimensions(self) -> int:
        """Values of a vector from outside; 0 without such."""

    def __len__(self) -> int:
        """The number of messages."""
