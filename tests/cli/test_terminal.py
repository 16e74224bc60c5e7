"""What reaches the terminal: words, never what steers it; and what happens when the output cannot be written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ai_infra._secrets import without_secrets

from .test_cli import ai_infra

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
EVIL = "kite \x1b]0;title\x07 \x1b[31mred\x1b[2J \x9b31m \u202etxet\u202c \x08\x08\x7f \x00 end"


@pytest.fixture
def archive(tmp_path: Path) -> str:
    row = {
        "session_id": f"s\x1b[2J{EVIL[:8]}",
        "messages": [{"role": "user", "content": EVIL}],
        "title": EVIL,
    }
    path = tmp_path / "chat.json"
    path.write_text(json.dumps([row]), encoding="utf-8")
    db = str(tmp_path / "c.db")
    assert ai_infra("index", str(path), "--db", db).returncode == 0
    return db


@pytest.mark.parametrize("command", [("search", "kite", "--explain"), ("list",)])
def test_no_message_steers_the_terminal(archive: str, command: tuple[str, ...]) -> None:
    said = ai_infra(*command, "--db", archive).stdout
    assert "kite" in said
    assert not STEERING.search(said)
    assert "\\x1b" in said
    raw = ai_infra("search", "kite", "--json", "--db", archive).stdout
    assert EVIL in json.loads(raw)["text"]


def test_no_message_steers_the_terminal_through_fit_or_an_error(archive: str) -> None:
    row = json.dumps({"role": "user", "content": EVIL})
    said = ai_infra("fit", "-", "--max-tokens", "1000", "--explain", stdin=row).stdout
    assert "kite" in said
    assert not STEERING.search(said)
    for done in (
        ai_infra("count", "-", stdin="\x1b[2J not json"),
        ai_infra("forget", "a\x1b[2J", "--db", archive),
        ai_infra("count", "\x1b[2J"),
    ):
        assert done.returncode == 1
        assert not STEERING.search(done.stderr)


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = line.replace("ai-infra", f"{sys.executable} -m ai_infra")
    # Unbuffered, Python takes a write that was cut short for a whole one, and nobody learns that the reader left.
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "", **variables}
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["list", "list --json", "search kite", "export", "stats"])
def test_an_output_that_is_full_is_one_line(archive: str, command: str) -> None:
    done = shell(f"ai-infra {command} > /dev/full", AI_INFRA_DB=archive)
    assert done.returncode == 1
    assert done.stderr == "ai-infra: cannot write the output: No space left on device\n"


def test_a_reader_that_left_and_an_output_that_is_closed_are_quiet(archive: str) -> None:
    # More than a pipe holds, so that writing must fail.
    long = "\n".join(json.dumps({"role": "user", "content": f"kite {n} " + "x" * 2000}) for n in range(200))
    assert ai_infra("index", "-", "--db", archive, stdin=long).returncode == 0
    done = shell("ai-infra export | head -c 10; exit ${PIPESTATUS[0]}", AI_INFRA_DB=archive)
    assert (done.returncode, done.stderr, len(done.stdout)) == (1, "", 10)
    done = shell("ai-infra list >&-", AI_INFRA_DB=archive)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_is_one_and_warnings_are_one_line() -> None:
    row = json.dumps({"role": "user", "content": "hi"})
    done = ai_infra("count", "-", "--model", "nobody-knows-this", stdin=row)
    assert done.returncode == 0
    assert "in 1 message (estimated)" in done.stdout
    assert "1 messages" not in done.stdout
    assert done.stderr.startswith("ai-infra: unknown model 'nobody-knows-this'")
    assert done.stderr.count("\n") == 1


def test_the_advice_of_a_failed_summary_can_be_followed() -> None:
    chat = "\n".join(json.dumps({"role": "user", "content": f"message {n} " * 20}) for n in range(60))
    from ai_infra.testing.openai_server import OpenAIServer, Reply

    arguments = ("fit", "-", "--max-tokens", "900", "--summarize")
    with OpenAIServer() as server:
        refusal = Reply(status=400, body=b'{"error": {"message": "no"}}')
        server.reply(refusal)
        environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.base_url}
        done = ai_infra(*arguments, stdin=chat, **environment)
        assert done.returncode == 1
        assert "pass --on-summary-error trim" in done.stderr
        assert "on_summary_error" not in done.stderr
        server.reply(refusal)
        done = ai_infra(*arguments, "--on-summary-error", "trim", stdin=chat, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("trimmed: 60 messages in")


def test_a_short_secret_does_not_eat_the_words_around_it() -> None:
    assert without_secrets("a key a was bad: 'a', (a)", ["a"], "*") == "* key * was bad: '*', (*)"
    assert without_secrets("a banana and a pear", ["a"], "*") == "* banana and * pear"
    assert without_secrets("x@y!z at b@y!", ["@y!"], "*") == "x*z at b*"
    assert without_secrets("wordsk-12345678word", ["sk-12345678"], "*") == "word*word"
    assert without_secrets("unchanged", ["", "u.c"], "*") == "unchanged"
