"""What filters see of a value: its canonical JSON, changed where jsonb would refuse or wrongly compare it."""

from __future__ import annotations

import re

# NUL, which jsonb cannot hold, becomes \x01\x01 and \x01 becomes \x01\x02: still different for different
# texts, and still in the order of their code points. Canonical JSON writes both as escapes, in lower case.
_TEXT = {"\\u0000": "\\u0001\\u0001", "\\u0001": "\\u0001\\u0002"}

_MAY_DIFFER = re.compile(r"\\u000[01]|[0-9]e|[0-9]{15}\.0")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*')
_ESCAPE = re.compile(r"\\u000[01]|\\.")


def document(json: str) -> str | None:
    """The text to be stored as jsonb, or None where the canonical JSON serves as it is.

    A float of 2**53 or more is written with all its digits: jsonb compares decimals, and ``1e23`` as a float
    is the whole number 99999999999999991611392.
    """
    if _MAY_DIFFER.search(json) is None:
        return None
    return _TOKEN.sub(lambda match: _token(match[0]), json)


def _token(token: str) -> str:
    if token.startswith('"'):
        return _ESCAPE.sub(lambda match: _TEXT.get(match[0], match[0]), token) if "\\u000" in token else token
    if "." not in token and "e" not in token:
        return token
    number = float(token)
    return str(int(number)) if abs(number) >= 2**53 else token
