"""Summaries: who is asked what, and what happens when the answer is no good."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from ai_infra import LLM, afit_context, count_tokens, fit_context
from ai_infra.errors import ConfigurationError, ContextLengthError, SummarizationError
from ai_infra.llm.memory import asummarize_messages, summarize_messages
from ai_infra.llm.memory._summarizer import Summarizer
from ai_infra.llm.memory.tokens import Counter, counter_for
from ai_infra.testing.openai_server import OpenAIServer
from ai_infra.testing.replies import Reply
from hypothesis import given, settings
from hypothesis import strategies as st

Message = dict[str, Any]


def chat(count: int, start: int = 0) -> list[Message]:
    return [
        {
            "role": "user" if n % 2 == 0 else "assistant",
            "content": f"fact{n:04d} is worth knowing, said in turn {n}",
        }
        for n in range(start, start + count)
    ]


class Scribe:
    """A summarizer that names the first and the last fact it has seen, and records what it was sent."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def chat(self, messages: list[dict[str, str]]) -> str:
        self.seen.append(messages[-1]["content"])
        facts = sorted(re.findall(r"fact\d{4}", messages[-1]["content"]))
        return f"They spoke of {facts[0]} to {facts[-1]}."


def test_the_summary_stands_behind_the_system_prompt_and_says_what_went() -> None:
    messages = [{"role": "system", "content": "Be kind."}, *chat(60)]
    scribe = Scribe()
    result = fit_context(messages, 700, summarize=True, llm=scribe, keep=6)
    assert result.action == "summarized"
    assert result.messages[0] == messages[0]
    assert result.messages[1]["role"] == "system"
    assert result.messages[1]["content"] == "[Conversation summary]\n" + str(result.summary)
    assert result.messages[2:] == messages[-6:]
    assert result.summarized == list(range(1, 55))
    assert result.summarized_count == 55
    assert len(scribe.seen) == 1
    assert all(f"fact{n:04d}" in scribe.seen[0] for n in range(54))


def test_the_summarizer_gets_only_what_is_new() -> None:
    scribe = Scribe()
    first = fit_context(chat(40), 500, summarize=True, llm=scribe, keep=4)
    second = fit_context(
        [*first.remaining, *chat(40, start=40)],
        500,
        summarize=True,
        summary=first.summary,
        llm=scribe,
        keep=4,
    )
    asked = scribe.seen[1]
    assert "turn 0" not in asked
    assert "turn 36" in asked
    assert first.summary is not None
    assert first.summary in asked
    assert second.action == "summarized"


def test_a_given_summary_is_in_the_prompt_also_when_all_fits() -> None:
    result = fit_context(chat(2), 4000, summary="They are from Malta.")
    assert result.action == "none"
    assert result.summary == "They are from Malta."
    assert result.messages[0] == {"role": "system", "content": "[Conversation summary]\nThey are from Malta."}
    assert result.tokens == count_tokens(result.messages)


def test_a_summary_already_in_the_prompt_is_recognised() -> None:
    scribe = Scribe()
    first = fit_context(chat(40), 500, summarize=True, llm=scribe, keep=4)
    again = fit_context([*first.messages, *chat(2, start=40)], 500)
    assert again.action == "none"
    assert again.summary == first.summary
    later = fit_context([*first.messages, *chat(40, start=40)], 500, summarize=True, llm=scribe, keep=4)
    assert sum("[Conversation summary]" in str(m["content"]) for m in later.messages) == 1
    assert "turn 0" not in scribe.seen[-1]
    assert "fact0000" in scribe.seen[-1]


def test_input_longer_than_the_window_goes_in_pieces() -> None:
    seen: list[int] = []
    scribe = Scribe()

    def llm(prompt: list[dict[str, str]]) -> str:
        seen.append(count_tokens(prompt))
        return scribe.chat(prompt)[:200]

    long = {"role": "user", "content": "fact9999 " + "lorem ipsum dolor " * 6000}
    result = fit_context([*chat(600), long, *chat(4, start=600)], 3000, summarize=True, llm=llm, keep=2)
    assert result.action == "summarized"
    assert len(seen) > 2
    assert max(seen) <= 8192
    sent = "".join(scribe.seen)
    assert all(f"fact{n:04d}" in sent for n in range(600))
    assert "fact9999" in sent
    assert sent.count("lorem ipsum dolor") >= 5990  # a word may fall on a cut


