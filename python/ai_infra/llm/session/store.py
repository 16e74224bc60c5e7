"""``SessionStore``: conversations that continue tomorrow, in another process, on another machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from ai_infra._checks import require_count
from ai_infra._flow import Closing, Flow, arun, run
from ai_infra.errors import ConfigurationError, ConflictError, InvalidInputError, SessionNotFoundError
from ai_infra.llm.memory._groups import require_whole
from ai_infra.llm.sending import chat_messages
from ai_infra.llm.session.log import parsed
from ai_infra.llm.session.state import State
from ai_infra.llm.session.turns import Policy, Turns, new_id, row_of
from ai_infra.messages import AnyMessage, as_list
from ai_infra.storage.sessions import Head, SessionBackend

__all__ = ["SessionInfo", "SessionStore"]

Infos = list["SessionInfo"]
Messages = list[Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALL = 2**62


@dataclass(frozen=True)
class SessionInfo:
    """A session without its messages.

    Attributes:
        id: its id.
        turns: how many turns were appended.
        messages: how many messages the log holds.
        created_at, updated_at: when the first and the last change came, in UTC.
        summary: the rolling summary, or None.
        summarized: how many messages from the beginning the summary stands for. The log still holds them.
        paused: whether a turn waits for :meth:`Agent.resume <ai_infra.Agent.resume>`.
    """

    id: str
    turns: int
    messages: int
    created_at: datetime
    updated_at: datetime
    summary: str | None
    summarized: int
    paused: bool

    @classmethod
    def of(cls, id_: str, head: Head) -> SessionInfo:
        """From what a backend returned."""
        state = State.load(head.state)
        created, updated = (
            _EPOCH + timedelta(microseconds=moment) for moment in (head.created_at, head.updated_at)
        )
        paused = state.pending is not None
        return cls(id_, head.turns, head.length, created, updated, state.summary, state.summarized, paused)


class SessionStore(Closing):
    """Conversations by session id: append-only logs that an agent reads and continues.

    Made by :func:`~ai_infra.llm.session.memory`, :func:`~ai_infra.llm.session.sqlite` and
    :func:`~ai_infra.llm.session.postgres`, given to ``Agent(session=...)``. Every method has an ``a…`` twin
    for asyncio. One object serves any number of threads, tasks and agents.

    Args:
        backend: where the logs are.
        max_tokens: the most that a prompt may have, tool schemas included. None: the window of the agent's
            model, less up to 4,096 tokens for the answer (an unknown model is taken to have 8,192 in all). Of a
            turn under way nothing is left out; results of its tools are cut where they are too long.
        trim_to: when something has to be left out, cut down to somewhere between this and ``max_tokens``, at
            a place that stays the same for many turns: providers bill a repeated prefix at a fraction. None:
            half of ``max_tokens``.
        summarize: let old turns be summarized instead of left out. The summary is kept with the session. When
            none can be made, the prompt is trimmed, a warning is logged, and the next turn tries again.
        keep: with ``summarize``, how many of the newest messages stay as they are.
        llm: who summarizes; ``LLM()`` by default.
        max_summary_tokens: the bound of a summary.
        wait: seconds that a turn waits for other turns of the same session before ``ConflictError``.
        clock: seconds since 1970 UTC. For tests.
    """

    def __init__(
        self,
        backend: SessionBackend,
        *,
        max_tokens: int | None = None,
        trim_to: int | None = None,
        summarize: bool = False,
        keep: int = 10,
        llm: Any = None,
        max_summary_tokens: int | None = None,
        wait: float = 300.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, value in (
            ("max_tokens", max_tokens),
            ("trim_to", trim_to),
            ("max_summary_tokens", max_summary_tokens),
        ):
            if value is not None:
                require_count(value, name)
        require_count(keep, "keep", least=0)
        if max_tokens is not None and trim_to is not None and trim_to > max_tokens:
            raise ConfigurationError(f"trim_to ({trim_to}) is the low mark below max_tokens ({max_tokens}).")
        if isinstance(wait, bool) or not isinstance(wait, float | int) or not 0 <= wait < float("inf"):
            raise ConfigurationError(f"wait is a number of seconds, not {wait!r}.")
        policy = Policy(max_tokens, trim_to, summarize, keep, llm, max_summary_tokens)
        self._backend = backend
        self.turns = Turns(backend, policy, wait=wait, clock=clock)

    def messages_until(self, session_id: str, ref: int, length: int) -> list[Any]:
        """The first ``length`` messages of the incarnation ``ref``, for a result that was made of them."""
        rows = run(self._backend.read(ref, 0, length))
        if len(rows) < length:
            raise SessionNotFoundError(f"the session {session_id!r} has been deleted.")
        return parsed(rows)

    # Reading ------------------------------------------------------------------------------------------------

    def get(self, session_id: str) -> SessionInfo | None:
        """What is known of a session; None where there is none."""
        return run(self._get(session_id))

    async def aget(self, session_id: str) -> SessionInfo | None:
        """:meth:`get` for asyncio."""
        return await arun(self._get(session_id))

    def messages(self, session_id: str) -> list[Any]:
        """The whole log, oldest first; empty where there is no such session."""
        return run(self._messages(session_id))

    async def amessages(self, session_id: str) -> list[Any]:
        """:meth:`messages` for asyncio."""
        return await arun(self._messages(session_id))

    def list(self, *, prefix: str = "", limit: int | None = None, offset: int = 0) -> Infos:
        """The sessions, the one changed last first.

        Args:
            prefix: only those whose id begins with it.
            limit: at most so many.
            offset: leave out so many from the beginning.
        """
        return run(self._list(prefix, limit, offset))

    async def alist(self, *, prefix: str = "", limit: int | None = None, offset: int = 0) -> Infos:
        """:meth:`list` for asyncio."""
        return await arun(self._list(prefix, limit, offset))

    def export(self, session_id: str, file: IO[str] | None = None) -> str:
        """A session as JSON Lines: one line about the session, then one for each message.

        Args:
            session_id: which.
            file: where to write it as well.

        Raises:
            SessionNotFoundError: there is none.
        """
        text = run(self._export(session_id))
        if file is not None:
            file.write(text)
        return text

    async def aexport(self, session_id: str) -> str:
        """:meth:`export` for asyncio."""
        return await arun(self._export(session_id))

    # Writing ------------------------------------------------------------------------------------------------

    def append(
        self, session_id: str, messages: Iterable[AnyMessage], *, turn_id: str | None = None
    ) -> SessionInfo:
        """Append messages as one turn, for whoever keeps a session without an agent.

        Args:
            session_id: which session; it is made when there is none.
            messages: whole: a tool call with all its results.
            turn_id: an id of your own. The same turn appended twice is there once.

        Raises:
            InvalidMessageError, InvalidValueError, InvalidTextError: a message that cannot be stored, or that
                :class:`~ai_infra.LLM` would not send, or half a tool call.
        """
        return run(self._append(session_id, messages, turn_id))

    async def aappend(
        self, session_id: str, messages: Iterable[AnyMessage], *, turn_id: str | None = None
    ) -> SessionInfo:
        """:meth:`append` for asyncio."""
        return await arun(self._append(session_id, messages, turn_id))

    def fork(self, session_id: str, new_id: str | None = None, *, turns: int | None = None) -> SessionInfo:
        """Make a new session of the beginning of another; the two go on independently.

        A turn that waits for a person stays with the original.

        Args:
            session_id: the original.
            new_id: the new one's id; made up when not given.
            turns: how many turns to take; all when not given.

        Raises:
            SessionNotFoundError: there is no original.
            ConflictError: there is a session ``new_id`` already.
            InvalidInputError: the original has fewer turns.
        """
        return run(self._fork(session_id, new_id, turns))

    async def afork(
        self, session_id: str, new_id: str | None = None, *, turns: int | None = None
    ) -> SessionInfo:
        """:meth:`fork` for asyncio."""
        return await arun(self._fork(session_id, new_id, turns))

    def delete(self, session_id: str) -> bool:
        """Delete a session with everything in it; False where there was none.

        A turn that is under way then finds the session gone, and begins a new one under the same id.
        """
        return run(self._delete(session_id))

    async def adelete(self, session_id: str) -> bool:
        """:meth:`delete` for asyncio."""
        return await arun(self._delete(session_id))

    def close(self) -> None:
        """Let running operations finish, then close. Later calls raise ``StorageClosedError``."""
        run(self._backend.close())

    async def aclose(self) -> None:
        """:meth:`close` for asyncio."""
        await arun(self._backend.close())

    # The operations, each written once
    # ------------------------------------------------------------------------

    def _delete(self, session_id: str) -> Flow[bool]:
        there = yield from self._backend.delete(session_id)
        self.turns.forget(session_id)
        return there

    def _head(self, session_id: str) -> Flow[Head | None]:
        tail = yield from self._backend.load(session_id, ref=0, start=0, last=0)
        return tail and tail.head

    def _get(self, session_id: str) -> Flow[SessionInfo | None]:
        head = yield from self._head(session_id)
        return head and SessionInfo.of(session_id, head)

    def _messages(self, session_id: str) -> Flow[Messages]:
        tail = yield from self._backend.load(session_id, ref=0, start=0, last=_ALL)
        return [] if tail is None else parsed(tail.messages)

    def _list(self, prefix: str, limit: int | None, offset: int) -> Flow[Infos]:
        if not isinstance(prefix, str):
            raise InvalidInputError(f"prefix is the beginning of session ids, not {prefix!r}.")
        if limit is not None:
            require_count(limit, "limit", least=0)
        require_count(offset, "offset", least=0)
        found = yield from self._backend.list(prefix=prefix, limit=limit, offset=offset)
        return [SessionInfo.of(id_, head) for id_, head in found]

    def _export(self, session_id: str) -> Flow[str]:
        tail = yield from self._backend.load(session_id, ref=0, start=0, last=_ALL)
        if tail is None:
            raise _not_found(session_id)
        info = SessionInfo.of(session_id, tail.head)
        about = {
            "session_id": info.id,
            "turns": info.turns,
            "messages": info.messages,
            "created_at": info.created_at.isoformat(),
            "updated_at": info.updated_at.isoformat(),
            "summary": info.summary,
            "summarized": info.summarized,
        }
        return "".join(f"{line}\n" for line in [json.dumps(about, ensure_ascii=False), *tail.messages])

    def _append(
        self, session_id: str, messages: Iterable[AnyMessage], turn_id: str | None
    ) -> Flow[SessionInfo]:
        given = as_list(messages)
        rows = [row_of(message) for message in given]
        chat_messages(parsed(rows))  # what is refused when it is sent would fail every later turn
        require_whole(given)
        if not rows:
            raise InvalidInputError("there are no messages to append.")
        turns = self.turns
        turn = yield from turns.begin(session_id, turn_id)
        try:
            while True:
                try:
                    yield from turns.append(turn, parsed(rows), turn.state)
                except ConflictError:
                    # Something came in between, or the id belongs to a turn with other messages.
                    before = turn.expected
                    yield from turns.load(turn)
                    if turn.expected == before:
                        raise
                    continue
                assert turn.head is not None
                return SessionInfo.of(session_id, turn.head)
        finally:
            turns.end(turn)

    def _fork(self, session_id: str, target: str | None, turns: int | None) -> Flow[SessionInfo]:
        head = yield from self._head(session_id)
        if head is None:
            raise _not_found(session_id)
        end, state = head.length, State.load(head.state)
        if turns is not None:
            require_count(turns, "turns", least=0)
            there = yield from self._backend.turns(head.ref)
            if turns > len(there):
                raise InvalidInputError(f"turns={turns}, but the session {session_id!r} has {len(there)}.")
            end = there[turns - 1].end if turns else 0
        # A summary that stands for more than was taken would tell the fork its future.
        kept = (
            State(summary=state.summary, summarized=state.summarized) if state.summarized <= end else State()
        )
        name = new_id() if target is None else target
        made = yield from self._backend.fork(head.ref, name, end, kept.dump(), self.turns.now())
        if made is None:
            raise _not_found(session_id)
        return SessionInfo.of(name, made)


def _not_found(session_id: str) -> SessionNotFoundError:
    return SessionNotFoundError(f"there is no session {session_id!r}.")
