"""The shipped conversation is what its docstring says, and valid wherever messages are taken."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from ai_infra import demo

MESSAGES = demo.load()
SESSIONS = demo.sessions()
QUESTIONS = demo.questions()


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def strings(value: object) -> Iterator[str]:
    """Every string anywhere inside, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def words(text: str) -> list[str]:
    """Words of any script; each Chinese or Japanese character counts as a word."""
    cjk = "\u3040-\u30ff\u3400-\u9fff"
    return re.findall(rf"[{cjk}]|[^\W{cjk}]+", text.casefold())


def test_size_is_in_the_stated_range() -> None:
    assert 24 <= len(SESSIONS) <= 30
    assert 380 <= len(MESSAGES) <= 450
    assert 150_000 <= sum(len(s.encode()) for m in MESSAGES for s in strings(m)) <= 300_000


def test_messages_run_from_a_few_words_to_a_few_thousand_characters() -> None:
    lengths = [len(text_of(m)) for m in MESSAGES if m["role"] in ("user", "assistant") and m["content"]]
    assert min(lengths) <= 15
    assert max(lengths) >= 3_000
    assert 100 <= sorted(lengths)[len(lengths) // 2] <= 500


def test_load_and_sessions_hold_the_same_messages_in_the_same_order() -> None:
    assert [m for s in SESSIONS for m in s.messages] == MESSAGES
    rows = demo.load(session_fields=True)
    assert [(s.id, s.date) for s in SESSIONS for _ in s.messages] == [
        (row["session_id"], datetime.fromisoformat(row["date"])) for row in rows
    ]
    assert not any({"session_id", "date"} & m.keys() for m in MESSAGES)


def test_what_a_caller_changes_nobody_else_sees() -> None:
    demo.load()[0]["content"] = "changed"
    demo.sessions()[0].messages.clear()
    assert demo.load() == MESSAGES
    assert demo.sessions() == SESSIONS


def test_dates_are_ordered_days_in_utc_that_the_ids_name() -> None:
    assert all(a.date < b.date for a, b in pairwise(SESSIONS))
    for session in SESSIONS:
        assert session.date.tzinfo == UTC
        assert session.id.startswith(session.date.date().isoformat() + "-")
        assert 6 <= session.date.hour <= 22
    assert SESSIONS[0].date.year == 2025
    assert SESSIONS[-1].date.year == 2026


MONTHS = (
    ("january", "januar", "enero", "janvier", "января"),
    ("february", "februar", "febrero", "février", "февраля"),
    ("march", "märz", "marzo", "mars", "марта"),
    ("april", "abril", "avril", "апреля"),
    ("may", "mai", "mayo", "мая"),
    ("june", "juni", "junio", "juin", "июня"),
    ("july", "juli", "julio", "juillet", "июля"),
    ("august", "agosto", "août", "августа"),
    ("september", "septiembre", "septembre", "сентября"),
    ("october", "oktober", "octubre", "octobre", "октября"),
    ("november", "noviembre", "novembre", "ноября"),
    ("december", "dezember", "diciembre", "décembre", "декабря"),
)
WEEKDAYS = (
    ("monday", "montag", "lunes", "lundi"),
    ("tuesday", "dienstag", "martes", "mardi"),
    ("wednesday", "mittwoch", "miércoles", "mercredi"),
    ("thursday", "donnerstag", "jueves", "jeudi"),
    ("friday", "freitag", "viernes", "vendredi"),
    ("saturday", "samstag", "sábado", "samedi", "субботу"),
    ("sunday", "sonntag", "domingo", "dimanche"),
)
MONTH = {name: number for number, names in enumerate(MONTHS, 1) for name in names}
WEEKDAY = {name: number for number, names in enumerate(WEEKDAYS) for name in names}
# As in "friday 31 october", "Sunday is 30 November", "miércoles 10 de diciembre", "Montag, den 27. April".
NAMED_DAY = re.compile(
    rf"({'|'.join(WEEKDAY)})(?:,|,? den| is)? (\d{{1,2}})\.?(?: de)? ({'|'.join(MONTH)})\b", re.IGNORECASE
)


def test_weekdays_named_in_the_text_are_those_of_the_calendar() -> None:
    checked = 0
    for session in SESSIONS:
        for message in session.messages:
            for weekday, day, month in NAMED_DAY.findall(text_of(message)):
                # The year is not said: it is the one that brings the day nearest to the session.
                near = min(
                    (
                        datetime(session.date.year + step, MONTH[month.casefold()], int(day), tzinfo=UTC)
                        for step in (-1, 0, 1)
                    ),
                    key=lambda at: abs(at - session.date),
                )
                assert near.weekday() == WEEKDAY[weekday.casefold()], (session.id, weekday, day, month)
                checked += 1
    assert checked >= 10


def test_openai_takes_every_session() -> None:
    pydantic = pytest.importorskip("pydantic", reason="comes with the openai extra")
    types = pytest.importorskip("openai.types.chat", reason="comes with the openai extra")
    message = pydantic.TypeAdapter(types.ChatCompletionMessageParam)
    call = pydantic.TypeAdapter(types.ChatCompletionMessageToolCallParam)
    for each in MESSAGES:
        message.validate_python(each)
        # The SDK declares an Iterable here, which pydantic checks only when it is walked.
        for tool_call in each.get("tool_calls", []):
            call.validate_python(tool_call)


def test_each_message_has_the_keys_of_its_role_and_no_others() -> None:
    for message in MESSAGES:
        role, keys = message["role"], set(message)
        if role == "tool":
            assert keys == {"role", "content", "tool_call_id"}
        elif role == "assistant":
            assert keys in ({"role", "content"}, {"role", "content", "tool_calls"})
            assert message["content"] is not None or message["tool_calls"]
        else:
            assert role in {"system", "developer", "user"}
            assert keys == {"role", "content"}
        assert message["content"] is None or text_of(message).rstrip() == text_of(message) != ""


def test_every_call_is_answered_at_once_and_every_result_was_called_for() -> None:
    seen: set[str] = set()
    for session in SESSIONS:
        open_calls: list[str] = []
        for message in session.messages:
            if message["role"] == "tool":
                assert open_calls, f"{session.id}: a result without a call"
                assert message["tool_call_id"] == open_calls.pop(0)
                continue
            assert not open_calls, f"{session.id}: calls without results: {open_calls}"
            for call in message.get("tool_calls", []):
                assert call["type"] == "function"
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
                assert re.fullmatch(r"[a-z_]+", call["function"]["name"])
                assert call["id"] not in seen
                seen.add(call["id"])
                open_calls.append(call["id"])
        assert not open_calls
    assert len(seen) >= 15


def test_sessions_begin_with_the_user_after_any_instructions_and_alternate() -> None:
    for session in SESSIONS:
        roles = [m["role"] for m in session.messages]
        talk = [role for role in roles if role in ("user", "assistant")]
        assert talk[0] == "user"
        assert set(roles[: roles.index("user")]) <= {"system", "developer"}
        assert not {"system", "developer"} & set(roles[roles.index("user") :])
        assert ("user", "user") not in set(pairwise(talk))


def test_every_kind_of_message_is_there() -> None:
    roles = Counter(m["role"] for m in MESSAGES)
    assert set(roles) == {"system", "developer", "user", "assistant", "tool"}
    assert roles["user"] >= 150
    calls = [m for m in MESSAGES if m.get("tool_calls")]
    assert any(len(m["tool_calls"]) == 2 for m in calls)
    assert any(m["content"] is None for m in calls)
    assert any(m["content"] for m in calls)
    urls = [
        part["image_url"]["url"]
        for m in MESSAGES
        if isinstance(m["content"], list)
        for part in m["content"]
        if part["type"] == "image_url"
    ]
    assert {url.split(":")[0] for url in urls} == {"https", "data"}
    assert all(url.startswith(("https://example.com/", "data:image/png;base64,")) for url in urls)


def test_the_inline_image_is_a_real_png() -> None:
    urls = [s for m in MESSAGES for s in strings(m) if s.startswith("data:")]
    assert len(urls) == 1
    png = base64.b64decode(urls[0].partition(",")[2], validate=True)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, kinds = 8, []
    while at < len(png):
        size, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        body, crc = png[at + 8 : at + 8 + size], png[at + 8 + size : at + 12 + size]
        assert zlib.crc32(kind + body) == int.from_bytes(crc, "big")
        kinds.append(kind)
        at += 12 + size
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


def test_code_and_output_of_many_kinds_are_there() -> None:
    fences = Counter(
        tag for m in MESSAGES for tag in re.findall(r"^```([a-z]+)$", text_of(m), flags=re.MULTILINE)
    )
    assert {"python", "sql", "rust", "json", "sh", "yaml", "html"} <= set(fences)
    assert sum("Traceback (most recent call last)" in text_of(m) for m in MESSAGES) >= 2
    long = [m["role"] for m in MESSAGES if text_of(m).count("\n") >= 100]
    assert "user" in long
    assert long.count("tool") >= 2


def test_python_and_json_blocks_parse() -> None:
    checked = Counter[str]()
    for message in MESSAGES:
        for tag, code in re.findall(r"^```(python|json)\n(.*?)^```", text_of(message), re.M | re.S):
            checked[tag] += 1
            if tag == "json":
                json.loads(code)
            else:
                compile(code, "<demo>", "exec")
    assert checked["python"] >= 8
    assert checked["json"] >= 4


def test_every_fence_is_closed() -> None:
    for message in MESSAGES:
        assert len(re.findall(r"^```", text_of(message), flags=re.MULTILINE)) % 2 == 0


SCRIPTS = {
    "ar": "ARABIC LETTER",
    "hi": "DEVANAGARI",
    "ja": "HIRAGANA",
    "ru": "CYRILLIC",
    "zh": "CJK UNIFIED",
}
# Words that are frequent in one of these languages and absent from the others.
MARKERS = {
    "de": {"nicht", "und", "ich", "der", "mir"},
    "es": {"pero", "abuela", "los", "una", "con"},
    "fr": {"vous", "avec", "est", "pour", "dans"},
}


@pytest.mark.parametrize(("language", "script"), SCRIPTS.items())
def test_languages_with_a_script_of_their_own(language: str, script: str) -> None:
    written = [
        m for m in MESSAGES if sum(unicodedata.name(c, "").startswith(script) for c in text_of(m)) >= 10
    ]
    assert len(written) >= 3, language
    assert {"user", "assistant"} <= {m["role"] for m in written}


@pytest.mark.parametrize(("language", "markers"), MARKERS.items())
def test_languages_in_latin_script(language: str, markers: set[str]) -> None:
    whole = [
        s
        for s in SESSIONS
        if sum(len(markers & set(words(text_of(m)))) >= 2 for m in s.messages) >= len(s.messages) // 3
    ]
    assert whole, language


def test_emoji_are_there() -> None:
    assert sum(any("\U0001f300" <= c <= "\U0001faff" for c in text_of(m)) for m in MESSAGES) >= 15


def test_every_string_is_composed_unicode_without_control_characters() -> None:
    for text in (s for m in MESSAGES for s in strings(m)):
        text.encode("utf-8")
        assert unicodedata.is_normalized("NFC", text)
        assert "\ufffd" not in text
        assert all(c in "\n\t" or unicodedata.category(c) != "Cc" for c in text)


def test_no_message_is_there_twice() -> None:
    texts = Counter(text_of(m) for m in MESSAGES if len(text_of(m)) > 20)
    assert [t for t, n in texts.items() if n > 1] == []


def test_there_are_forty_questions_and_three_for_the_demo() -> None:
    assert [q.id for q in QUESTIONS] == [f"q{n:02}" for n in range(1, 41)]
    assert len({q.question for q in QUESTIONS}) == 40
    assert demo.questions(demo=True) == [q for q in QUESTIONS if q.demo]
    assert len(demo.questions(demo=True)) == 3
    kinds = {"single", "corrected", "preference", "near-duplicate", "temporal", "multi-hop", "cross-language"}
    assert {q.kind for q in QUESTIONS} == kinds
    assert {q.language for q in QUESTIONS} == {"en", "de", "es", "fr", "ru", "zh", "ja", "ar", "hi"}


def test_all_evidence_exists_and_is_said_by_somebody() -> None:
    at = {f"{s.id}:{n}": m for s in SESSIONS for n, m in enumerate(s.messages)}
    for question in QUESTIONS:
        assert question.answer
        assert question.evidence
        assert len(set(question.evidence)) == len(question.evidence)
        assert list(question.positions) == sorted(question.positions)
        for name, position in zip(question.evidence, question.positions, strict=True):
            assert MESSAGES[position] == at[name]
            assert at[name]["role"] in {"user", "assistant", "tool"}
            assert text_of(at[name])


def test_no_question_quotes_its_evidence() -> None:
    for question in QUESTIONS:
        asked = words(question.question)
        for position in question.positions:
            said = " ".join(words(text_of(MESSAGES[position])))
            for start in range(len(asked) - 5):
                run = " ".join(asked[start : start + 6])
                assert f" {run} " not in f" {said} ", (question.id, run)


def test_only_questions_over_several_sessions_are_called_multi_hop() -> None:
    hops = [q for q in QUESTIONS if q.kind == "multi-hop"]
    assert len(hops) >= 3
    for question in hops:
        assert len({name.partition(":")[0] for name in question.evidence}) >= 2, question.id
