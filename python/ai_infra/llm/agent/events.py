"""What an agent's stream gives: pieces of text, and what happens with tools."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

__all__ = ["AgentEvent", "TextDelta", "ToolFinished", "ToolStarted", "TurnRestarted"]


class TextDelta(str):
    """A piece of the model's text, as soon as the service sends it. It is a string."""

    __slots__ = ()
    type: ClassVar[Literal["text"]] = "text"


@dataclass(frozen=True)
class ToolStarted:
    """A tool is about to be called.

    Attributes:
        call_id: the id of the call.
        name: the tool.
        arguments: JSON, as the model wrote it; what is no JSON object stands in one, under ``"__not_json__"``.
    """

    type: ClassVar[Literal["tool_started"]] = "tool_started"
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ToolFinished:
    """A tool has answered.

    Attributes:
        call_id: the id of the call.
        name: the tool.
        content: what the model is told.
        failed: whether it is an error.
    """

    type: ClassVar[Literal["tool_finished"]] = "tool_finished"
    call_id: str
    name: str
    content: str
    failed: bool


@dataclass(frozen=True)
class TurnRestarted:
    """Another worker continued the session first: the turn begins again, and what was shown of it is void."""

    type: ClassVar[Literal["turn_restarted"]] = "turn_restarted"


AgentEvent: TypeAlias = TextDelta | ToolStarted | ToolFinished | TurnRestarted


class Emit:
    """The request of a flow to hand an event to whoever reads the stream; without a reader, nothing."""

    __slots__ = ("event",)

    def __init__(self, event: AgentEvent) -> None:
        self.event = event

    def run(self) -> None:
        """Nobody reads."""

    def arun(self) -> Awaitable[None]:
        """Nobody reads."""
        return _nothing()


async def _nothing() -> None:
    return None
