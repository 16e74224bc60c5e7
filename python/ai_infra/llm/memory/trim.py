"""``trim_messages`` and ``summarize_messages``: the two halves of ``fit_context``, by count or by tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from ai_infra._checks import require_count, require_text
from ai_infra._flow import Flow, awaiting, blocking
from ai_infra.errors import ConfigurationError, InvalidInputError, SummarizationError
from ai_infra.llm.memory._groups import links_of
from ai_infra.llm.memory._plan import Plan
from ai_infra.llm.memory._summarizer import Summarizer
from ai_infra.llm.memory.result import ContextResult
from ai_infra.llm.memory.tokens import Counter, counter_for
from ai_infra.messages import AnyMessage, as_list, fields_of, to_message

__all__ = ["asummarize_messages", "summarize_messages", "trim_messages"]

log = logging.getLogger("ai_infra.memory")

TokenCounter = Callable[[list[Any]], int]


class _CallerCounts(Counter):
    """Counts each message with a function of the caller's."""

    __slots__ = ("_count",)

    def __init__(self, count: TokenCounter) -> None:
        super().__init__(None, exact=False)
        self._count = count
        self.priming = 0

    def messages(self, messages: Sequence[AnyMessage]) -> list[int]:
        """The caller's count of each message."""
        return [
            require_count(self._count([message]), "what token_counter returns", least=0)
            for message in messages
        ]


def trim_messages(
    messages: Iterable[AnyMessage],
    strategy: Literal["last", "first", "token"] = "last",
    *,
    max_messages: int | None = None,
    max_tokens: int | None = None,
    preserve_system: bool = True,
    token_counter: TokenCounter | None = None,
    model: str | None = None,
) -> list[Any]:
    """Keeps the newest, the oldest, or as much as fits; never half a tool call.

    Args:
        messages: the conversation.
        strategy: ``last`` keeps the newest ``max_messages``, ``first`` the oldest, ``token`` the newest
            that fit in ``max_tokens``, as :func:`fit_context` does.
        max_messages: how many to keep at most, the system prompt not counted. A tool call and its results that
            are more than this together are left out, and what lies behind them too: nothing may remain.
        max_tokens: the budget in tokens.
        preserve_system: keep the leading system messages in any case.
        token_counter: a function from a list of messages to its tokens, in place of exact counting.
        model: whose tokens to count.

    Raises:
        InvalidInputError: the number that the strategy needs is missing.
        ConfigurationError: an unknown strategy, or a token_counter that is no function.
        ContextLengthError: ``token``: what must stay does not fit.

    Example:
        >>> from ai_infra.llm.memory import trim_messages
        >>> chat = [{"role": "system", "content": "Be brief."}] + [
        ...     {"role": "user", "content": str(n)} for n in range(10)
        ... ]
        >>> [m["content"] for m in trim_messages(chat, strategy="last", max_messages=2)]
        ['Be brief.', '8', '9']
    """
    conversation = as_list(messages)
    if token_counter is not None and not callable(token_counter):
        raise ConfigurationError(
            f"token_counter is a function from a list of messages to a number, not {token_counter!r}."
        )
    if strategy == "token":
        if max_tokens is None:
            raise InvalidInputError("trim_messages(strategy='token') needs max_tokens.")
        max_tokens = require_count(max_tokens, "max_tokens")
        counter = counter_for(model) if token_counter is None else _CallerCounts(token_counter)
        plan = Plan(conversation, counter, keep_head=preserve_system)
        summary = plan.summary_message(plan.old_summary)
        required = plan.required + plan.summary_cost(plan.old_summary)
        if required > max_tokens:
            raise plan.too_long(max_tokens, required, plan.describe_required())
        budget = max_tokens - required
        cut, _ = plan.walk(budget).cut(budget)
        return plan.prompt(cut, summary)
    if strategy not in ("last", "first"):
        raise ConfigurationError(f"strategy is 'last', 'first' or 'token', not {strategy!r}.")
    if max_messages is None:
        hint = " (max_tokens goes with strategy='token')" if max_tokens is not None else ""
        raise InvalidInputError(f"trim_messages(strategy={strategy!r}) needs max_messages{hint}.")
    max_messages = require_count(max_messages, "max_messages", least=0)
    plan = Plan(conversation, _CallerCounts(lambda _: 0), keep_head=preserve_system)
    return _by_count(plan, max_messages, newest=strategy == "last")


def _by_count(plan: Plan, most: int, *, newest: bool) -> list[Any]:
    """Whole groups, from one end, as long as they are no more messages than ``most``."""
    kept: set[int] = set()
    order = range(plan.end - 1, plan.head - 1, -1) if newest else range(plan.head, plan.end)
    for at in order:
        if at in kept:
            continue
        group = plan.groups.of(at, links_of(fields_of(plan.messages[at])))
        if group is not None and group.broken:
            continue
        members = (at,) if group is None else group.members
        if len(kept) + len(members) > most:
            break
        kept.update(members)
    return [to_message(plan.messages[at]) for at in [*range(plan.head), *sorted(kept)]]


def _summarize(
    messages: Iterable[AnyMessage],
    *,
    keep_last: int = 10,
    llm: Any = None,
    summarize_prompt: str | None = None,
    summary: str | None = None,
    max_summary_tokens: int = 1_024,
    model: str | None = None,
) -> Flow[ContextResult]:
    """Summarizes all but the newest messages, whatever their size.

    Args:
        messages: the conversation.
        keep_last: how many of the newest messages stay as they are; a tool call is never torn apart.
        llm: who summarizes; see :func:`fit_context`.
        summarize_prompt: instructions for the summarizer, in place of ours.
        summary: an earlier summary, to be carried on.
        max_summary_tokens: the bound of the summary.
        model: whose tokens to count.

    Raises:
        SummarizationError: the summarizer failed, or twice gave an empty or oversized summary.
    """
    keep_last = require_count(keep_last, "keep_last", least=0)
    max_summary_tokens = require_count(max_summary_tokens, "max_summary_tokens")
    require_text(summarize_prompt, "summarize_prompt")
    counter = counter_for(model)
    summarizer = Summarizer(llm, counter, summarize_prompt, bounded=True)
    return (
        yield from summarized(as_list(messages), summarizer, counter, summary, keep_last, max_summary_tokens)
    )


def summarized(
    messages: Sequence[AnyMessage],
    summarizer: Summarizer,
    counter: Counter,
    summary: str | None,
    keep_last: int,
    limit: int,
    *,
    trim: bool = False,
) -> Flow[ContextResult]:
    """:func:`summarize_messages`; with ``trim``, old messages are left out where no summary could be made."""
    plan = Plan(messages, counter)
    planner = plan.walk(2**62)
    cut, tail = planner.cut(2**62, keep=keep_last)
    always = set(plan.always)
    old = summary or plan.old_summary
    new_messages = [plan.messages[at] for at in range(plan.head, cut) if at not in always]
    if not new_messages:
        return ContextResult.of(plan, cut, tail, old)
    try:
        text = yield from summarizer.summarize(old, new_messages, limit)
    except SummarizationError:
        if not trim:
            raise
        log.warning("no summary could be made; old messages are left out instead")
        return ContextResult.of(plan, cut, tail, old)
    return ContextResult.of(plan, cut, tail, text, summarized=True)


summarize_messages = blocking(_summarize, "summarize_messages")
asummarize_messages = awaiting(_summarize, "asummarize_messages")
