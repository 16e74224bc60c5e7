"""Texts without the secrets that somebody else may have repeated in them."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["without_secrets"]

_SHORT = 8


def without_secrets(text: str, secrets: Iterable[str], mark: str) -> str:
    """``text`` with ``mark`` wherever a secret stands.

    A secret of fewer than 8 characters is only looked for as a word of its own: a key "a" must not turn every
    sentence into marks.
    """
    for secret in secrets:
        if len(secret) >= _SHORT:
            text = text.replace(secret, mark)
        elif secret:
            text = re.sub(
                rf"{_edge(secret[0], '<!')}{re.escape(secret)}{_edge(secret[-1], '!')}", lambda _: mark, text
            )
    return text


def _edge(character: str, look: str) -> str:
    return rf"(?{look}\w)" if re.match(r"\w", character) else ""