@pytest.mark.parametrize("model", [None, "claude-sonnet-4"])
@pytest.mark.parametrize(
    "text",
    ["汉" * 60_000, "word " * 60_000, " " * 60_000 + "😀" * 20_000, "ab" * 20_000 + " 汉" * 20_000],
    ids=len,
)
def test_one_long_message_is_cut_in_pieces_and_read_a_few_times(model: str | None, text: str) -> None:
    class Reads(Counter):
        """Notes how many characters it was asked about."""

        read = 0

        def text(self, text: str) -> int:
            Reads.read += len(text)
            return super().text(text)

        def prefix(self, text: str, limit: int) -> int:
            Reads.read += len(text)
            return super().prefix(text, limit)

    known = counter_for(model)
    counter = Reads(known._name, exact=known.exact)
    message = {"role": "user", "content": text}
    pieces = list(Summarizer(None, counter)._pieces([message], 300))
    assert Reads.read < 20 * len(text)
    assert "".join(pieces) == f"user: {text}"
    assert max(map(known.text, pieces)) <= 300


@pytest.mark.parametrize("bad", ["", "   \n", "much too long " * 2000])
def test_a_bad_summary_is_asked_for_twice_and_then_an_error(bad: str) -> None:
    asked = []
    messages = chat(60)

    def llm(prompt: list[dict[str, str]]) -> str:
        asked.append(prompt[-1]["content"])
        return bad

    with pytest.raises(SummarizationError, match="after two tries"):
        fit_context(messages, 500, summarize=True, llm=llm)
    assert len(asked) == 2
    assert asked[0] != asked[1]
    assert messages == chat(60)


def test_a_bad_summary_may_be_made_good() -> None:
    answers = iter(["", "They spoke of facts."])
    result = fit_context(chat(60), 500, summarize=True, llm=lambda _: next(answers))
    assert result.summary == "They spoke of facts."


def test_trimming_instead_of_failing() -> None:
    def llm(prompt: object) -> str:
        raise RuntimeError("out of order")

    with pytest.raises(SummarizationError, match="RuntimeError: out of order") as caught:
        fit_context(chat(60), 500, summarize=True, llm=llm)
    assert isinstance(caught.value.__cause__, RuntimeError)
    result = fit_context(chat(60), 500, summarize=True, summary="So far.", llm=llm, on_summary_error="trim")
    assert result.action == "trimmed"
    assert result.summary == "So far."
    assert result.tokens <= 500
    assert result.summarized_count == 0
    assert result.dropped


def test_a_wrong_set_up_is_not_trimmed_away() -> None:
    with pytest.raises(ConfigurationError, match="not int"):
        fit_context(chat(60), 500, summarize=True, llm=7, on_summary_error="trim")


def test_an_asynchronous_summarizer_is_sent_to_the_async_face() -> None:
    async def llm(prompt: object) -> str:
        return "Facts."

    with pytest.raises(ConfigurationError, match="afit_context"):
        fit_context(chat(60), 500, summarize=True, llm=llm)


def test_the_prefix_is_never_doubled() -> None:
    given = fit_context(chat(2), 500, summary="[Conversation summary]\nOld.")
    made = fit_context(chat(60), 500, summarize=True, llm=lambda _: "[Conversation summary]\nNew.")
    assert (given.summary, made.summary) == ("Old.", "New.")


def test_a_summary_is_text_that_can_be_sent_and_stored() -> None:
    half = fit_context(chat(40), max_tokens=300, summarize=True, llm=lambda _: "They met \ud800 Ann.")
    assert half.summary == "They met � Ann."
    with pytest.raises(SummarizationError, match="empty"):
        fit_context(chat(40), max_tokens=300, summarize=True, llm=lambda _: "[Conversation summary]\n ")


def test_a_summary_that_is_too_long_itself_is_made_shorter() -> None:
    result = fit_context(chat(2), 300, summarize=True, summary="word " * 400, llm=lambda _: "Words.")
    assert result.action == "summarized"
    assert result.summary == "Words."
    with pytest.raises(ContextLengthError, match="summary"):
        fit_context(chat(2), 300, summary="word " * 400)


