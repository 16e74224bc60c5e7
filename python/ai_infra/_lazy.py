"""Public names that are imported when they are first used: ``import ai_infra`` stays cheap."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def lazy(namespace: dict[str, Any], where: dict[str, str], name: str) -> Any:
    """The object ``name`` of the module that ``where`` names, kept in ``namespace`` from then on.

    Meant for a module's ``__getattr__``. Raises AttributeError for a name that is not in ``where``.
    """
    if name not in where:
        raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
    value = getattr(import_module(where[name]), name)
    namespace[name] = value
    return value
