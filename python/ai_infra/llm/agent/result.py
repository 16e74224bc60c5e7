"""What an agent answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ai_infra.llm.response import Usage
from ai_infra.messages import to_messages

__all__ = ["AgentResult", "PendingAction"]


@dataclass(frozen=True)
class PendingAction:
    """A tool call that waits for a person's decision; see :meth:`Agent.resume <ai_infra.Agent.resume>`.

    Attributes:
        tool: the tool's name.
        arguments: what it would be called with.
        call_id: the id of the call.
        session_id: the session to resume.
    """

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)
    call_id: str = ""
    session_id: str = ""


class AgentResult(str):
    """The agent's answer. It *is* its text, so it prints, compares, joins and serializes as a string.

    Attributes:
        new_messages: the messages of this turn: what was asked, tool calls with their results, the answer.
        session_id: the session; without a session store, an id made for this run alone.
        usage: the tokens of all model calls of the turn together.
        steps: how often the model was called.
        paused: whether a tool call waits for a decision. The text is then what the model said with the call.
        pending_action: that call.
    """

    new_messages: list[Any]
    session_id: str
    usage: Usage
    steps: int
    paused: bool
    pending_action: PendingAction | None
    _log: Callable[[], list[Any]] | None

    def __new__(
        cls,
        text: str = "",
        *,
        new_messages: Sequence[Any] = (),
        session_id: str = "",
        usage: Usage | None = None,
        steps: int = 0,
        pending_action: PendingAction | None = None,
        log: Callable[[], list[Any]] | None = None,
    ) -> AgentResult:
        """A result with this text; :class:`~ai_infra.Agent` makes them."""
        self = super().__new__(cls, text)
        self.new_messages = to_messages(list(new_messages))
        self.session_id = session_id
        self.usage = usage or Usage()
        self.steps = steps
        self.paused = pending_action is not None
        self.pending_action = pending_action
        self._log = log
        return self

    @property
    def content(self) -> str:
        """The text as a plain ``str``."""
        return str(self)

    @property
    def messages(self) -> list[Any]:
        """The conversation up to the end of this turn, without the system prompt: all that
        ``index_conversation`` wants.

        With a session this reads the session's log, when it is asked for. A turn that is paused is not part
        of it yet.

        Raises:
            SessionNotFoundError: the session has been deleted since.
        """
        return list(self.new_messages) if self._log is None else self._log()

    async def amessages(self) -> list[Any]:
        """:attr:`messages`, read without blocking the event loop."""
        return await asyncio.to_thread(lambda: self.messages)

    def __reduce__(self) -> tuple[Any, ...]:
        # Where it is unpickled there may be no store: the messages go along.
        return _rebuilt, (str(self), self.messages, self.new_messages, self.session_id, self.usage,
                          self.steps, self.pending_action)  # fmt: skip


def _rebuilt(
    text: str,
    messages: list[Any],
    new_messages: list[Any],
    session_id: str,
    usage: Usage,
    steps: int,
    pending_action: PendingAction | None,
) -> AgentResult:
    return AgentResult(
        text,
        new_messages=new_messages,
        session_id=session_id,
        usage=usage,
        steps=steps,
        pending_action=pending_action,
        log=lambda: list(messages),
    )
