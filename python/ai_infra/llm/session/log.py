"""The messages of a session as a sequence that is read from its end, and only as far as somebody looks.

Positions count from the beginning of the log whatever was loaded, so that what is decided by an index (where
a prompt is cut) stays where it is from turn to turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

from ai_infra.llm.memory.tokens import Counter
from ai_infra.messages import calls_in, to_message
from ai_infra.storage.sessions import Tail

FIRST_READ = 256
"""Messages that are read with a session that was not known before: more than most prompts hold."""


class Missing(Exception):
    """Positions ``start`` to ``end`` are needed and not loaded."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__(start, end)
        self.start = start
        self.end = end


class Log:
    """What is known of one session's messages: all from ``start`` on, and single ones before it."""

    def __init__(self, ref: int) -> None:
        self.ref = ref
        self.length = 0
        self.start = 0
        self._rest: list[Any] = []
        self._single: dict[int, Any] = {}
        self._lowest = 0
        self._tally: Tally | None = None

    def take(self, tail: Tail) -> None:
        """Take in what was read behind what is known; forget what is known where the two do not meet."""
        if tail.start > self.length or tail.head.length < self.length:
            self.start, self._rest, self._tally = tail.start, [], None
            self._single.clear()
        self._rest.extend(parsed(tail.messages))
        self._lowest = self.length = tail.head.length

    def add(self, messages: Iterable[Any]) -> None:
        """Take in a turn that was appended."""
        self._rest.extend(messages)
        self.length = self.start + len(self._rest)

    def fill(self, start: int, messages: Sequence[str]) -> None:
        """Take in messages from ``start`` on that somebody missed."""
        found = parsed(messages)
        if start + len(found) == self.start:
            self._rest[:0] = found
            self.start = start
        else:
            self._single.update(enumerate(found, start))

    def trim(self) -> None:
        """Forget what the last turn did not look at."""
        unused = min(self._lowest, self.length) - self.start
        if unused > len(self._rest) // 2:
            if self.start == 0:
                self._single[0] = self._rest[
                    0
                ]  # every turn looks whether the log begins with a system prompt
            del self._rest[:unused]
            self.start += unused

    def tokens_from(self, position: int, counter: Counter) -> int | None:
        """The tokens of all messages from ``position`` on; each is counted once.

        None when they are not all loaded, or when some are not what every service takes: a call without its
        result, or messages in which only a closer look finds calls.
        """
        if position < self.start:
            return None
        tally = self._tally
        if tally is None or tally.start != position or tally.counter is not counter:
            tally = self._tally = Tally(position, counter)
        tally.take(self._rest[tally.end - self.start :])
        return tally.tokens if tally.sound else None

    def at(self, position: int) -> Any:
        """The message at ``position``."""
        if position >= self.start:
            return self._rest[position - self.start]
        if position in self._single:
            return self._single[position]
        raise self._missing(position, position + 1)

    def part(self, start: int, end: int) -> list[Any]:
        """The messages at positions ``start`` to ``end``, not included."""
        if start < self.start and start < end:
            raise self._missing(start, end)
        self._lowest = min(self._lowest, start)
        return self._rest[start - self.start : end - self.start]

    def _missing(self, start: int, end: int) -> Missing:
        # One look at the beginning is a look for a system prompt, and reads one message. Whoever comes from
        # the end will go on, so at least as much is read as there is.
        if end == start + 1 and start < 16 and self.start - start > FIRST_READ:
            return Missing(start, end)
        return Missing(max(0, min(start, self.start - max(FIRST_READ, len(self._rest)))), self.start)


class Tally:
    """The tokens of messages from ``start`` to ``end``, and whether every call among them has its result."""

    def __init__(self, start: int, counter: Counter) -> None:
        self.start = self.end = start
        self.counter = counter
        self.tokens = 0
        self.sound = True
        self._open: list[Any] = []

    def take(self, messages: list[Any]) -> None:
        """Go on with the messages behind."""
        if not messages:
            return
        self.end += len(messages)
        if self.sound:
            self.tokens += sum(self.counter.messages(messages))
            self.sound = all(map(self._follows, messages)) and not self._open

    def _follows(self, message: Any) -> bool:
        if message.get("role") == "tool":
            answered = message.get("tool_call_id")
            if answered not in self._open:
                return False
            self._open.remove(answered)
            return True
        if self._open or message.get("function_call") or not isinstance(message.get("content"), str | None):
            return False
        self._open = [call.get("id") if isinstance(call, Mapping) else None for call in calls_in(message)]
        return True


class View(Sequence[Any]):
    """A prompt to be: the system prompt, the log from ``skip`` on, and the turn that is under way."""

    def __init__(self, before: list[Any], log: Log, skip: int, turn: list[Any]) -> None:
        self.before = before
        self.turn = turn
        self._log = log
        self._skip = min(skip, log.length)
        # A summary may stand for the beginning of this turn already.
        self._turn = turn[skip - log.length :] if skip > log.length else turn
        self._first = len(before)
        self._last = self._first + log.length - self._skip

    def __len__(self) -> int:
        return self._last + len(self._turn)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            part = self._part(start, stop) if step > 0 else self._part(stop + 1, start + 1)[::-1]
            return part[:: abs(step)] if abs(step) != 1 else part
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index < self._first:
            return self.before[index]
        if index < self._last:
            return self._log.at(self._skip + index - self._first)
        return self._turn[index - self._last]

    def _part(self, start: int, stop: int) -> list[Any]:
        first, last = self._first, self._last
        part = self.before[start:stop] if start < first else []
        low, high = max(start, first), min(stop, last)
        if low < high:
            part += self._log.part(self._skip + low - first, self._skip + high - first)
        if stop > last:
            part += self._turn[max(start - last, 0) : stop - last]
        return part


def parsed(rows: Iterable[str]) -> list[Any]:
    """Stored messages as our message types."""
    return [to_message(json.loads(row)) for row in rows]
