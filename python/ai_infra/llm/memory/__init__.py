"""Context fitting, token counting and long-term memory.

The names are loaded when they are first used, so importing one does not pay for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai_infra._lazy import lazy

if TYPE_CHECKING:
    from ai_infra.llm.memory.fit import afit_context, fit_context
    from ai_infra.llm.memory.middleware import SummarizationMiddleware
    from ai_infra.llm.memory.models import (
        ModelInfo,
        UnknownModelWarning,
        get_context_limit,
        model_info,
        register_model,
    )
    from ai_infra.llm.memory.result import ContextResult
    from ai_infra.llm.memory.store import MemoryItem, MemoryStore, ScoredItem
    from ai_infra.llm.memory.tokens import count_tokens, count_tokens_approximate
    from ai_infra.llm.memory.trim import asummarize_messages, summarize_messages, trim_messages

_WHERE = {
    "ContextResult": "ai_infra.llm.memory.result",
    "SummarizationMiddleware": "ai_infra.llm.memory.middleware",
    "MemoryItem": "ai_infra.llm.memory.store",
    "MemoryStore": "ai_infra.llm.memory.store",
    "ModelInfo": "ai_infra.llm.memory.models",
    "ScoredItem": "ai_infra.llm.memory.store",
    "UnknownModelWarning": "ai_infra.llm.memory.models",
    "afit_context": "ai_infra.llm.memory.fit",
    "asummarize_messages": "ai_infra.llm.memory.trim",
    "count_tokens": "ai_infra.llm.memory.tokens",
    "count_tokens_approximate": "ai_infra.llm.memory.tokens",
    "fit_context": "ai_infra.llm.memory.fit",
    "get_context_limit": "ai_infra.llm.memory.models",
    "model_info": "ai_infra.llm.memory.models",
    "register_model": "ai_infra.llm.memory.models",
    "summarize_messages": "ai_infra.llm.memory.trim",
    "trim_messages": "ai_infra.llm.memory.trim",
}

__all__ = [
    "ContextResult",
    "MemoryItem",
    "MemoryStore",
    "ModelInfo",
    "ScoredItem",
    "SummarizationMiddleware",
    "UnknownModelWarning",
    "afit_context",
    "asummarize_messages",
    "count_tokens",
    "count_tokens_approximate",
    "fit_context",
    "get_context_limit",
    "model_info",
    "register_model",
    "summarize_messages",
    "trim_messages",
]


def __getattr__(name: str) -> Any:
    return lazy(globals(), _WHERE, name)


def __dir__() -> list[str]:
    return __all__
