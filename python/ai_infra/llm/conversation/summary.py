"""A summary of each conversation, made once and carried on as it grows."""

from __future__ import annotations

from typing import Any

from ai_infra._flow import Flow
from ai_infra.llm.conversation.prepare import Prepared
from ai_infra.llm.memory._summarizer import Summarizer
from ai_infra.llm.memory.tokens import counter_for
from ai_infra.storage.conversations import Stored

MAX_TOKENS = 256


class Summaries:
    """Asks a model for summaries of at most 256 tokens; only for what is new.

    Args:
        llm: an LLM, a LangChain chat model, or a function from messages to text; None for ``LLM()``.
    """

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self.owned: Any = None
        """The LLM that was made here, once it was needed."""

    def of(self, ready: Prepared, held: Stored | None) -> Flow[tuple[str | None, int]]:
        """The summary of a conversation, and how many messages it stands for.

        Raises:
            SummarizationError: the model failed; nothing was written.
        """
        old, start = None, 0
        if held is not None and held.head.summary:
            done = held.head.summarized
            if held.messages[:done] == ready.messages[:done]:
                old, start = held.head.summary, done
        if start == len(ready.messages):
            return old, start
        if self._llm is None:
            from ai_infra.llm.client import LLM

            self._llm = self.owned = LLM()
        summarizer = Summarizer(self._llm, counter_for(None))
        text = yield from summarizer.summarize(old, ready.fields[start:], MAX_TOKENS)
        return text or None, len(ready.messages)
