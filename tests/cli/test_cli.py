"""The command line, run as its users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ai_infra import count_tokens

CHAT: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}] + [
    {"role": "user" if n % 2 == 0 else "assistant", "content": f"message number {n} \u2028 ünï 🙂"}
    for n in range(60)
]


def ai_infra(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
    return subprocess.run(
        [sys.executable, "-m", "ai_infra", *arguments],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env={**variables, "PYTHONUTF8": "1", **environment},
        check=False,
    )


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(json.dumps(m, ensure_ascii=False) for m in CHAT) + "\n\n", encoding="utf-8")
    return path


def test_count(chat: Path) -> None:
    done = ai_infra("count", str(chat), "--model", "gpt-4o")
    assert done.returncode == 0, done.stderr
    assert f"{count_tokens(CHAT):,} tokens in 61 messages (exact)" in done.stdout
    assert "of the 128,000 tokens that gpt-4o takes" in done.stdout
    answer = json.loads(ai_infra("count", "-", "--json", stdin=chat.read_text(encoding="utf-8")).stdout)
    assert answer["tokens"] == count_tokens(CHAT)
    assert answer["roles"]["user"]["messages"] == 30


@pytest.mark.parametrize("document", [CHAT, {"messages": CHAT}])
def test_a_json_document_will_do(document: Any) -> None:
    answer = json.loads(ai_infra("count", "-", "--json", stdin=json.dumps(document)).stdout)
    assert answer["messages"] == 61


def test_fit(chat: Path) -> None:
    done = ai_infra("fit", str(chat), "--max-tokens", "200", "--explain")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("trimmed: 61 messages in")
    assert len(done.stdout.splitlines()) == 62
    answer = json.loads(ai_infra("fit", str(chat), "--max-tokens", "200", "--json").stdout)
    assert answer["tokens"] <= 200
    assert answer["messages"][0] == CHAT[0]
    assert answer["messages"][-1] == CHAT[-1]


def test_summarize_through_a_server(chat: Path) -> None:
    from ai_infra.testing.openai_server import OpenAIServer

    with OpenAIServer() as server:
        done = ai_infra(
            *("fit", str(chat), "--max-tokens", "400", "--summarize", "--json"),
            OPENAI_API_KEY="sk-test",
            OPENAI_BASE_URL=server.base_url,
        )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["action"] == "summarized"
    assert answer["messages"][1]["content"].startswith("[Conversation summary]\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"role": "user", "content": "x"}\nnot json\n', ["line 2", "not json", "one message"]),
        ('{"role": "user", "content": "x"}\n{"content": "y"}\n', ["line 2", "no 'role'"]),
        ("7", ["int"]),
        ('[{"role": "user"}, 7]', ["message 1", "int"]),
        ("[" * 100_000, ["nested"]),
    ],
)
def test_bad_input_says_where_and_what(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    done = ai_infra("count", str(path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.jsonl", tmp_path):
        done = ai_infra("count", str(path))
        assert done.returncode == 1
        assert str(path) in done.stderr
    (tmp_path / "latin").write_bytes("größe".encode("latin-1"))
    assert "UTF-8" in ai_infra("count", str(tmp_path / "latin")).stderr


def test_wrong_usage_and_errors_of_ours(chat: Path) -> None:
    assert ai_infra().returncode == 2
    assert ai_infra("fit", str(chat)).returncode == 2
    done = ai_infra("fit", str(chat), "--max-tokens", "5")
    assert done.returncode == 1
    assert "Raise max_tokens" in done.stderr
    done = ai_infra("fit", str(chat), "--max-tokens", "100", "--summarize")
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr


def test_lone_surrogates_reach_the_terminal_escaped() -> None:
    done = ai_infra(
        "fit", "-", "--max-tokens", "100", "--explain", stdin='{"role": "user", "content": "a\\ud800b"}'
    )
    assert done.returncode == 0, done.stderr
    assert "a\\ud800b" in done.stdout


def test_the_demo_runs_without_a_key() -> None:
    done = ai_infra("demo")
    assert done.returncode == 0, done.stderr
    assert "450 messages in 30 sessions" in done.stdout
    assert "stand-in" in done.stdout
    assert "summarized" in done.stdout


def test_the_demo_runs_without_the_openai_package() -> None:
    code = "import sys; sys.modules['openai'] = None; from ai_infra.cli import main; sys.exit(main(['demo']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'pip install "ai-infra-memory[openai]"' in done.stdout
    assert "5. Index every session" in done.stdout


@pytest.mark.parametrize(
    "command", ["demo", "count", "fit", "index", "search", "list", "stats", "forget", "export", "import"]
)
def test_each_command_is_found_alone_and_among_all(command: str) -> None:
    from ai_infra.cli import _parser

    alone = ai_infra(command, "--help")
    assert alone.returncode == 0
    assert alone.stdout.startswith(f"usage: ai-infra {command}")
    assert f"\n    {command} " in _parser().format_help()


def test_a_search_loads_what_it_needs() -> None:
    program = """
import sys
from ai_infra.cli import _parser
_parser("search")
heavy = {"asyncio", "email.utils", "zipfile", "httpx", "openai", "numpy", "ai_infra.demo", "ai_infra.llm.memory.fit"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
