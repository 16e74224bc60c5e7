"""index, search, list, stats, forget, export and import, run as their users run them, on the shapes of real exports."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ai_infra.cli import main
from ai_infra.errors import StorageTimeoutError
from ai_infra.llm.tools.custom import ConversationMemory

from .test_cli import ai_infra

CHATGPT = [
    {
        "title": "Bread",
        "create_time": 1736899200.5,
        "conversation_id": "gpt-1",
        "current_node": "d",
        "mapping": {
            "root": {"id": "root", "message": None, "parent": None, "children": ["a"]},
            "a": {
                "id": "a",
                "parent": "root",
                "children": ["b"],
                "message": {"author": {"role": "system"}, "content": {"content_type": "text", "parts": [""]}},
            },
            "b": {
                "id": "b",
                "parent": "a",
                "children": ["c", "d"],
                "message": {
                    "author": {"role": "user"},
                    "create_time": 1736899201,
                    "content": {
                        "content_type": "multimodal_text",
                        "parts": [
                            {"asset_pointer": "file-service://x"},
                            "my sourdough starter smells of acetone",
                        ],
                    },
                },
            },
            "c": {
                "id": "c",
                "parent": "b",
                "children": [],
                "message": {
                    "author": {"role": "assistant"},
                    "content": {"content_type": "text", "parts": ["an abandoned branch"]},
                },
            },
            "d": {
                "id": "d",
                "parent": "b",
                "children": [],
                "message": {
                    "author": {"role": "assistant"},
                    "content": {"content_type": "text", "parts": ["Feed it twice a day."]},
                },
            },
        },
    }
]
CLAUDE = [
    {
        "uuid": "claude-1",
        "name": "Bikes",
        "created_at": "2025-02-03T10:00:00.000000Z",
        "chat_messages": [
            {
                "uuid": "m1",
                "sender": "human",
                "text": "which tyres for gravel?",
                "created_at": "2025-02-03T10:00:01Z",
                "attachments": [{"file_name": "list.txt", "extracted_content": "40 mm slicks"}],
            },
            {
                "uuid": "m2",
                "sender": "assistant",
                "text": "",
                "content": [{"type": "text", "text": "Forty millimetres, tubeless."}],
            },
        ],
    },
    {"uuid": "claude-2", "name": "", "created_at": "2025-02-04T10:00:00Z", "chat_messages": []},
]


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "chats.db")


def write(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def test_the_life_of_an_archive(tmp_path: Path, db: str) -> None:
    done = ai_infra("search", "bread", AI_INFRA_DB=db)
    assert done.returncode == 1
    assert "ai-infra index FILE" in done.stderr
    gpt, claude = write(tmp_path / "gpt.json", CHATGPT), write(tmp_path / "claude.json", CLAUDE)
    done = ai_infra("index", gpt, claude, "--db", db)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 conversations with 4 messages, 2 of them new or changed")
    assert done.stderr == ""
    assert ", 0 of them new or changed" in ai_infra("index", gpt, claude, "--db", db).stdout
    done = ai_infra(
        "search", "what was wrong with my sourdough?", "--limit", "1", "--explain", AI_INFRA_DB=db
    )
    assert "2025-01-15  Bread  (gpt-1)" in done.stdout
    assert "Feed it twice a day." in done.stdout
    assert "'sourdough'" in done.stdout
    assert "abandoned" not in ai_infra("search", "abandoned branch", "--db", db).stdout
    lines = ai_infra(
        "search", "gravel tyres", "--json", "--after", "2025-02-01", "--db", db
    ).stdout.splitlines()
    (found,) = map(json.loads, lines)
    assert found["session_id"] == "claude-1"
    assert "40 mm slicks" in found["text"]
    assert ai_infra("search", "gravel", "--user", "other", "--db", db).stdout == "nothing found\n"
    assert [line.split()[0] for line in ai_infra("list", "--db", db).stdout.splitlines()] == [
        "2025-02-03",
        "2025-01-15",
    ]
    assert json.loads(ai_infra("stats", "--json", "--db", db).stdout)["conversations"] == 2
    out = str(tmp_path / "out.jsonl")
    assert ai_infra("export", out, "--db", db).returncode == 0
    assert ai_infra("forget", "--db", db).returncode == 1
    assert ai_infra("forget", "gpt-1", "nope", "--db", db).returncode == 1
    assert ai_infra("forget", "gpt-1", "--db", db).stdout == "1 conversation forgotten\n"
    assert b"sourdough" not in b"".join(f.read_bytes() for f in tmp_path.glob("chats.db*"))
    assert ai_infra("forget", "--all", "--db", db).stdout == "1 conversation forgotten\n"
    assert ai_infra("import", out, "--db", db).stdout == "2 conversations imported\n"
    assert ai_infra("export", "--db", db).stdout == Path(out).read_text(encoding="utf-8")


def test_json_lines_and_a_zip(tmp_path: Path, db: str) -> None:
    rows = [
        {"session_id": s, "date": f"2025-03-0{n}", "role": "user", "content": f"the {word} in {s}"}
        for n, (s, word) in enumerate([("one", "kite"), ("two", "boat"), ("one", "string")], 1)
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    assert "2 conversations with 3 messages" in ai_infra("index", "-", "--db", db, stdin=lines).stdout
    found = json.loads(ai_infra("search", "kite", "--limit", "1", "--json", "--db", db).stdout)
    assert (found["session_id"], found["date"]) == ("one", "2025-03-01T00:00:00+00:00")
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("inner/conversations.json", json.dumps(CHATGPT))
        made.writestr("inner/user.json", "{}")
    assert "1 conversation with 2 messages" in ai_infra("index", str(archive), "--db", db).stdout
    plain = write(tmp_path / "talk.json", {"messages": [{"role": "user", "content": "hello"}]})
    assert ai_infra("index", plain, "--db", db).returncode == 0
    assert "talk" in ai_infra("list", "--db", db).stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "line 1 is not JSON"),
        ("[1]", "not a conversation or a message"),
        ('[{"a": 1}]', "no conversation and no message"),
        ("[]", "no conversation in"),
        ('[{"role": "user", "content": "\\ud800"}]', "lone surrogate"),
    ],
)
def test_what_cannot_be_indexed_is_said(tmp_path: Path, db: str, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    done = ai_infra("index", str(path), "--db", db)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_default_place_is_a_file_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "claude.json", CLAUDE)
    done = ai_infra("index", path, XDG_DATA_HOME=str(tmp_path / "data"), HOME=str(tmp_path), AI_INFRA_DB="")
    assert done.returncode == 0, done.stderr
    (made,) = tmp_path.rglob("conversations.db")
    assert made.parent.name == "ai-infra"
    assert made.parent.stat().st_mode & 0o077 == 0


def test_files_of_one_name_are_two_conversations(tmp_path: Path, db: str) -> None:
    for folder, text in (("a", "the zebra budget is 42"), ("b", "a pineapple recipe")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "chat.jsonl").write_text(json.dumps({"role": "user", "content": text}))
        for _ in range(2):  # the same file again is the same conversation
            assert ai_infra("index", str(tmp_path / folder / "chat.jsonl"), "--db", db).returncode == 0
    assert len(ai_infra("list", "--db", db).stdout.splitlines()) == 2
    assert "42" in ai_infra("search", "zebra", "--db", db).stdout


def test_what_cannot_be_kept_is_named_and_all_else_is_kept(tmp_path: Path, db: str) -> None:
    texts = ["fine", "fine too", "bad \ud800", "reached"]
    chats = [
        {"session_id": f"s{n}", "messages": [{"role": "user", "content": t}]} for n, t in enumerate(texts)
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(json.dumps(chat) for chat in chats))
    done = ai_infra("index", str(path), AI_INFRA_DB=db)
    assert done.returncode == 3
    assert "chats.jsonl, conversation 's2' was left out: message 0" in done.stderr
    assert "1 conversation left out" in done.stderr
    assert done.stdout.startswith("3 conversations with 3 messages")
    listed = ai_infra("list", "--json", AI_INFRA_DB=db).stdout.splitlines()
    assert sorted(json.loads(line)["session_id"] for line in listed) == ["s0", "s1", "s3"]


def test_a_broken_line_is_named_and_all_else_is_kept(tmp_path: Path, db: str) -> None:
    def line(name: str) -> str:
        return json.dumps({"session_id": name, "messages": [{"role": "user", "content": f"about {name}"}]})

    def unnamed(text: str) -> str:
        return json.dumps({"messages": [{"role": "user", "content": text}]})

    path = tmp_path / "chats.jsonl"
    deep = "[" * 100_000
    path.write_text("\n".join([deep, line("a"), "", '{"session_id": "b', line("c\ud800"), unnamed("kite")]))
    done = ai_infra("index", str(path), "--db", db)
    assert done.returncode == 3, done.stderr
    said = done.stderr.splitlines()
    assert "chats.jsonl, line 1 was left out: it is not JSON (nested too deep): [[[" in said[0]
    assert "chats.jsonl, line 4 was left out: it is not JSON (Unterminated string" in said[1]
    assert '{"session_id": "b' in said[1]
    assert "lone surrogate" in said[2]
    assert said[3] == "ai-infra: 2 lines and 1 conversation left out, as said above"
    assert done.stdout.startswith("2 conversations with 2 messages, 2 of them new")
    # Mended, what had no id of its own is the conversation that it was.
    path.write_text("\n".join([line("z"), line("a"), "", line("b"), line("c"), unnamed("kite")]))
    done = ai_infra("index", str(path), "--db", db)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 conversations with 5 messages, 3 of them new")


def test_a_document_that_is_cut_off_is_one_error(tmp_path: Path, db: str) -> None:
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(CHATGPT, indent=2)[:-4])
    done = ai_infra("index", str(path), "--db", db)
    assert done.returncode == 1
    assert "cut.json, line 1 is not JSON" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_one_bad_conversation_of_an_export_stops_none(tmp_path: Path, db: str) -> None:
    """Run twice: the second run goes on in the same way."""

    def chatgpt(name: str, text: str, **fields: Any) -> dict[str, Any]:
        message = {"author": {"role": "user"}, "content": {"parts": [text]}, "create_time": 1736899201}
        mapping = {"a": {"id": "a", "parent": None, "message": message}}
        return {"conversation_id": name, "title": name, "current_node": "a", "mapping": mapping, **fields}

    def claude(name: str, text: Any, **fields: Any) -> dict[str, Any]:
        return {"uuid": name, "chat_messages": [{"sender": "human", "text": text}], **fields}

    gpt = write(
        tmp_path / "gpt.json",
        [
            chatgpt("half", "a torn \ud83d smile", title="\udc00"),
            chatgpt("nan", "the kettle", create_time=float("nan")),
            chatgpt("null", "never", mapping=None),
            chatgpt("odd", "the saucer", current_node=["a"]),
            chatgpt("x" * 2000, "the long one"),
            chatgpt("large", "z" * (17 * 2**20)),
            "no conversation",
            chatgpt("last", "the teapot"),
        ],
    )
    cl = write(
        tmp_path / "claude.json",
        [
            claude("c\ud800", "half \udfff"),
            claude("c2", 5),
            claude("c3", "the spoon", created_at=float("inf")),
        ],
    )
    for _ in range(2):
        done = ai_infra("index", gpt, cl, "--db", db)
        assert done.returncode == 3, done.stderr
        for said in (
            "gpt.json, entry 2 was",
            "gpt.json, conversation 'xxx",
            "conversation 'large' was",
            "entry 6",
        ):
            assert said in done.stderr
        assert "4 conversations left out" in done.stderr
        assert len(done.stderr.splitlines()) == 5
        assert max(map(len, done.stderr.splitlines())) < 1000
    listed = ai_infra("list", "--json", "--db", db).stdout.splitlines()
    names = {json.loads(line)["session_id"] for line in listed}
    assert names == {"half", "nan", "odd", "last", "c\ufffd", "c2", "c3"}
    found = ai_infra("search", "torn smile", "--limit", "1", "--db", db).stdout
    assert "a torn \ufffd smile" in found
    assert "\ufffd  (half)" in found


def test_an_export_never_lands_on_the_database(tmp_path: Path, db: str) -> None:
    assert ai_infra("index", write(tmp_path / "gpt.json", CHATGPT), "--db", db).returncode == 0
    before = Path(db).read_bytes()
    done = ai_infra("export", db, "--db", db)
    assert done.returncode == 1
    assert "is a database" in done.stderr
    assert Path(db).read_bytes() == before
    done = ai_infra("export", "/dev/stdout", "--db", db)
    assert json.loads(done.stdout.splitlines()[0])["session_id"] == "gpt-1"


def test_indexing_leaves_the_index_for_the_next_search(tmp_path: Path, db: str) -> None:
    rows = [
        {"session_id": f"s{n}", "role": "user", "content": f"the gardens of {n} and {at}"}
        for n in range(130)
        for at in range(8)
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert ai_infra("index", str(path), AI_INFRA_DB=db).returncode == 0
    (kept,) = Path(db + "-index").iterdir()
    before = kept.stat()
    found = ai_infra("search", "gardens of 77", "--limit", "1", AI_INFRA_DB=db)
    assert "s77" in found.stdout
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    assert ai_infra("forget", "s77", AI_INFRA_DB=db).returncode == 0
    assert "s77" not in ai_infra("search", "gardens of 77", "--limit", "1", AI_INFRA_DB=db).stdout


def test_forgetting_that_was_interrupted_is_finished_by_the_same_command(
    tmp_path: Path, db: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"session_id": f"s{n}", "role": "user", "content": f"{'pangolin' if n == 7 else 'gardens'} {at}"}
        for n in range(150)
        for at in range(8)
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert ai_infra("index", str(path), "--db", db).returncode == 0

    def busy(_: ConversationMemory) -> None:
        raise StorageTimeoutError("another process reads")

    with monkeypatch.context() as patched:
        patched.setattr(ConversationMemory, "purge", busy)
        assert main(["forget", "s7", "--db", db]) == 1
    said = capsys.readouterr().err
    assert (
        "1 conversation deleted, but traces may be left in the file: another process reads. The same" in said
    )
    (kept,) = Path(db + "-index").iterdir()
    assert b"pangolin" in kept.read_bytes()
    done = ai_infra("forget", "s7", "--db", db)
    assert done.returncode == 1
    assert "there is no conversation 's7'; nothing was forgotten, and no trace is left" in done.stderr
    assert not kept.exists()
    assert b"pangolin" not in Path(db).read_bytes()
