"""What is stored beside a session's log: the rolling summary, a waiting turn, who asked to be alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from ai_infra._core import canonical_json

MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class State:
    """The state of a session.

    Attributes:
        summary: the rolling summary, or None.
        summarized: how many messages from the beginning of the log the summary stands for.
        pending: a turn that waits for a person; see :mod:`ai_infra.llm.agent.pending`.
        lease: ``[turn id, microseconds since 1970]``: a worker that lost a race asks the others to wait until
            then. It is a courtesy that saves work; what keeps turns apart is the version.
        extra: what middleware keeps with the session.
    """

    summary: str | None = None
    summarized: int = 0
    pending: dict[str, Any] | None = None
    lease: list[Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def dump(self) -> str | None:
        """As JSON; None when there is nothing to say."""
        fields = {name: value for name in _FIELDS if (value := getattr(self, name))}
        return canonical_json(fields, MAX_BYTES) if fields else None

    @classmethod
    def load(cls, text: str | None) -> State:
        """From JSON. Fields that this version does not know are kept under ``extra``."""
        if not text:
            return cls()
        fields = json.loads(text)
        known = {name: fields.pop(name) for name in _FIELDS if name in fields}
        state = cls(**known)
        return replace(state, extra={**fields, **state.extra}) if fields else state


_FIELDS = ("summary", "summarized", "pending", "lease", "extra")
