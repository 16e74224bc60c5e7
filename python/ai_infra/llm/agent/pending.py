"""A turn that waits for a person, and goes on in whatever process the decision reaches.

It lies in the session's state, not in its log: the log holds finished turns only. A decision is written
before it is acted on. The last one claims the turn first, so that an approved call is made once, also when
two workers resume at the same moment, or when a worker dies between the call and its record: then nobody can
know whether it happened, and a person is asked instead of a machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ai_infra._checks import require_text
from ai_infra._flow import Flow, insist
from ai_infra.errors import (
    AgentError,
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    SessionNotFoundError,
    StorageError,
)
from ai_infra.llm.agent.middleware import ToolCall, ToolResult
from ai_infra.llm.agent.result import PendingAction
from ai_infra.llm.agent.telemetry import Span
from ai_infra.llm.agent.turn import Progress, Runner, calls_of, close
from ai_infra.llm.arguments import as_written
from ai_infra.llm.response import Usage
from ai_infra.llm.session.turns import OpenTurn, Turns, new_id
from ai_infra.messages import ToolMessage, to_messages

DECLINED = "The user declined this call; it was not made."


def action_of(session: str, messages: list[Any], waiting: list[str]) -> PendingAction | None:
    """The call that waits, first of those that do."""
    if not waiting:
        return None
    call = next(call for call in calls_of(messages[-1], session) if call.id == waiting[0])
    try:
        arguments = as_written(json.loads(call.arguments))
    except (ValueError, RecursionError):
        arguments = {}
    return PendingAction(call.name, arguments if isinstance(arguments, dict) else {}, call.id, session)


def progress_of(pending: Mapping[str, Any]) -> Progress:
    """The turn that waits in a session, as far as it has come."""
    messages = to_messages(pending["messages"])
    text = messages[-1].content if pending["waiting"] else ""
    return Progress(
        messages, Usage(*pending["usage"]), pending["steps"], list(pending["waiting"]), text=text or ""
    )


class Decision:
    """What a person decided about one call."""

    def __init__(
        self,
        approved: bool,
        modified_args: Mapping[str, Any] | None,
        reason: str | None,
        call_id: str | None = None,
    ) -> None:
        if not isinstance(approved, bool):
            raise InvalidInputError(f"approved is True or False, not {approved!r}.")
        if modified_args is not None and not approved:
            raise InvalidInputError(
                "modified_args change an approved call; with approved=False pass reason=..."
            )
        require_text(reason, "reason")
        require_text(call_id, "call_id")
        self.call_id = call_id
        self.approved = approved
        self.arguments = modified_args
        self.reason = reason

    def as_dict(self) -> dict[str, Any]:
        """As it is stored."""
        arguments = None if self.arguments is None else dict(self.arguments)
        return {"approved": self.approved, "arguments": arguments, "reason": self.reason}


def resume(
    runner: Runner, turns: Turns, turn: OpenTurn, decision: Decision, *, retry: bool, span: Span
) -> Flow[Progress]:
    """Decide about the call that waits; go on with the turn when it was the last one."""
    pending = _waiting_turn(turn)
    turn.turn_id = pending["turn_id"]
    progress = progress_of(pending)
    messages = progress.messages
    _check_decision(runner, turn, pending, progress, decision)
    if pending["claim"] is not None and messages[-1].tool_calls and not retry:
        raise ConflictError(
            f"the approved tool call of session {turn.session!r} is being made by another worker, or its "
            "worker died and the call may have happened. "
            "Find out, then call resume(..., retry=True) to make it again."
        )
    if progress.waiting:
        pending = {**pending, "decisions": {**pending["decisions"], progress.waiting[0]: decision.as_dict()}}
        if len(progress.waiting) > 1:
            progress.waiting = progress.waiting[1:]
            yield from turns.keep(turn, replace(turn.state, pending={**pending, "waiting": progress.waiting}))
            return progress

    def keep(claim: str | None, lease: list[Any] | None) -> Flow[None]:
        state = replace(turn.state, pending=progress.pending(turn.turn_id, claim), lease=lease)
        return turns.keep(turn, state)

    claim, made = new_id(), list[tuple[ToolCall, ToolResult]]()
    if messages[-1].tool_calls:
        made = yield from _carry_out(runner, turns, turn, progress, pending, claim, span)
    # Recorded as soon as it is known: a worker that dies after this leaves no question. Until it is done,
    # or for a minute, it asks the others not to do the same.
    yield from _while_ours(turns, turn, claim, lambda: keep(claim, turns.lease(turn)))
    try:
        yield from runner.finished(made)
        yield from runner.loop(turn, progress, span)
        yield from _while_ours(turns, turn, claim, lambda: close(turns, turn, progress))
    except (Exception, asyncio.CancelledError):
        # What was called was called, also by the steps after it: a later resume goes on behind.
        with contextlib.suppress(ConflictError, StorageError):
            yield from insist(lambda: _while_ours(turns, turn, claim, lambda: keep(None, None)))
        raise
    return progress


def _while_ours(turns: Turns, turn: OpenTurn, claim: str, write: Callable[[], Flow[None]]) -> Flow[None]:
    """Write, also when others have appended to the session meanwhile, as long as the turn is still ours."""
    while True:
        try:
            return (yield from write())
        except ConflictError:
            before = turn.expected
            yield from turns.load(turn)
            if turn.expected == before or (turn.state.pending or {}).get("claim") != claim:
                raise


def _waiting_turn(turn: OpenTurn) -> dict[str, Any]:
    if turn.head is None:
        raise SessionNotFoundError(f"there is no session {turn.session!r}.")
    if turn.state.pending is None:
        raise AgentError(f"no tool call of session {turn.session!r} waits for a decision.")
    return turn.state.pending


def _check_decision(
    runner: Runner, turn: OpenTurn, pending: Mapping[str, Any], progress: Progress, decision: Decision
) -> None:
    """Refuse a decision that is not about what waits, or that this agent cannot carry out."""
    action = action_of(turn.session, progress.messages, progress.waiting)
    asked = decision.call_id
    if action is None:
        if (
            not decision.approved
            or decision.arguments is not None
            or asked not in (None, *pending["decisions"])
        ):
            raise ConflictError(
                f"the calls of session {turn.session!r} are decided; to let the turn go on, call resume() with "
                "nothing but the session"
            )
        return
    if asked is not None and asked != action.call_id:
        raise ConflictError(
            f"the call {asked!r} of session {turn.session!r} does not wait for a decision; {action.call_id!r} does, "
            f"of {action.tool}: show it to who decides (agent.pending tells it)"
        )
    if decision.approved:
        tool = runner.setup.tools.get(action.tool)
        if tool is None:
            raise ConfigurationError(f"this agent has no tool {action.tool!r}, which waits to be called.")
        if decision.arguments is not None:
            tool.bind(decision.arguments)


def _carry_out(
    runner: Runner,
    turns: Turns,
    turn: OpenTurn,
    progress: Progress,
    pending: Mapping[str, Any],
    claim: str,
    span: Span,
) -> Flow[list[tuple[ToolCall, ToolResult]]]:
    """Make the calls of the last message as they were decided; the others as they are.

    What stands around a tool may fail, before the call or behind it. Then the claim stays, and a person finds out;
    the results of the other calls are kept, so that these are not made once more.
    """
    message, decisions = progress.messages[-1], pending["decisions"]
    for call in message.tool_calls:
        decided = decisions.get(call["id"])
        if decided and decided["approved"] and decided["arguments"] is not None:
            # The log tells what was done, and the model must believe the log.
            call["function"]["arguments"] = json.dumps(decided["arguments"], ensure_ascii=False)
    calls = calls_of(message, turn.session)
    told = {
        id_: f"{DECLINED} {decided['reason']}" if decided["reason"] else DECLINED
        for id_, decided in decisions.items()
        if not decided["approved"]
    }
    told |= pending.get("made", {})
    approved = [call for call in calls if call.id not in told]
    # Told before it is claimed: who reads a stream and leaves it then has begun nothing.
    yield from runner.started(approved)
    yield from turns.keep(turn, replace(turn.state, pending={**pending, "claim": claim}))
    outcomes = yield from runner.outcomes(approved, span)
    made = [(call, one) for call, one in zip(approved, outcomes, strict=True) if isinstance(one, ToolResult)]
    told |= {call.id: result.content for call, result in made}
    failure = next((one for one in outcomes if isinstance(one, Exception)), None)
    if failure is not None:
        known = pending.get("made", {}) | {call.id: result.content for call, result in made}
        state = {**pending, "claim": claim, "made": known}
        with contextlib.suppress(ConflictError, StorageError):
            yield from _while_ours(
                turns, turn, claim, lambda: turns.keep(turn, replace(turn.state, pending=state))
            )
        raise failure
    progress.messages += [ToolMessage(told[call.id], tool_call_id=call.id) for call in calls]
    progress.waiting = []
    return made
