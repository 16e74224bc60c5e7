"""What ChatGPT and Claude export: what was on the screen is found, what was not is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ai_infra.cli import read
from ai_infra.cli.chats import read_chats
from ai_infra.cli.exports import Chat

from .test_chats import write


def one(path: Path, entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Who said what in the only conversation of an export."""
    (chat,) = read_chats(write(path / "conversations.json", [entry]))
    assert isinstance(chat, Chat)
    return [(message["role"], message["content"]) for message in chat.messages]


def chatgpt(*messages: tuple[str, dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None}}
    at = "root"
    for number, (role, content, more) in enumerate(messages):
        message = {"author": {"role": role}, "content": content, "recipient": "all", "metadata": {}} | more
        mapping[str(number)] = {"id": str(number), "message": message, "parent": at}
        at = str(number)
    return {"conversation_id": "c", "current_node": at, "mapping": mapping}


def text(*parts: Any) -> dict[str, Any]:
    return {"content_type": "text", "parts": list(parts)}


def test_what_chatgpt_showed(tmp_path: Path) -> None:
    def to(tool: str, document: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
        said = document if isinstance(document, str) else json.dumps(document)
        return "assistant", {"content_type": "code", "text": said}, {"recipient": tool}

    pdf, png = (
        {"name": "budget.pdf", "mime_type": "application/pdf"},
        {"name": "x.png", "mimeType": "image/png"},
    )
    said = one(
        tmp_path,
        chatgpt(
            ("user", text("which one?"), {"metadata": {"attachments": [pdf, png, None]}}),
            to("canmore.create_textdoc", {"name": "ode", "type": "document", "content": "Tides\nHarbour é"}),
            to("canmore.update_textdoc", {"updates": [{"pattern": ".*", "replacement": "Lights\nout"}]}),
            to("canmore.create_textdoc", "{not JSON"),
            to("canmore.create_textdoc", "[" * 5_000),
            to("dalle.text2im", {"prompt": "a red fox", "size": "1024x1024"}),
            to("python", "print(42)"),
            to("my.action", {"name": "kept", "query": "whole"}),
            ("tool", {"content_type": "execution_output", "text": "42"}, {}),
            (
                "assistant",
                {
                    "content_type": "multimodal_text",
                    "parts": [
                        {"content_type": "audio_transcription", "text": "spoken"},
                        {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://a"},
                        {"content_type": "image_asset_pointer", "asset_pointer": "sediment://b"},
                    ],
                },
                {},
            ),
            ("assistant", text("Oslo \ue200cite\ue202turn0search1\ue202turn0news2\ue201is it"), {}),
        ),
    )
    assert said == [
        ("user", "which one?\n[budget.pdf]"),
        ("assistant", "ode\nTides\nHarbour é"),
        ("assistant", "Lights\nout"),
        ("assistant", "{not JSON"),
        ("assistant", "[" * 5_000),
        ("assistant", "a red fox"),
        ("assistant", "print(42)"),
        ("assistant", '{"name": "kept", "query": "whole"}'),
        ("tool", "42"),
        ("assistant", "spoken\n[image]"),
        ("assistant", "Oslo is it"),
    ]


def test_what_chatgpt_did_not_show(tmp_path: Path) -> None:
    said = one(
        tmp_path,
        chatgpt(
            ("system", text("You are ChatGPT, a large language model."), {}),
            ("user", text("profile"), {"metadata": {"is_visually_hidden_from_conversation": True}}),
            ("user", text("hello"), {}),
            (
                "tool",
                {"content_type": "tether_browsing_display", "result": "L0: a page", "summary": None},
                {},
            ),
            ("assistant", {"content_type": "thoughts", "thoughts": [{"content": "hm"}]}, {}),
            ("assistant", text("hi"), {}),
        ),
    )
    assert said == [("user", "hello"), ("assistant", "hi")]


def test_what_claude_showed(tmp_path: Path) -> None:
    def call(name: str, **given: Any) -> dict[str, Any]:
        return {"type": "tool_use", "name": name, "input": given}

    def message(sender: str, *content: Any, **more: Any) -> dict[str, Any]:
        return {"sender": sender, "text": "", "content": list(content), **more}

    said = one(
        tmp_path,
        {
            "uuid": "c",
            "chat_messages": [
                message(
                    "human",
                    {"type": "text", "text": "look"},
                    attachments=[
                        {"file_name": "", "extracted_content": "a long text that was pasted"},
                        {"file_name": "list.txt", "extracted_content": "slicks"},
                    ],
                    files=[{"file_name": "list.txt"}, {"file_name": "bike.png"}, None],
                ),
                message(
                    "assistant",
                    {"type": "thinking", "thinking": "hm"},
                    {"type": "text", "text": "Here."},
                    call("artifacts", command="create", title="Snake", content="def snake():\n    pass"),
                    {"type": "tool_result", "content": [{"type": "text", "text": "OK"}]},
                    call("web_search", query="snakes"),
                ),
                message("assistant", call("artifacts", command="update", old_str="pass", new_str="return 7")),
                message("assistant", call("create_file", path="a.py", file_text="import os"), call("x"), 5),
                message("assistant", {"type": "tool_use", "name": ["artifacts"], "input": None}),
                message("human", files=[{"file_name": "only.png"}]),
            ],
        },
    )
    assert said == [
        ("user", "look\na long text that was pasted\n[list.txt]\nslicks\n[bike.png]"),
        ("assistant", "Here.\nSnake\ndef snake():\n    pass"),
        ("assistant", "return 7"),
        ("assistant", "a.py\nimport os"),
        ("user", "[only.png]"),
    ]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 2**20])
def test_a_list_is_read_in_pieces_as_it_is_at_once(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(read, "_PIECE", piece)
    document = [{"a": 'é"\\😀\u2028 ]['}, [], [[1, -0.5], {}], 12, 1e300, -3.25, True, None, "x" * 50, 0]
    for indent in (None, 2):
        written = json.dumps(document, indent=indent)
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            assert list(read.each_entry(f"{written} \n".encode(encoding))) == document
        assert list(read.each_entry(b"[ ]")) == []
        for bad in (written[:-1], f"{written} 1", written.replace(",", "", 1), "[1,]", "[,1]", "{}", ""):
            with pytest.raises(ValueError, match=r"list|ends too early"):
                list(read.each_entry(bad.encode()))
    with pytest.raises(UnicodeDecodeError):
        list(read.each_entry(b'["\xff"]'))
