"""One turn of an agent, written once for all its faces: run and arun, stream and astream."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ai_infra._flow import Call, Flow, insist
from ai_infra.errors import AgentError, ConfigurationError, ConflictError, InvalidValueError, MaxStepsError
from ai_infra.llm.agent import telemetry
from ai_infra.llm.agent.calls import Batch
from ai_infra.llm.agent.events import Emit, TextDelta, ToolFinished, ToolStarted, TurnRestarted
from ai_infra.llm.agent.middleware import (
    Middleware,
    ModelRequest,
    ToolCall,
    ToolResult,
    overridden,
    require_plain,
)
from ai_infra.llm.agent.model import Model, ModelReply, Pieces, reply_of
from ai_infra.llm.agent.telemetry import Span
from ai_infra.llm.memory._plan import SUMMARY_PREFIX
from ai_infra.llm.memory.middleware import SummarizationMiddleware
from ai_infra.llm.memory.models import known_model
from ai_infra.llm.memory.tokens import counter_for
from ai_infra.llm.response import Usage
from ai_infra.llm.session.turns import OpenTurn, Turns, row_of
from ai_infra.llm.tools.tool import Tool
from ai_infra.messages import SystemMessage, ToolMessage, message_text

log = logging.getLogger("ai_infra.agent")

MOST_TRIES = 50
"""How often a turn that loses races is made again. After the first loss the others let it finish, so a second
one means that a worker does not know our manners."""


@dataclass
class Progress:
    """What has happened in a turn so far.

    Attributes:
        messages: of the turn: what was asked, calls, results.
        usage, steps: of all model calls.
        waiting: ids of calls of the last message that need a person's decision.
        made: results of the calls that were made, by tool and arguments.
        replay: those of an earlier try. A turn that is made again on a log that has grown meanwhile does not
            repeat what its tools have done.
    """

    messages: list[Any]
    usage: Usage = field(default_factory=Usage)
    steps: int = 0
    waiting: list[str] = field(default_factory=list)
    made: dict[tuple[str, str], list[ToolResult]] = field(default_factory=dict)
    replay: dict[tuple[str, str], list[ToolResult]] = field(default_factory=dict)
    text: str = ""

    def pending(self, turn_id: str, claim: str | None = None) -> dict[str, Any]:
        """The turn as it waits in the session; ``claim`` is whose it is while somebody goes on with it."""
        usage = self.usage
        return {
            "turn_id": turn_id,
            "messages": [dict(message) for message in self.messages],
            "waiting": self.waiting,
            "decisions": {},
            "usage": [usage.prompt, usage.completion, usage.total, usage.cached],
            "steps": self.steps,
            "claim": claim,
        }

    def again(self, given: Sequence[Any]) -> Progress:
        """From the beginning, with what the tools have answered."""
        replay = {call: [*results, *self.replay.get(call, ())] for call, results in self.made.items()}
        return Progress(list(given), self.usage, replay={**self.replay, **replay})


@dataclass
class Setup:
    """What an agent brings to each of its turns."""

    model: Model
    tools: Mapping[str, Tool]
    schemas: list[dict[str, Any]]
    before: list[Any]
    middleware: Sequence[Middleware]
    compactor: SummarizationMiddleware | None
    pause_before: frozenset[str]
    max_steps: int
    params: Mapping[str, Any]
    turns: Turns | None
    tool_tokens: int | None = None

    def __post_init__(self) -> None:
        self.before_hooks = [one for one in self.middleware if overridden(one, "before_model")]
        self.after_hooks = [one for one in self.middleware if overridden(one, "after_model")]
        if self.tool_tokens is None:
            name = self.model.name
            counter = counter_for(name if name and known_model(name) else None)
            self.tool_tokens = counter.tools(self.schemas) if self.turns is not None else 0


class Runner:
    """Drives one turn. ``pieces`` is the stream that is open now, if any."""

    def __init__(self, setup: Setup, params: Mapping[str, Any], *, streaming: bool) -> None:
        self.setup = setup
        self.pieces: Pieces | None = None
        # Without a session: what of the turn's messages is still shown, and of how many that was made.
        self._kept: list[Any] = []
        self._seen = 0
        self._params = {**setup.params, **params}
        self._streaming = streaming

    def alone(self, run_id: str, given: list[Any]) -> Flow[Progress]:
        """A turn without a session."""
        turn, progress = OpenTurn(run_id, run_id), Progress(list(given))
        with telemetry.agent(run_id, self.setup.model) as span:
            yield from self.loop(turn, progress, span)
        return progress

    def in_session(self, turns: Turns, turn: OpenTurn, given: list[Any], span: Span) -> Flow[Progress]:
        """A turn that is appended to a session, on what the session holds when it is appended."""
        try:
            return (yield from self._tried(turns, turn, given, span))
        except (Exception, asyncio.CancelledError):
            # Whatever ends it: the others were asked to wait for this turn, and would for a minute.
            yield from insist(lambda: turns.release(turn))
            raise

    def _tried(self, turns: Turns, turn: OpenTurn, given: list[Any], span: Span) -> Flow[Progress]:
        """The same, made again as long as others are first."""
        progress = Progress(list(given))
        for _ in range(MOST_TRIES):
            earlier = (yield from turns.found(turn)) if turn.named else None
            if earlier is not None:
                yield from turns.release(turn)
                text = message_text(earlier[-1])
                if self._streaming and text:
                    yield Emit(TextDelta(text))
                return Progress(earlier, text=text)
            if turn.state.pending is not None:
                raise AgentError(
                    f"the session {turn.session!r} waits for a decision about a tool call: "
                    "call agent.resume(session_id, approved=...) first"
                    if turn.state.pending["waiting"]
                    else f"a turn of session {turn.session!r} has not ended since its tool calls were decided: "
                    "call agent.resume(session_id) to go on with it"
                )
            yield from self.loop(turn, progress, span)
            try:
                yield from close(turns, turn, progress)
            except ConflictError:
                if self._streaming:
                    yield Emit(TurnRestarted())
                yield from turns.again(turn)
                progress = progress.again(given)
                continue
            return progress
        raise ConflictError(
            f"the session {turn.session!r} keeps changing under this turn; nothing of it was stored"
        )

    def loop(self, turn: OpenTurn, progress: Progress, span: Span) -> Flow[None]:
        """Ask the model and call its tools until it answers, or until a call has to wait."""
        setup = self.setup
        while True:
            if progress.steps >= setup.max_steps:
                raise MaxStepsError(
                    f"the model still calls tools after max_steps={setup.max_steps} answers; "
                    "nothing of the turn was stored. Raise max_steps, or look at what its tools tell it."
                )
            messages = yield from self._prompt(turn, progress)
            request = ModelRequest(
                messages, list(setup.schemas), dict(self._params), turn.session, progress.steps + 1
            )
            reply = yield from self._ask(request, span)
            progress.steps += 1
            if reply.usage is not None:
                progress.usage += reply.usage
            message = reply.after(progress.messages[-1])
            progress.messages.append(message)
            progress.text = reply.text
            if not reply.tool_calls:
                log.debug("turn %s: %d steps, %d tokens", turn.turn_id, progress.steps, progress.usage.total)
                return
            calls = calls_of(message, turn.session)
            progress.waiting = [call.id for call in calls if call.name in setup.pause_before]
            if progress.waiting:
                return
            yield from self.call(calls, progress, span)

    def call(self, calls: Sequence[ToolCall], progress: Progress, span: Span) -> Flow[None]:
        """Make the calls together, and add their results to the turn."""
        earlier = [found.pop(0) if (found := progress.replay.get(_key(call))) else None for call in calls]
        fresh = [call for call, result in zip(calls, earlier, strict=True) if result is None]
        yield from self.started(fresh)
        made = yield from self.make(fresh, span)
        answers = iter(made)
        for call, before in zip(calls, earlier, strict=True):
            result = next(answers) if before is None else before
            progress.messages.append(ToolMessage(result.content, tool_call_id=call.id))
            progress.made.setdefault(_key(call), []).append(result)
        yield from self.finished(zip(fresh, made, strict=True))

    def make(self, calls: Sequence[ToolCall], span: Span) -> Flow[list[ToolResult]]:
        """Make the calls together."""
        outcomes = yield from self.outcomes(calls, span)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return cast("list[ToolResult]", outcomes)

    def outcomes(self, calls: Sequence[ToolCall], span: Span) -> Flow[list[ToolResult | Exception]]:
        """The same, with what was raised around a call in place of its result."""
        if not calls:
            return []
        made = yield Batch(calls, self.setup.tools, self.setup.middleware, span)
        return made if self.setup.turns is None else list(map(_storable, calls, made))

    def started(self, calls: Iterable[ToolCall]) -> Flow[None]:
        """Tell who reads the stream that calls are about to be made."""
        if self._streaming:
            for call in calls:
                yield Emit(ToolStarted(call.id, call.name, call.arguments))

    def finished(self, made: Iterable[tuple[ToolCall, ToolResult]]) -> Flow[None]:
        """Tell who reads the stream what they gave."""
        if self._streaming:
            for call, result in made:
                yield Emit(ToolFinished(call.id, call.name, result.content, result.failed))

    def _prompt(self, turn: OpenTurn, progress: Progress) -> Flow[list[Any]]:
        setup = self.setup
        if setup.turns is not None:
            yield from setup.turns.renew(turn)
            return (
                yield from setup.turns.prompt(
                    turn,
                    setup.before,
                    progress.messages,
                    model=setup.model.name,
                    tool_tokens=setup.tool_tokens or 0,
                    compactor=setup.compactor,
                )
            )
        before, summary = list(setup.before), turn.state.summary
        messages = self._kept + progress.messages[self._seen :]
        self._seen, self._kept = len(progress.messages), messages
        if setup.compactor is not None:
            compacted = yield from setup.compactor.compact([*before, *messages], summary)
            if compacted is not None and compacted.action != "none":
                # What the summary stands for, or is left out without one, is gone for the steps after this one too.
                rest = compacted.messages[len(before) :]
                self._kept = [message for message in rest if not _is_summary(message)]
                turn.state = replace(turn.state, summary=compacted.summary)
                return compacted.messages
        if summary:
            before.append(SystemMessage(SUMMARY_PREFIX + summary))
        return before + messages

    def _ask(self, request: ModelRequest, parent: Span) -> Flow[ModelReply]:
        setup = self.setup
        if setup.before_hooks:
            # Whole, to the last part of a content: what a hook changes is not what is stored.
            request.messages = copy.deepcopy(request.messages)
            for hook in setup.before_hooks:
                yield _Before(hook, request)
        options = setup.model.options(request.tools, request.params)
        with telemetry.chat(parent, setup.model) as span:
            if self._streaming:
                answer = yield from self._stream(request.messages, options)
            else:
                answer = yield Call(
                    lambda: setup.model.chat(request.messages, options),
                    lambda: setup.model.achat(request.messages, options),
                )
            reply = reply_of(answer)
            span.replied(reply)
        for hook in reversed(setup.after_hooks):
            changed = yield _After(hook, request, reply)
            if changed is not None:
                # What a hook puts in its place seldom thinks of it.
                reply = replace(reply_of(changed), reasoning=changed.reasoning or reply.reasoning)
        return reply

    def _stream(self, messages: list[Any], options: Mapping[str, Any]) -> Flow[Any]:
        pieces = self.pieces = self.setup.model.pieces(messages, options)
        while True:
            piece = yield pieces
            if piece is None:
                self.pieces = None
                return pieces.answer
            yield Emit(TextDelta(piece))


class _Before:
    """The request to run one hook before the model."""

    def __init__(self, hook: Middleware, request: ModelRequest) -> None:
        self._hook, self._request = hook, request

    def run(self) -> None:
        require_plain(self._hook, "before_model")
        self._check(self._hook.before_model(self._request))  # type: ignore[func-returns-value]  # seen below

    async def arun(self) -> None:
        self._check(await self._hook.abefore_model(self._request))  # type: ignore[func-returns-value]  # as above

    def _check(self, returned: Any) -> None:
        # The request itself does no harm; another one would be passed over in silence.
        if returned is not None and returned is not self._request:
            raise ConfigurationError(
                f"before_model of {type(self._hook).__name__} returned {type(returned).__name__}; it changes the "
                "request that it is given, and returns nothing."
            )


class _After:
    """The request to run one hook after the model."""

    def __init__(self, hook: Middleware, request: ModelRequest, reply: ModelReply) -> None:
        self._hook, self._request, self._reply = hook, request, reply

    def run(self) -> ModelReply | None:
        require_plain(self._hook, "after_model")
        return self._checked(self._hook.after_model(self._request, self._reply))

    async def arun(self) -> ModelReply | None:
        return self._checked(await self._hook.aafter_model(self._request, self._reply))

    def _checked(self, reply: Any) -> ModelReply | None:
        if reply is None or isinstance(reply, ModelReply):
            return reply
        raise ConfigurationError(
            f"after_model of {type(self._hook).__name__} returned {type(reply).__name__}; "
            "it returns a ModelReply or None."
        )


def close(turns: Turns, turn: OpenTurn, progress: Progress) -> Flow[None]:
    """Append the turn to its session; leave it beside the log when it waits for a person."""
    if progress.waiting:
        waiting = progress.pending(turn.turn_id)
        yield from turns.keep(turn, replace(turn.state, pending=waiting, lease=None))
    else:
        yield from turns.append(turn, progress.messages, replace(turn.state, pending=None))


def _storable(call: ToolCall, result: ToolResult | Exception) -> ToolResult | Exception:
    """The result as a session can hold it: refused at the end, it would take the turn with it that made the call."""
    if isinstance(result, Exception) or len(result.content) < 2**20:  # far from too large, whatever is in it
        return result
    try:
        row_of(ToolMessage(result.content, tool_call_id=call.id))
    except InvalidValueError:
        log.warning("the tool %s gave %d characters, which no session holds", call.name, len(result.content))
        told = (
            f"The call was made. Its result, of {len(result.content):,} characters, is too large to be kept."
        )
        return ToolResult(told, failed=result.failed)
    return result


def _is_summary(message: Any) -> bool:
    return isinstance(message, SystemMessage) and message_text(message).startswith(SUMMARY_PREFIX)


def calls_of(message: Mapping[str, Any], session: str) -> list[ToolCall]:
    """The tool calls of an assistant message."""
    return [
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"], session)
        for call in message.get("tool_calls") or ()
    ]


def _key(call: ToolCall) -> tuple[str, str]:
    return call.name, call.arguments
