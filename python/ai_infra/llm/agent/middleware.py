"""What stands around an agent's model and tools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ai_infra._flow import apart
from ai_infra.errors import ConfigurationError
from ai_infra.llm.agent.model import ModelReply

__all__ = ["Middleware", "ModelReply", "ModelRequest", "ToolCall", "ToolResult"]


@dataclass
class ModelRequest:
    """One call of the model, before it is made. Middleware may change it.

    Attributes:
        messages: the prompt as it will be sent; the session's log is not touched by changes.
        tools: tool schemas.
        params: sent along: ``temperature`` and the like.
        session_id: the session, or the id of this run.
        step: 1 for the first call of the turn.
    """

    messages: list[Any]
    tools: list[Any]
    params: dict[str, Any]
    session_id: str
    step: int


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool.

    Attributes:
        id: the id the model gave it.
        name: the tool.
        arguments: JSON, as the model wrote it; what is no JSON object stands in one, under ``"__not_json__"``.
        session_id: the session, or the id of this run.
    """

    id: str
    name: str
    arguments: str
    session_id: str = field(default="", compare=False)


@dataclass(frozen=True)
class ToolResult:
    """What the model is told of a call.

    Attributes:
        content: the text.
        failed: whether it is an error.
    """

    content: str
    failed: bool = False


class Middleware:
    """Steps in around the model and the tools of an agent. Override what you need.

    The ``a…`` methods are what :meth:`Agent.arun` and :meth:`Agent.astream` call. Where you override only the
    plain one, they call that: before and after the model as it is, around a tool on a thread. The first
    middleware of an agent's list is the outermost. What a middleware raises ends the turn, and nothing of it
    is stored.
    """

    def before_model(self, request: ModelRequest) -> None:
        """Look at a call of the model, or change it."""

    def after_model(self, request: ModelRequest, reply: ModelReply) -> ModelReply | None:
        """Look at the answer; return another one to put in its place."""
        return None

    def around_tool(self, call: ToolCall, run: Callable[[ToolCall], ToolResult]) -> ToolResult:
        """Run a tool call, or don't."""
        return run(call)

    async def abefore_model(self, request: ModelRequest) -> None:
        """:meth:`before_model` for asyncio."""
        return self.before_model(request)  # None; what else a hook gives is told to whoever wrote it

    async def aafter_model(self, request: ModelRequest, reply: ModelReply) -> ModelReply | None:
        """:meth:`after_model` for asyncio."""
        return self.after_model(request, reply)

    async def aaround_tool(
        self, call: ToolCall, run: Callable[[ToolCall], Awaitable[ToolResult]]
    ) -> ToolResult:
        """:meth:`around_tool` for asyncio."""
        if type(self).around_tool is Middleware.around_tool:
            return await run(call)
        loop = asyncio.get_running_loop()

        async def once(inner: ToolCall) -> ToolResult:
            return await run(inner)

        def blocking(inner: ToolCall) -> ToolResult:
            return asyncio.run_coroutine_threadsafe(once(inner), loop).result()

        return await apart(partial(self.around_tool, call, blocking))


def overridden(one: Middleware, name: str) -> bool:
    """Whether it steps in at ``name``, in one of the two worlds."""
    return any(getattr(type(one), face) is not getattr(Middleware, face) for face in (name, f"a{name}"))


def require_plain(one: Middleware, name: str) -> None:
    """Raise when it steps in at ``name`` for asyncio alone: passed over in silence it would guard nothing.

    Raises:
        ConfigurationError: it does.
    """
    if getattr(type(one), name) is getattr(Middleware, name) and overridden(one, name):
        raise ConfigurationError(
            f"{type(one).__name__} has a{name} and no {name}: call arun or astream, or write {name} too."
        )
