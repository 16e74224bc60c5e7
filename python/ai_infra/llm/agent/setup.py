"""Checks what an agent is made of, before anything is asked of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ai_infra._checks import require_count
from ai_infra.errors import ConfigurationError
from ai_infra.llm.agent.middleware import Middleware
from ai_infra.llm.agent.model import Model
from ai_infra.llm.agent.turn import Setup
from ai_infra.llm.memory.middleware import SummarizationMiddleware
from ai_infra.llm.session.store import SessionStore
from ai_infra.llm.session.turns import Turns
from ai_infra.llm.tools.tool import Tool, as_tool
from ai_infra.messages import SystemMessage


def setup(
    model: Model,
    tools: Iterable[Any],
    session: SessionStore | None,
    system: str | None,
    middleware: Iterable[Any],
    max_steps: int,
    pause_before: Iterable[Any],
    params: Mapping[str, Any],
) -> Setup:
    """Check what an agent is made of."""
    require_count(max_steps, "max_steps")
    if system is not None and not isinstance(system, str):
        raise ConfigurationError(f"system is a string, not {type(system).__name__}.")
    named: dict[str, Tool] = {}
    for found in map(as_tool, tools):
        if found.name in named:
            raise ConfigurationError(
                f"two tools are called {found.name!r}: give one another name, Tool(f, name=...)."
            )
        named[found.name] = found
    around, compactors = _middleware(list(middleware))
    if isinstance(pause_before, str):
        pause_before = [pause_before]
    pause = frozenset(one if isinstance(one, str) else as_tool(one).name for one in pause_before)
    if pause - named.keys():
        raise ConfigurationError(
            f"pause_before names tools that are not there: {', '.join(sorted(pause - named.keys()))}."
        )
    if pause and session is None:
        raise ConfigurationError(
            "pause_before needs a session store, where the turn waits: Agent(session=...)."
        )
    turns: Turns | None = None if session is None else session.turns
    before = [SystemMessage(system)] if system else []
    schemas = [found.to_openai() for found in named.values()]
    compactor = compactors[0] if compactors else None
    return Setup(model, named, schemas, before, around, compactor, pause, max_steps, params, turns)


def _middleware(given: Sequence[Any]) -> tuple[list[Middleware], list[SummarizationMiddleware]]:
    compactors = [one for one in given if isinstance(one, SummarizationMiddleware)]
    around = [one for one in given if not isinstance(one, SummarizationMiddleware)]
    if len(compactors) > 1:
        raise ConfigurationError("one SummarizationMiddleware is enough for an agent.")
    for one in around:
        if not isinstance(one, Middleware):
            raise ConfigurationError(
                f"middleware is made of ai_infra.llm.agent.Middleware, and {type(one).__name__} is not one."
            )
    return around, compactors
