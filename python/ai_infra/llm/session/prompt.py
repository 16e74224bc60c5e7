"""What the model is shown of a session: system prompt, summary, the newest of the log, the turn so far.

Of the turn, all from its newest user message on must stay: who does not see that a tool was called calls it again.
Where that does not fit, the results of its tools are shortened (:mod:`ai_infra.llm.session.shorten`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any

from ai_infra._flow import Flow
from ai_infra.errors import ContextLengthError
from ai_infra.llm.memory._plan import SUMMARY_PREFIX, asks
from ai_infra.llm.memory.fit import _fit, summary_bound
from ai_infra.llm.memory.middleware import SummarizationMiddleware
from ai_infra.llm.memory.models import UNKNOWN_CONTEXT, known_model, model_info
from ai_infra.llm.memory.result import ContextResult
from ai_infra.llm.memory.tokens import Counter, counter_for
from ai_infra.llm.session.log import Log, View
from ai_infra.llm.session.shorten import shortened
from ai_infra.llm.session.state import State
from ai_infra.messages import SystemMessage, fields_of
from ai_infra.storage.sessions import NEW, Expected, Head

log = logging.getLogger("ai_infra.session")


@dataclass(frozen=True)
class Policy:
    """How much of a log the model is shown.

    Attributes:
        max_tokens: the budget of a prompt; None: the model's window, less room for the answer.
        trim_to: the low mark of :func:`~ai_infra.fit_context`; None: half of the budget.
        summarize: summarize what does not fit, instead of leaving it out.
        keep, llm, max_summary_tokens: as in :func:`~ai_infra.fit_context`.
    """

    max_tokens: int | None = None
    trim_to: int | None = None
    summarize: bool = False
    keep: int = 10
    llm: Any = None
    max_summary_tokens: int | None = None


@dataclass
class OpenTurn:
    """A turn that is under way, and the session as it was read for it.

    ``named`` says that the turn's id came from outside, so that somebody else may be making the same turn.
    """

    session: str
    turn_id: str
    named: bool = False
    log: Log = field(default_factory=lambda: Log(0))
    head: Head | None = None
    state: State = field(default_factory=State)

    @property
    def expected(self) -> Expected:
        """What the session must still be for the turn to be appended."""
        return NEW if self.head is None else (self.head.ref, self.head.version)


def shown(
    policy: Policy,
    turn: OpenTurn,
    before: list[Any],
    messages: list[Any],
    model: str | None,
    tool_tokens: int,
    compactor: SummarizationMiddleware | None,
) -> Flow[list[Any]]:
    """The prompt: within the budget, and beginning as the last one did where that can be.

    Args:
        policy: the budget.
        turn: the session as it was read.
        before: the system prompt.
        messages: the turn so far.
        model: whose window and tokens.
        tool_tokens: what the tool schemas take of the budget.
        compactor: middleware that summarizes; what it makes becomes part of the turn's state.

    Raises:
        Missing: a part of the log has to be loaded first.
        ContextLengthError: what must be shown does not fit, with the results of tools as short as can be.
    """
    if compactor is not None:
        view = View(before, turn.log, turn.state.summarized, messages)
        # The turn's own messages are not in the log yet, so nothing could say that a summary stands for them, and the
        # next step would pay for it again.
        compacted = yield from compactor.compact(view, turn.state.summary, keep=len(messages))
        if compacted is not None and compacted.action == "summarized":
            _summarized(turn, compacted.summary, compacted.summarized_count - len(before))
    known = known_model(model) if model else None
    counted = None if known is None else model
    budget = policy.max_tokens
    if budget is None:
        window = UNKNOWN_CONTEXT if known is None else known.context
        budget = window - min(window // 4, 4096)
    budget = max(1, budget - tool_tokens)
    everything = _everything(turn, before, messages, counted, budget)
    if everything is not None:
        return everything
    result = yield from _fitted(policy, turn, before, messages, counted, budget)
    if result.action == "summarized":
        _summarized(turn, result.summary, result.summarized_count - len(before))
    elif result.action == "trimmed":
        if policy.summarize:
            log.warning("turn %s: no summary could be made; the prompt was trimmed instead", turn.turn_id)
        if policy.max_tokens is None and known is None:
            if model:
                model_info(model)  # warns, once, that a window was assumed
            else:
                log.warning("nobody says what model this is: prompts are kept within %d tokens", budget)
    return result.messages


def _fitted(
    policy: Policy, turn: OpenTurn, before: list[Any], messages: list[Any], model: str | None, budget: int
) -> Flow[ContextResult]:
    """The prompt within the budget, with the whole turn in it; see :func:`shown`."""
    counter = counter_for(model)
    asked = next((at for at in range(len(messages) - 1, -1, -1) if asks(fields_of(messages[at]))), 0)
    given, own = messages[:asked], messages[asked:]
    summarize = policy.summarize
    over = _cost([*before, *own], turn.state.summary, policy, counter, budget) - budget
    kept = shortened(own, counter, over)
    while True:
        view = View(before, turn.log, turn.state.summarized, [*given, *kept])
        try:
            return (
                yield from _fit(
                    view,
                    budget,
                    summarize=summarize,
                    summary=turn.state.summary,
                    keep=policy.keep,
                    llm=policy.llm,
                    model=model,
                    pinned=range(max(len(before), len(view) - len(own)), len(view)),
                    trim_to=budget // 2 if policy.trim_to is None else min(policy.trim_to, budget),
                    max_summary_tokens=policy.max_summary_tokens,
                    on_summary_error="trim",
                )
            )
        except ContextLengthError as error:
            # A system prompt at the beginning of the log takes room as well.
            over = max(over, 0) + (error.needed or 0) - budget
            shorter = shortened(own, counter, over)
            if shorter == kept:
                if not summarize:
                    raise
                summarize = False  # no room for a new one
            kept = shorter


def _cost(messages: list[Any], summary: str | None, policy: Policy, counter: Counter, budget: int) -> int:
    """The tokens of messages that must stay, and of the summary beside them: one that is there, or is to be."""
    text = SUMMARY_PREFIX + (summary or "")
    there = sum(counter.messages([SystemMessage(text)]))
    room = there if summary else 0
    if policy.summarize:
        room = max(
            room, there - counter.text(summary or "") + summary_bound(policy.max_summary_tokens, budget)
        )
    return sum(counter.messages([fields_of(message) for message in messages])) + counter.priming + room


def _everything(
    turn: OpenTurn, before: list[Any], messages: list[Any], model: str | None, budget: int
) -> list[Any] | None:
    """The prompt when all of the log fits, from the tokens that were counted in earlier turns."""
    skip = turn.state.summarized
    if skip > turn.log.length:
        return None
    counter = counter_for(model)
    tokens = turn.log.tokens_from(skip, counter)
    if tokens is None:
        return None
    head = list(before)
    if turn.state.summary:
        head.append(SystemMessage(SUMMARY_PREFIX + turn.state.summary))
    here = [fields_of(message) for message in (*head, *messages)]
    if tokens + sum(counter.messages(here)) + counter.priming > budget:
        return None
    return head + turn.log.part(skip, turn.log.length) + messages


def _summarized(turn: OpenTurn, summary: str | None, count: int) -> None:
    turn.state = replace(turn.state, summary=summary, summarized=turn.state.summarized + max(0, count))
