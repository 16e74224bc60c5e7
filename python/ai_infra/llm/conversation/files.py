"""Export and import of conversations as JSON Lines, one conversation a line."""

from __future__ import annotations

import json
from typing import Any

from ai_infra._checks import shown
from ai_infra._core import canonical_json
from ai_infra._files import Source, one_line, read_lines, write_lines
from ai_infra._flow import Flow, on_thread
from ai_infra.errors import InvalidInputError
from ai_infra.llm.conversation.dates import Span
from ai_infra.llm.conversation.flows import ConversationFlows
from ai_infra.llm.conversation.prepare import MAX_MESSAGE_BYTES, Prepared, check_id, prepare
from ai_infra.storage.conversations import Head, Write

_LEAST, _MOST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds since 1970: the years 1 to 9999, which a datetime can say."""
_TIMES = ("starts", "ends", "created_at", "updated_at", "summarized")


class ConversationFiles(ConversationFlows):
    """The flows that read and write files."""

    def _export(self, target: Any, user_id: Any) -> Flow[int]:
        user = None if user_id is None else check_id("user_id", user_id)
        heads = yield from self._backend.list(user)
        lines: list[str] = []
        for head in sorted(heads, key=lambda head: head.ref):
            stored = yield from self._backend.get(head.user_id, head.session_id)
            if stored is not None:
                lines.append(_line_of(stored.head, stored.messages))
        yield from on_thread(lambda: write_lines(target, lines))
        return len(lines)

    def _import(self, source: Source) -> Flow[int]:
        whole = self._embedder is not None  # who reads the words once more
        rows = yield from on_thread(
            lambda: [_row(number, line, whole) for number, line in read_lines(source)]
        )
        writes: list[Write] = []
        for ready, summary, summarized, restored in rows:
            state = yield from self._backend.state(ready.user_id)
            self._check_model(state)
            write, _ = yield from self._write(ready, summary, summarized, restored)
            writes.append(write)
        if writes:
            yield from self._backend.put(writes, self._model, self._now())
        return len(writes)


def _line_of(head: Head, messages: list[str]) -> str:
    ids = json.dumps({"user_id": head.user_id, "session_id": head.session_id}, ensure_ascii=False)
    rest = json.dumps(
        {
            "starts": head.starts,
            "ends": head.ends,
            "summary": head.summary,
            "summarized": head.summarized,
            "created_at": head.created_at,
            "updated_at": head.updated_at,
        },
        ensure_ascii=False,
    )
    # Metadata and messages go out as the very text that is stored.
    return one_line(
        f'{ids[:-1]}, "metadata": {head.metadata}, "messages": [{", ".join(messages)}], {rest[1:]}'
    )


Row = tuple[Prepared, str | None, int, tuple[int, int] | None]


def _row(number: int, line: str, whole: bool) -> Row:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"line {number} is not JSON ({error}); nothing was imported") from error
    if not isinstance(entry, dict) or not {"user_id", "session_id", "messages"} <= entry.keys():
        raise InvalidInputError(
            f"line {number} has no user_id, session_id and messages; nothing was imported"
        )
    for name in _TIMES:
        value = entry.get(name)
        if value is not None and (type(value) is not int or not _LEAST <= value <= _MOST):
            raise InvalidInputError(
                f"line {number}: {name}={shown(value)} is no whole number, or out of range; nothing was imported"
            )
    summary = entry.get("summary")
    if summary is not None and not isinstance(summary, str):
        raise InvalidInputError(f"line {number}: the summary is no text; nothing was imported")
    try:
        ready = prepare(entry["user_id"], entry["session_id"], entry["messages"], entry.get("metadata"))
        if summary is not None:
            canonical_json({"summary": summary}, MAX_MESSAGE_BYTES)
    except InvalidInputError as error:
        raise type(error)(f"line {number}: {error}; nothing was imported") from None
    if "starts" in entry:
        starts, ends = entry["starts"], entry.get("ends")
        ready = ready._replace(
            span=None if starts is None else Span(starts, starts if ends is None else ends)
        )
    if not whole:
        ready = ready._replace(fields=[])
    created, updated = entry.get("created_at"), entry.get("updated_at")
    restored = None if created is None or updated is None else (created, updated)
    return ready, summary, entry.get("summarized") or 0, restored
