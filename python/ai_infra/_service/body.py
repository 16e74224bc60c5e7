"""What a request may hold, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping

from ai_infra.errors import InvalidTextError, InvalidValueError

_PLAIN = frozenset({int, float, bool, type(None)})


def refuse(value: object, path: str) -> None:
    """Raise for what no JSON request can carry; ``path`` says where ``value`` stands.

    Raises:
        InvalidTextError: a lone surrogate. Some versions of the SDK would send it, others break on it.
        InvalidValueError: a value of a type that JSON has not.
    """
    if isinstance(value, str):
        if not value.isascii():
            _refuse_surrogate(value, path)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            # Nearly all there is: a short ASCII text. Spared a call, and a path that nobody will read.
            if type(item) is str and item.isascii():
                continue
            refuse(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            refuse(item, f"{path}[{number}]")
    elif type(value) not in _PLAIN and not hasattr(value, "isoformat") and not hasattr(value, "model_dump"):
        raise InvalidValueError(f"{path} is a {type(value).__name__}, which JSON cannot hold")


def _refuse_surrogate(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        place, found = error.start, text[error.start]
    else:
        return
    raise InvalidTextError(
        f"{path} holds the lone surrogate {found!a} at character {place}: remove it, no request can carry it"
    )
