"""Namespaces as they are stored: each part and a zero byte, which no part holds.

Injective, ordered as the parts are by code point, and a namespace with everything below it is one range.
"""

from __future__ import annotations

from collections.abc import Iterable

ALL = (b"", b"\xff")
"""The range of every namespace: no UTF-8 begins with this byte."""


def encode(parts: Iterable[str]) -> bytes:
    """A checked namespace as it is stored."""
    return b"".join(part.encode() + b"\0" for part in parts)


def decode(ns: bytes) -> tuple[str, ...]:
    """The parts of a stored namespace."""
    return tuple(ns.decode().split("\0")[:-1])


def subtree(ns: bytes) -> tuple[bytes, bytes]:
    """The range of a namespace and everything below it: from the first, and before the second."""
    return ns, ns[:-1] + b"\x01"
