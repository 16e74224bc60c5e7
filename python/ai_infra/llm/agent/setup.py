"""Checks what an agent is made of, before anything is asked of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ai_infra._checks import refuse_misspelled, require_count
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
    refuse_misplaced(params)
    tools, middleware = _listed(tools, "tools"), _listed(middleware, "middleware")
    pause_before = _listed([pause_before] if isinstance(pause_before, str) else pause_before, "pause_before")
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
    around, compactors = _middleware(middleware)
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
        for name in ("before_model", "after_model", "around_tool"):
            if inspect.iscoroutinefunction(getattr(one, name)):
                raise ConfigurationError(f"{name} of {type(one).__name__} is async: call it a{name}.")
    return around, compactors


_PLACES = {
    **dict.fromkeys(("session_id", "turn_id"), "it goes to run(..., {}=...)"),
    **dict.fromkeys(
        (
            *("session", "tools", "system", "llm", "provider", "memory"),
            *("middleware", "max_steps", "pause_before"),
        ),
        "it goes to Agent({}=...)",
    ),
    **dict.fromkeys(("approved", "modified_args", "reason", "retry"), "it goes to resume(..., {}=...)"),
    **dict.fromkeys(("system_prompt", "instructions"), "instructions go to Agent(system=...)"),
    **dict.fromkeys(("messages", "prompt", "input"), "what the user says is the first argument of run"),
    "thread_id": "a conversation has a session_id",
    "stream": "iterate over stream(...) or astream(...)",
}
"""Names that no model takes, and where their meaning goes. Sent along they would do nothing, silently."""

_OWN = (*_PLACES, "model", "user_id")


def refuse_misplaced(params: Mapping[str, Any]) -> None:
    """Raise for names among the model's parameters that belong elsewhere, and for misspelled ones of ours."""
    for name in params:
        if name in _PLACES:
            raise ConfigurationError(f"{name} is no parameter here: {_PLACES[name].format(name)}.")
    refuse_misspelled(params, _OWN)


def _listed(given: Any, name: str) -> list[Any]:
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise ConfigurationError(f"{name} is a list, as in {name}=[...], not {given!r}.")
    return list(given)
