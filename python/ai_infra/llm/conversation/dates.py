"""When a conversation took place: dates as people, services and exports write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any, NamedTuple

from ai_infra._checks import shown
from ai_infra.errors import InvalidInputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_KEYS = ("date", "timestamp", "datetime", "time", "created_at", "create_time", "start_time", "started_at")
_MESSAGE_KEYS = ("timestamp", "created_at", "create_time", "datetime", "date", "time", "ts")

# fmt: off
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)
# fmt: on
_NAMED = re.compile(
    r"(?:(?P<d1>\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<m1>[a-z]{3,9})"
    r"|(?P<m2>[a-z]{3,9})\.?\s+(?P<d2>\d{1,2})(?:st|nd|rd|th)?)\.?,?\s+(?P<y>\d{4})\b",
    re.IGNORECASE,
)
_YEAR_FIRST = re.compile(r"\b(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})\b")
_DAY_FIRST = re.compile(r"\b(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})\b")
_SLASHES = re.compile(r"\b(?P<a>\d{1,2})/(?P<b>\d{1,2})/(?P<y>\d{4})\b")
_LIKE_C = re.compile(
    r"[a-z]{3} +(?P<m>[a-z]{3}) +(?P<d>\d{1,2}) +(?P<clock>\d{1,2}:\d{2}:\d{2})(?P<zone>.*?) +(?P<y>\d{4})(?P<rest>.*)",
    re.IGNORECASE,
)
"""As C's ``ctime`` writes it, with a zone before the year or after it, as git and others add it."""
_OFFSET = re.compile(r" ?(?:UTC|GMT)?(?P<sign>[+-])(?P<h>\d{2}):?(?P<min>\d{2})\b")
_ZONE = re.compile(r" ?(?P<name>[A-Z]{3})\b")
_ZONES = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
"""The names that RFC 822 gives to zones other than UTC, in hours; others are not the same everywhere."""
_CLOCK = re.compile(
    r"\b(?P<h>\d{1,2})(?::(?P<min>\d{2}))(?::(?P<s>\d{2}))?\s*(?P<half>[ap]\.?m\b)?|"
    r"\b(?P<h2>\d{1,2})\s*(?P<half2>[ap]\.?m\b)",
    re.IGNORECASE,
)


class Span(NamedTuple):
    """From and to, in microseconds since 1970 UTC; a date without a time of day is that whole day."""

    start: int
    end: int


def as_datetime(micros: int) -> datetime:
    """Microseconds since 1970 UTC as a datetime in UTC; what lies outside of its years as the first or the last one."""
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return _FIRST if micros < 0 else _LAST


def _micros(when: datetime) -> int:
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    micros = (when - _EPOCH) // timedelta(microseconds=1)
    # In another zone the first and the last day of the calendar may lie outside of it.
    return min(max(micros, _micros(_FIRST)), _micros(_LAST)) if when.utcoffset() else micros


def span_of(value: object) -> Span | None:
    """What a value says of when: a datetime, a date, seconds (or milli- or microseconds) since 1970, or text.

    Text may be ISO 8601, that of a mail, or as written: ``8 May 2023``, ``May 8, 2023``, ``2023/05/08``,
    ``08.05.2023``, with a time of day before or after, as in ``1:56 pm on 8 May, 2023``, and behind that a zone as an
    offset or by a name that mails use (``22:00 -0800``, ``22:00:00+09:00``, ``22:00 PST``). Without a zone it is
    UTC. ``05/08/2023`` is read only where it cannot be read in two ways. None for everything else.
    """
    if isinstance(value, datetime):
        return Span(_micros(value), _micros(value))
    if isinstance(value, date):
        start = _micros(datetime(value.year, value.month, value.day))
        return Span(start, start + _DAY - 1)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _number(value)
    return _text(value.strip()) if isinstance(value, str) and len(value) < 100 else None


def _number(value: float) -> Span | None:
    if not value >= 100_000_000:  # NaN, or before 1973: more likely no time at all
        return None
    # Seconds until the year 5138; what is larger is counted in smaller units.
    for end, scale in ((1e11, _SECOND), (1e14, 1_000), (1e17, 1)):
        if value < end:
            micros = round(value * scale)
            return Span(micros, micros)
    return None


