"""What the model is shown of a session: system prompt, summary, the newest of the log, the turn so far."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any

from ai_infra._flow import Flow
from ai_infra.llm.memory._plan import SUMMARY_PREFIX
from ai_infra.llm.memory.fit import _fit
from ai_infra.llm.memory.middleware import SummarizationMiddleware
from ai_infra.llm.memory.models import UNKNOWN_CONTEXT, known_model, model_info
from ai_infra.llm.memory.tokens import counter_for
from ai_infra.llm.session.log import Log, View
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
        ContextLengthError: what must be shown does not fit.
    """
    if compactor is not None:
        view = View(before, turn.log, turn.state.summarized, messages)
        compacted = yield from compactor.compact(view, turn.state.summary)
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
    result = yield from _fit(
        View(before, turn.log, turn.state.summarized, messages),
        budget,
        summarize=policy.summarize,
        summary=turn.state.summary,
        keep=policy.keep,
        llm=policy.llm,
        model=counted,
        trim_to=budget // 2 if policy.trim_to is None else min(policy.trim_to, budget),
        max_summary_tokens=policy.max_summary_tokens,
        on_summary_error="trim",
    )
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
