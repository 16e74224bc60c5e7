"""``fit_context``: one call that makes any conversation fit a token budget."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from ai_infra._checks import require_count, require_text
from ai_infra._flow import Flow, awaiting, blocking
from ai_infra.errors import ConfigurationError, InvalidInputError, InvalidMessageError, SummarizationError
from ai_infra.llm.memory._plan import SUMMARY_PREFIX, Pinned, Plan
from ai_infra.llm.memory.tokens import counter_for
from ai_infra.messages import AnyMessage, as_list

if TYPE_CHECKING:
    from ai_infra.llm.memory._summarizer import Summarizer
    from ai_infra.llm.memory.result import ContextResult

__all__ = ["afit_context", "fit_context"]

MIN_SUMMARY_TOKENS = 24
"""A summary shorter than this says nothing; without room for it there is no point in asking for one."""


def _fit(
    messages: Iterable[AnyMessage],
    max_tokens: int,
    *,
    summarize: bool = False,
    summary: str | None = None,
    keep: int = 10,
    llm: Any = None,
    model: str | None = None,
    tools: Iterable[Any] | None = None,
    pinned: Pinned = None,
    trim_to: int | None = None,
    max_summary_tokens: int | None = None,
    summarize_prompt: str | None = None,
    on_summary_error: Literal["raise", "trim"] = "raise",
) -> Flow[ContextResult]:
    """Fits messages into a token budget; never over it, and never with half a tool call.

    What must stay stays: the system prompt (the leading system messages), what is pinned, and the newest
    user message. Of the rest the newest is kept, as much as fits. What is older is dropped or, with
    ``summarize=True``, summarized by ``llm``. The input is not changed.

    Args:
        messages: the conversation: dicts in OpenAI's or Anthropic's shape, LangChain messages, or a mix.
        max_tokens: the budget in tokens, for everything that goes out: messages, summary, tools.
        summarize: summarize what does not fit, instead of dropping it.
        summary: the summary so far. It is always part of the prompt, as a system message after the system
            prompt. Where None, one that is already in the prompt is recognised.
        keep: with ``summarize``, how many of the newest messages stay as they are (fewer if they do not
            fit, more if a tool call would be torn apart).
        llm: who summarizes: an :class:`~ai_infra.LLM`, a LangChain chat model, anything with ``chat``, or a
            function from messages to text. Default: ``LLM()``.
        model: whose tokens to count; see :func:`~ai_infra.count_tokens`.
        tools: tool schemas that will be sent along; they count against the budget.
        pinned: indices that must stay, or a predicate on messages. Their whole tool-call group stays.
        trim_to: when something has to go, cut deeper, to somewhere between this many tokens and the
            budget, at a place that stays the same for many turns: providers bill a repeated prefix at a
            fraction. Half the budget is a good value.
        max_summary_tokens: the bound of a new summary. Default: a quarter of the budget, at most 1,024.
        summarize_prompt: instructions for the summarizer, in place of ours.
        on_summary_error: ``raise`` a :class:`SummarizationError`, or ``trim`` instead and go on.

    Raises:
        ContextLengthError: what must stay does not fit; says what is needed.
        SummarizationError: the summarizer failed, or twice gave an empty or oversized summary.
        InvalidMessageError: something in the list is no message, or there are only halves of tool calls.

    Example:
        >>> from ai_infra import fit_context
        >>> chat = [{"role": "user", "content": f"message number {n}"} for n in range(100)]
        >>> result = fit_context(chat, max_tokens=60)
        >>> result.action, result.tokens <= 60, result.messages[-1]["content"]
        ('trimmed', True, 'message number 99')
    """
    # Imported here: dataclasses would be a fifth of what importing fit_context costs.
    from ai_infra.llm.memory.result import ContextResult

    max_tokens = require_count(max_tokens, "max_tokens")
    keep = require_count(keep, "keep", least=0)
    trim_to = None if trim_to is None else require_count(trim_to, "trim_to")
    if trim_to is not None and trim_to > max_tokens:
        raise InvalidInputError(f"trim_to ({trim_to}) is the low mark below max_tokens ({max_tokens}).")
    if max_summary_tokens is not None:
        max_summary_tokens = require_count(max_summary_tokens, "max_summary_tokens")
    if on_summary_error not in ("raise", "trim"):
        raise ConfigurationError(f"on_summary_error is 'raise' or 'trim', not {on_summary_error!r}.")
    if summary is not None and not isinstance(summary, str):
        raise InvalidInputError(f"summary is the text of an earlier summary, or None, not {summary!r}.")

    require_text(summarize_prompt, "summarize_prompt")

    counter = counter_for(model)
    plan = Plan(as_list(messages), counter, tools=tools, pinned=pinned)
    if plan.end and plan.newest is None and not plan.head:
        raise InvalidMessageError(
            f"none of the {plan.end} messages can be sent: each is a tool call without its result, or a "
            "result without its call. Pass the messages around them too."
        )
    old = (summary or "").removeprefix(SUMMARY_PREFIX) or plan.old_summary
    old_tokens = plan.summary_cost(old)
    if plan.required > max_tokens:
        raise plan.too_long(max_tokens, plan.required, plan.describe_required())
    shrink = summarize and plan.required + old_tokens > max_tokens
    if plan.required + old_tokens > max_tokens and not summarize:
        raise plan.too_long(
            max_tokens, plan.required + old_tokens, f"{plan.describe_required()} with the summary"
        )

    budget = max_tokens - plan.required - (0 if shrink else old_tokens)
    planner = plan.walk(budget)

    if planner.all_fit and not shrink:
        cut, tail = planner.cut(budget)
        return ContextResult.of(plan, cut, tail, old)
    if summarize:
        from ai_infra.llm.memory._summarizer import Summarizer

        try:
            new, cut, tail = yield from _summarize(
                plan,
                planner,
                old,
                max_tokens,
                keep,
                max_summary_tokens,
                Summarizer(
                    llm, counter, summarize_prompt, bounded=True, skippable=on_summary_error == "raise"
                ),
            )
            return ContextResult.of(plan, cut, tail, new, summarized=True)
        except SummarizationError:
            if on_summary_error == "raise" or shrink:
                raise
    low = None if trim_to is None else max(0, trim_to - (max_tokens - budget))
    cut, tail = planner.cut(budget, low_water=low)
    return ContextResult.of(plan, cut, tail, old)


fit_context = blocking(_fit, "fit_context")
afit_context = awaiting(_fit, "afit_context")


def summary_bound(max_summary_tokens: int | None, max_tokens: int) -> int:
    """The most tokens that a new summary may have in a prompt of ``max_tokens``."""
    return max_summary_tokens or max(MIN_SUMMARY_TOKENS, min(1_024, max_tokens // 4))


def _summarize(
    plan: Plan,
    planner: Any,
    old: str | None,
    max_tokens: int,
    keep: int,
    max_summary_tokens: int | None,
    summarizer: Summarizer,
) -> Flow[tuple[str, int, int]]:
    """Chooses what to summarize and asks for it. Answers the summary, the cut and the tokens behind it."""
    limit = summary_bound(max_summary_tokens, max_tokens)
    around = plan.summary_frame()
    room = max_tokens - plan.required - around
    if room < MIN_SUMMARY_TOKENS:
        needed = plan.required + around + MIN_SUMMARY_TOKENS
        raise plan.too_long(max_tokens, needed, f"{plan.describe_required()} with room for a summary")
    limit = min(limit, room)
    cut, tail = planner.cut(room - limit, keep=keep)
    always = set(plan.always)
    old_messages = [plan.messages[at] for at in range(plan.head, cut) if at not in always]
    new = yield from summarizer.summarize(old, old_messages, limit)
    return new, cut, tail