def _text(text: str) -> Span | None:
    if re.fullmatch(r"\d{9,17}(\.\d+)?", text):
        return _number(float(text))
    if re.match(r"\d{4}-\d{2}-\d{2}", text) or re.fullmatch(r"\d{8}(T\d{4,6}Z?)?", text):
        try:
            return span_of(date.fromisoformat(text) if len(text) in (8, 10) else datetime.fromisoformat(text))
        except ValueError:
            pass
    if re.match(r"[A-Za-z]{3}, \d{1,2} [A-Za-z]{3} \d{4} \d", text):
        from email.utils import parsedate_to_datetime  # brings sockets along, and dates of mails are rare

        try:
            return span_of(parsedate_to_datetime(text))
        except ValueError:
            pass
    as_c = _LIKE_C.fullmatch(text)
    if as_c is not None:
        text = f"{as_c['d']} {as_c['m']} {as_c['y']} {as_c['clock']}{as_c['zone'] or as_c['rest']}"
    found = _day(text)
    if found is None:
        return None
    day, rest = found
    clock = _CLOCK.search(rest)
    if clock is None:
        return span_of(day)
    hour = int(clock["h"] or clock["h2"])
    half = (clock["half"] or clock["half2"] or "").lower()
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    minute, second = int(clock["min"] or 0), int(clock["s"] or 0)
    try:
        zone = _zone(rest[clock.end() :], after_seconds=clock["s"] is not None)
        return span_of(datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=zone))
    except ValueError:
        return span_of(day)


def _zone(text: str, *, after_seconds: bool) -> tzinfo:
    """The zone at the beginning of what follows a time of day; UTC where there is none."""
    offset = _OFFSET.match(text)
    # "10:00-11:30" is from when to when.
    if offset is not None and (after_seconds or ":" not in offset[0]):
        minutes = int(offset["h"]) * 60 + int(offset["min"])
        return timezone(timedelta(minutes=-minutes if offset["sign"] == "-" else minutes))
    name = _ZONE.match(text)
    return timezone(timedelta(hours=_ZONES.get(name["name"], 0))) if name else UTC


def _day(text: str) -> tuple[date, str] | None:
    """The day in a text, and the text without it."""
    for pattern in (_NAMED, _YEAR_FIRST, _DAY_FIRST, _SLASHES):
        match = pattern.search(text)
        if match is None:
            continue
        parts = match.groupdict()
        if pattern is _NAMED:
            name = (parts["m1"] or parts["m2"]).lower()
            months = [
                n for n, month in enumerate(_MONTHS, 1) if month.startswith(name) or name == month[:3] + "t"
            ]
            month, day = (months[0] if len(months) == 1 else 0), int(parts["d1"] or parts["d2"])
        elif pattern is _SLASHES:
            a, b = int(parts["a"]), int(parts["b"])
            month, day = (a, b) if b > 12 or a == b else (b, a) if a > 12 else (0, 0)
        else:
            month, day = int(parts["m"]), int(parts["d"])
        try:
            return date(int(parts["y"]), month, day), text[: match.start()] + " " + text[match.end() :]
        except ValueError:
            continue
    return None


def _first(fields: Mapping[str, Any], keys: Iterable[str]) -> Span | None:
    return next((span for key in keys if (span := span_of(fields.get(key)))), None)


def conversation_span(metadata: Mapping[str, Any], messages: Iterable[Mapping[str, Any]]) -> Span | None:
    """When a conversation took place: by its metadata, else by the time stamps of its messages.

    Messages also stretch what the metadata says to the last of them.
    """
    whole = _first(metadata, _KEYS)
    stamps = (_first(message, _MESSAGE_KEYS) for message in messages if len(message) > 2)
    spans = [span for span in stamps if span is not None]
    if whole is None:
        return Span(min(s.start for s in spans), max(s.end for s in spans)) if spans else None
    return Span(whole.start, max([whole.end, *(span.end for span in spans)]))


def bound(name: str, value: object) -> int | None:
    """A limit in time that a user passed, as microseconds; the beginning of a day where it is one.

    Raises:
        InvalidInputError: it tells no time.
    """
    if value is None:
        return None
    span = span_of(value)
    if span is None:
        raise InvalidInputError(
            f"{name}={shown(value)} tells no time; pass a datetime, a date, or text such as '2025-01-15'"
        )
    return span.start
