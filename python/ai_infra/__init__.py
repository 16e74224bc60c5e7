"""Conversation memory that provably fits and never leaks.

    from ai_infra import fit_context
    result = fit_context(messages, max_tokens=4000)

Importing this loads nothing heavy: each name below is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai_infra import _core
from ai_infra._lazy import lazy

if TYPE_CHECKING:
    from ai_infra.llm.agent import Agent
    from ai_infra.llm.client import LLM
    from ai_infra.llm.memory.fit import afit_context, fit_context
    from ai_infra.llm.memory.result import ContextResult
    from ai_infra.llm.memory.tokens import count_tokens, count_tokens_approximate

__version__: str = _core.VERSION

_WHERE = {
    "Agent": "ai_infra.llm.agent",
    "LLM": "ai_infra.llm.client",
    "ContextResult": "ai_infra.llm.memory.result",
    "afit_context": "ai_infra.llm.memory.fit",
    "count_tokens": "ai_infra.llm.memory.tokens",
    "count_tokens_approximate": "ai_infra.llm.memory.tokens",
    "fit_context": "ai_infra.llm.memory.fit",
}

__all__ = [
    "LLM",
    "Agent",
    "ContextResult",
    "__version__",
    "afit_context",
    "count_tokens",
    "count_tokens_approximate",
    "fit_context",
]

if _core.DEBUG_BUILD:
    import warnings

    warnings.warn(
        "ai_infra._core was built without optimizations and is many times slower; build it with --release.",
        RuntimeWarning,
        stacklevel=2,
    )


def __getattr__(name: str) -> Any:
    return lazy(globals(), _WHERE, name)


def __dir__() -> list[str]:
    return __all__
