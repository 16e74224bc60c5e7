"""Tools that a model may call: :class:`Tool`, a typed function with a name and a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai_infra._lazy import lazy

if TYPE_CHECKING:
    from ai_infra.llm.tools.tool import Tool

_WHERE = {"Tool": "ai_infra.llm.tools.tool"}

__all__ = ["Tool"]


def __getattr__(name: str) -> Any:
    return lazy(globals(), _WHERE, name)


def __dir__() -> list[str]:
    return __all__