def test_our_own_client_summarizes_over_the_wire() -> None:
    with OpenAIServer() as server:
        server.reply(Reply(text="They know forty facts."))
        llm = LLM(base_url=server.base_url, api_key="sk-test", model="gpt-4o-mini")
        result = fit_context(chat(60), 500, summarize=True, llm=llm)
        assert result.summary == "They know forty facts."
        server.reply(Reply.error(500), Reply.error(500))
        failing = LLM(
            base_url=server.base_url, api_key="sk-test", model="gpt-4o-mini", max_retries=1, retry_wait=0.01
        )
        with pytest.raises(SummarizationError):
            fit_context(chat(60), 500, summarize=True, llm=failing)
        llm.close()
        failing.close()


def test_the_async_face_awaits_the_client() -> None:
    async def main(base_url: str) -> None:
        async with LLM(base_url=base_url, api_key="sk-test", model="gpt-4o-mini") as llm:
            result = await afit_context(chat(60), 500, summarize=True, llm=llm)
            assert result.summary == "Facts."
            other = await asummarize_messages(chat(60), keep_last=3, llm=llm)
            assert other.summary == "More facts."
            assert len(other.remaining) == 3

    with OpenAIServer() as server:
        server.reply(Reply(text="Facts."), Reply(text="More facts."))
        asyncio.run(main(server.base_url))


def test_summarize_messages_keeps_the_last_ones() -> None:
    result = summarize_messages(chat(20), keep_last=4, llm=Scribe())
    assert result.remaining == chat(20)[-4:]
    assert result.summarized_count == 16
    assert result.summary == "They spoke of fact0000 to fact0015."
    short = summarize_messages(chat(3), keep_last=4, llm=Scribe())
    assert short.action == "none"
    assert short.messages == chat(3)


def test_langchain_models_and_messages() -> None:
    messages_module = pytest.importorskip("langchain_core.messages")  # an optional extra
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    conversation = [messages_module.HumanMessage(content=m["content"]) for m in chat(60)]
    result = fit_context(conversation, 500, summarize=True, llm=FakeListChatModel(responses=["A chat."]))
    assert result.summary == "A chat."
    assert isinstance(result.messages[0], messages_module.SystemMessage)
    assert all(a is b for a, b in zip(result.messages[1:], conversation[-10:], strict=True))


class Client:
    """The client of the rolling-summary pattern: it drops exactly what the summary stands for."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.summary: str | None = None

    def turn(self, server: Any, text: str) -> None:
        self.messages.append({"role": "user", "content": text})
        answer = server(self.messages, self.summary)
        self.messages = self.messages[answer["summarized_count"] :]
        self.summary = answer["summary"] or self.summary
        self.messages.append({"role": "assistant", "content": answer["response"]})


@settings(max_examples=12, deadline=None)
@given(st.integers(250, 900), st.integers(0, 12), st.integers(0, 10_000))
def test_two_hundred_turns_of_a_stateless_client_lose_nothing(budget: int, keep: int, seed: int) -> None:
    told: list[str] = []  # every text that the summarizer was ever sent

    def llm(prompt: list[dict[str, str]]) -> str:
        told.append(prompt[-1]["content"])
        return f"summary number {len(told)}"

    def server(messages: list[Message], summary: str | None) -> dict[str, Any]:
        result = fit_context(messages, budget, summarize=True, summary=summary, keep=keep, llm=llm)
        assert result.tokens <= budget
        prompt = "\n".join(str(m["content"]) for m in result.messages)
        sent = "\n".join(told)
        for n in range(turn + 1):
            assert f"fact{n:04d}" in prompt or f"fact{n:04d}" in sent, f"fact {n} is lost in turn {turn}"
        assert not result.dropped
        return {
            "response": f"noted {turn}",
            "summary": result.summary,
            "summarized_count": result.summarized_count,
        }

    client = Client()
    for turn in range(200):
        client.turn(server, f"fact{turn:04d} " + "and so on " * ((seed + turn) % 9))
    assert len(client.messages) < 120
    # and the summarizer was never told the same thing twice
    assert all("\n".join(told).count(f"fact{n:04d}") <= 1 for n in range(200))
