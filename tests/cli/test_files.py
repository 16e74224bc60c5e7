"""What files hold that people index: exports again and again, logs of other tools, what cannot be unpacked."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .test_chats import CHATGPT, write
from .test_cli import ai_infra


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "chats.db")


def talk(*texts: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts], **fields}


def test_an_id_that_comes_twice(tmp_path: Path, db: str) -> None:
    """An export and a later one of the same account; then two files that say different things of one conversation."""
    short, long = talk("the kite", id="a"), talk("the kite", "the string", id="a")
    old, new = write(tmp_path / "old.json", [short]), write(tmp_path / "new.json", [long])
    for files in ((old, new), (new, old), (new, new)):
        done = ai_infra("index", *files, "--db", db)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("1 conversation with 2 messages")
    other = write(tmp_path / "other.json", [talk("the lamp", id="a"), talk("the boat", id="b")])
    done = ai_infra("index", new, other, "--db", db)
    assert done.returncode == 3
    assert "new.json, conversation 'a' was left out" in done.stderr
    assert "other.json has another conversation of this id" in done.stderr
    assert done.stdout.startswith("2 conversations with 2 messages")
    same = write(tmp_path / "same.json", [talk("x", id="c"), talk("y", id="c")])
    assert "a later entry of the file has another" in ai_infra("index", same, "--db", db).stderr
    found = ai_infra("list", "--json", "--db", db).stdout.splitlines()
    assert sorted(json.loads(line)["session_id"] for line in found) == ["a", "b", "c"]


def test_a_conversation_without_a_word_is_named(tmp_path: Path, db: str) -> None:
    """Lines of another tool, whose words stand where nobody looks for them, would be indexed and never found."""
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"type": "user", "message": {"role": "user", "content": "the dingo"}}))
    silent = write(
        tmp_path / "silent.json", [talk("a word", id="a"), {"messages": [{"role": "user"}], "id": "b"}]
    )
    done = ai_infra("index", str(path), silent, "--db", db)
    assert done.returncode == 3
    assert "log.jsonl, conversation 'log-" in done.stderr
    assert "conversation 'b' was left out: none of its messages holds text" in done.stderr
    assert done.stdout.startswith("1 conversation with 1 message,")


def test_messages_keep_dates_of_their_own(tmp_path: Path, db: str) -> None:
    rows = [
        {"session_id": 0, "date": date, "role": "user", "content": text}
        for date, text in (
            ("2025-01-01", "the kite"),
            ("2025-01-01", "the string"),
            ("2025-03-01", "the wind"),
        )
    ]
    rows.append({"session_id": None, "role": "user", "content": "of no session"})
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert ai_infra("index", str(path), "--db", db).stdout.startswith("2 conversations")
    found = ai_infra("search", "kite", "--after", "2025-02-01", "--json", "--db", db).stdout
    assert json.loads(found)["session_id"] == "0"
    (kept,) = (
        json.loads(line)
        for line in ai_infra("export", "--db", db).stdout.splitlines()
        if json.loads(line)["session_id"] == "0"
    )
    assert [m.get("date") for m in kept["messages"]] == [None, None, "2025-03-01"]


def test_text_in_utf_16_with_its_mark(tmp_path: Path, db: str) -> None:
    for name, encoding in (("le", "utf-16-le"), ("be", "utf-16-be")):
        path = tmp_path / f"{name}.json"
        path.write_bytes(
            ("\ufeff" + json.dumps(talk("größe 😀", id=name), ensure_ascii=False)).encode(encoding)
        )
        assert ai_infra("index", str(path), "--db", db).returncode == 0
        assert ai_infra("count", str(path)).returncode == 0
    assert ai_infra("search", "größe", "--db", db).stdout.count("größe 😀") == 2
    (tmp_path / "odd.json").write_bytes(b"\xff\xfe\x00")
    done = ai_infra("index", str(tmp_path / "odd.json"), "--db", db)
    assert "is not UTF-16 text" in done.stderr
    assert "save it as UTF-8" in done.stderr


def test_a_zip_that_cannot_be_unpacked(tmp_path: Path, db: str) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("conversations.json", json.dumps(CHATGPT))
    whole = path.read_bytes()
    entry = whole.index(b"PK\x01\x02")

    def changed(*places: tuple[int, int]) -> bytes:
        data = bytearray(whole)
        for at, value in places:
            data[at] = value
        return bytes(data)

    cases = {
        "password": changed((6, whole[6] | 1), (entry + 8, whole[entry + 8] | 1)),
        "not supported": changed((8, 99), (entry + 10, 99)),
        "damaged": changed(*((at, 0xFF) for at in range(60, 100))),
        "no zip file": whole[:200],
    }
    for said, data in cases.items():
        path.write_bytes(data)
        done = ai_infra("index", str(path), "--db", db)
        assert done.returncode == 1
        assert f"cannot read {path}: " in done.stderr
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_claudes_words_without_the_notes_about_what_is_not_shown(tmp_path: Path, db: str) -> None:
    note = "This block is not supported on your current device yet."
    message = {
        "sender": "assistant",
        "text": f"Here it is.\n{note}\nDone.",
        "content": [
            {"type": "text", "text": "Here it is."},
            {"type": "tool_use", "name": "artifacts", "input": {}},
            {"type": "text", "text": "Done."},
        ],
    }
    path = write(tmp_path / "claude.json", [{"uuid": "c", "chat_messages": [message]}])
    assert ai_infra("index", path, "--db", db).returncode == 0
    assert json.loads(ai_infra("export", "--db", db).stdout)["messages"] == [
        {"role": "assistant", "content": "Here it is.\nDone."}
    ]


def test_what_is_imported_is_read_line_by_line(tmp_path: Path, db: str) -> None:
    rows = [
        {
            "user_id": "me",
            "session_id": f"s{n}",
            "messages": [{"role": "user", "content": f"kite {n} \u2028 \U0001f600"}],
        }
        for n in range(300)
    ]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = tmp_path / "kites.jsonl"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text(lines, encoding=encoding)
        assert ai_infra("import", str(path), "--db", db).stdout == "300 conversations imported\n"
    found = ai_infra("search", "kite 277", "--limit", "1", "--db", db).stdout
    assert "kite 277 \u2028 \U0001f600" in found
    path.write_bytes(lines.encode() + b"\xff")
    done = ai_infra("import", str(path), "--db", db + "2")
    assert done.returncode == 1
    assert f"is not UTF-8 text (byte {len(lines.encode())})" in done.stderr
    assert json.loads(ai_infra("stats", "--json", "--db", db + "2").stdout)["conversations"] == 0
