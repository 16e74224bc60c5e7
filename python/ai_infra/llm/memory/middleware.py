"""``SummarizationMiddleware``: old messages become a summary when a conversation has grown long enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from ai_infra._checks import require_count, require_text
from ai_infra._flow import Flow, arun, run
from ai_infra.errors import ConfigurationError
from ai_infra.llm.memory._plan import SUMMARY_PREFIX
from ai_infra.llm.memory._summarizer import Summarizer
from ai_infra.llm.memory.result import ContextResult
from ai_infra.llm.memory.tokens import counter_for
from ai_infra.llm.memory.trim import summarized
from ai_infra.messages import AnyMessage, as_list, fields_of, to_messages

__all__ = ["SummarizationMiddleware"]


class SummarizationMiddleware:
    """Summarizes all but the newest messages whenever a trigger is reached.

    Inside an agent the summary goes with the session: it is carried on from turn to turn, only what is new is
    summarized, and the session's log keeps everything::

        agent = Agent(session=..., middleware=[SummarizationMiddleware(trigger_tokens=4000,
        keep_messages=10)])

    Alone it takes messages and gives messages::

        middleware = SummarizationMiddleware(trigger_messages=40)
        messages = middleware(messages)

    Args:
        trigger_tokens: summarize when the conversation has more tokens than this.
        trigger_messages: summarize when it has more messages than this, the system prompt not counted.
        keep_messages: how many of the newest messages stay as they are; a tool call is never torn apart.
        llm: who summarizes; see :func:`~ai_infra.fit_context`.
        summarize_prompt: instructions for the summarizer, in place of ours.
        max_summary_tokens: the bound of the summary.
        on_summary_error: ``raise`` a :class:`SummarizationError`, or ``trim``: leave the old messages out and go
            on. In a session they are left out only as far as the session's ``max_tokens`` asks, and the next step
            tries again. A warning is logged.
        model: whose tokens to count.

    Raises:
        ConfigurationError: no trigger, or one that what is kept would reach at once.
    """

    def __init__(
        self,
        trigger_tokens: int | None = None,
        trigger_messages: int | None = None,
        keep_messages: int = 20,
        llm: Any = None,
        summarize_prompt: str | None = None,
        *,
        max_summary_tokens: int = 1_024,
        on_summary_error: Literal["raise", "trim"] = "raise",
        model: str | None = None,
    ) -> None:
        if trigger_tokens is None and trigger_messages is None:
            raise ConfigurationError(
                "SummarizationMiddleware needs trigger_tokens, trigger_messages, or both."
            )
        for name, value in (("trigger_tokens", trigger_tokens), ("trigger_messages", trigger_messages)):
            if value is not None:
                require_count(value, name)
        require_count(keep_messages, "keep_messages", least=0)
        require_count(max_summary_tokens, "max_summary_tokens")
        require_text(summarize_prompt, "summarize_prompt")
        if on_summary_error not in ("raise", "trim"):
            raise ConfigurationError(f"on_summary_error is 'raise' or 'trim', not {on_summary_error!r}.")
        if trigger_messages is not None and trigger_messages <= keep_messages:
            raise ConfigurationError(
                f"trigger_messages ({trigger_messages}) must be above keep_messages ({keep_messages}): "
                "what is kept would set it off again at once."
            )
        self.trigger_tokens = trigger_tokens
        self.trigger_messages = trigger_messages
        self.keep_messages = keep_messages
        self._llm = llm
        self._prompt = summarize_prompt
        self._max_summary = max_summary_tokens
        self._trim = on_summary_error == "trim"
        self._model = model

    def __call__(self, messages: Iterable[AnyMessage]) -> list[Any]:
        """The messages, with the old ones as a summary when a trigger is reached. The input is not changed.

        Raises:
            SummarizationError: the summarizer failed, or twice gave an empty or oversized summary.
        """
        return run(self._apply(messages))

    async def acall(self, messages: Iterable[AnyMessage]) -> list[Any]:
        """:meth:`__call__` for asyncio."""
        return await arun(self._apply(messages))

    def _apply(self, messages: Iterable[AnyMessage]) -> Flow[list[Any]]:
        conversation = as_list(messages)
        result = yield from self.compact(conversation, None)
        return to_messages(conversation) if result is None else result.messages

    def compact(
        self, messages: Sequence[AnyMessage], summary: str | None, *, keep: int = 0
    ) -> Flow[ContextResult | None]:
        """The summarized conversation, or None when no trigger is reached. For agents.

        Args:
            messages: a sequence; of a long one no more is looked at than the triggers need.
            summary: the summary so far, where it is not among the messages.
            keep: so many of the newest messages stay, if that is more than the middleware's own number.
        """
        keep = max(keep, self.keep_messages)
        if not self._reached(messages, summary, keep):
            return None
        counter = counter_for(self._model)
        summarizer = Summarizer(self._llm, counter, self._prompt, bounded=True, skippable=not self._trim)
        return (
            yield from summarized(
                messages, summarizer, counter, summary, keep, self._max_summary, trim=self._trim
            )
        )

    def _reached(self, messages: Sequence[AnyMessage], summary: str | None, keep: int) -> bool:
        head = 0
        while head < len(messages) and fields_of(messages[head]).get("role") in ("system", "developer"):
            head += 1
        if len(messages) - head <= keep:
            return False
        if self.trigger_messages is not None and len(messages) - head > self.trigger_messages:
            return True
        if self.trigger_tokens is None:
            return False
        counter = counter_for(self._model)
        left = (
            self.trigger_tokens
            - counter.priming
            - (counter.text(SUMMARY_PREFIX + summary) + 4 if summary else 0)
        )
        end = len(messages)
        while end > 0 and left >= 0:
            start = max(0, end - 64)
            left -= sum(counter.messages([fields_of(message) for message in messages[start:end]]))
            end = start
        return left < 0
