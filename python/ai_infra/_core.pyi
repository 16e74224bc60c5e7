from typing import Any, final

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
