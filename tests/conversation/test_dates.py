"""Dates in many forms."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from ai_infra.llm.conversation.dates import as_datetime, conversation_span, span_of


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1:56 pm on 8 May, 2023", "2023-05-08T13:56"),
        ("12:05 am on 8 May, 2023", "2023-05-08T00:05"),
        ("2023-05-08", "2023-05-08T00:00"),
        ("2023-05-08T13:56:00Z", "2023-05-08T13:56"),
        ("2023-05-08T15:56:00+02:00", "2023-05-08T13:56"),
        ("2023-05-08 13:56", "2023-05-08T13:56"),
        ("May 8, 2023", "2023-05-08T00:00"),
        ("8th of May 2023", "2023-05-08T00:00"),
        ("Sept 8, 2023 9am", "2023-09-08T09:00"),
        ("2023/05/08 (Mon) 02:21", "2023-05-08T02:21"),
        ("08.05.2023", "2023-05-08T00:00"),
        ("05/18/2023", "2023-05-18T00:00"),
        ("18/05/2023", "2023-05-18T00:00"),
        ("Mon, 08 May 2023 13:56:00 +0000", "2023-05-08T13:56"),
        ("2023-05-08 22:00:00 PST", "2023-05-09T06:00"),
        ("8 May 2023 22:00 -0800", "2023-05-09T06:00"),
        ("2023/05/08 22:00:00+09:00", "2023-05-08T13:00"),
        ("08.05.2023 22:00 +0100", "2023-05-08T21:00"),
        ("10:00-11:30 on 8 May 2023", "2023-05-08T10:00"),
        ("May 8, 2023 at 10:00 PM EDT", "2023-05-09T02:00"),
        ("8 May 2023 22:00 XYZ", "2023-05-08T22:00"),
        ("Mon May  8 22:00:00 2023 -0800", "2023-05-09T06:00"),
        ("Mon May  8 22:00:00 PST 2023", "2023-05-09T06:00"),
        ("Mon May 08 22:00:00 +0000 2023", "2023-05-08T22:00"),
        ("Mon May  8 22:00:00 2023", "2023-05-08T22:00"),
        ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00"),
        (1683554160, "2023-05-08T13:56"),
        (1683554160.0, "2023-05-08T13:56"),
        (1683554160000, "2023-05-08T13:56"),
        ("1683554160", "2023-05-08T13:56"),
        (date(2023, 5, 8), "2023-05-08T00:00"),
        (datetime(2023, 5, 8, 13, 56, tzinfo=UTC), "2023-05-08T13:56"),
    ],
)
def test_what_is_read(value: object, wanted: str) -> None:
    span = span_of(value)
    assert span is not None
    assert as_datetime(span.start).isoformat()[:16] == wanted


@pytest.mark.parametrize(
    "value",
    [None, "", "yesterday", "05/08/2023", "2023-13-45", "8 Foo 2023", True, 7, float("nan"), [], "x" * 500],
)
def test_what_tells_no_time(value: object) -> None:
    assert span_of(value) is None


def test_a_day_lasts_a_day_and_messages_stretch_it() -> None:
    span = conversation_span({"date": "2023-05-08"}, [])
    assert span is not None
    assert span.end - span.start == 86_400_000_000 - 1
    messages: list[dict[str, object]] = [
        {"role": "user", "content": "a", "timestamp": 1683554160},
        {"role": "user", "content": "b", "created_at": "2023-05-10T00:00:00Z"},
    ]
    span = conversation_span({}, messages)
    assert span is not None
    assert (as_datetime(span.start).day, as_datetime(span.end).day) == (8, 10)
    assert conversation_span({"date": "nonsense"}, [{"role": "user", "content": "a"}]) is None
