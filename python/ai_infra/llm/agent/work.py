"""What an agent does, each operation written once for all its faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ai_infra._checks import require_text
from ai_infra._flow import Flow
from ai_infra.errors import ConfigurationError, InvalidInputError, SessionNotFoundError
from ai_infra.llm.agent import telemetry
from ai_infra.llm.agent.indexer import Indexer
from ai_infra.llm.agent.pending import Decision, action_of, progress_of, resume
from ai_infra.llm.agent.result import AgentResult, PendingAction
from ai_infra.llm.agent.setup import refuse_misplaced
from ai_infra.llm.agent.turn import Progress, Runner, Setup
from ai_infra.llm.memory._groups import require_whole
from ai_infra.llm.session.log import parsed
from ai_infra.llm.session.store import SessionStore
from ai_infra.llm.session.turns import OpenTurn, new_id, row_of
from ai_infra.messages import AnyMessage, HumanMessage, as_list, fields_of, to_message

Prompt = str | Iterable[AnyMessage]


@dataclass
class Work:
    """An agent without its faces."""

    setup: Setup
    session: SessionStore | None
    indexer: Indexer | None
    user_id: str | None

    def runner(self, params: Mapping[str, Any], *, streaming: bool = False) -> Runner:
        """What drives one turn."""
        refuse_misplaced(params)
        return Runner(self.setup, params, streaming=streaming)

    def turn(
        self, runner: Runner, prompt: Prompt, session_id: str | None, turn_id: str | None, user_id: str | None
    ) -> Flow[AgentResult]:
        """See :meth:`Agent.run <ai_infra.Agent.run>`."""
        given = _given(prompt)
        user = self._user(user_id)
        turns = self.setup.turns
        if turns is None:
            if session_id is not None or turn_id is not None:
                raise ConfigurationError(
                    "session_id and turn_id need a session store: "
                    "Agent(session=ai_infra.llm.session.memory())."
                )
            name = new_id()
            progress = yield from runner.alone(name, [to_message(dict(fields_of(one))) for one in given])
            result = _result(progress, name, None)
            if self.indexer is not None and user is not None:
                self.indexer.submit(user, name, partial(list, result.new_messages))
            return result
        given = parsed([row_of(message) for message in given])  # refused here rather than at the turn's end
        require_whole(given)
        turn = yield from turns.begin(new_id() if session_id is None else session_id, turn_id)
        try:
            pending = turn.state.pending
            if (
                turn.named
                and pending is not None
                and pending["turn_id"] == turn.turn_id
                and pending["waiting"]
            ):
                # Asked again, because the answer was lost: the answer was that it waits.
                return self._stored(progress_of(pending), turn, user)
            with telemetry.agent(turn.session, self.setup.model) as span:
                progress = yield from runner.in_session(turns, turn, given, span)
        finally:
            turns.end(turn)
        return self._stored(progress, turn, user)

    def pending(self, session_id: str) -> Flow[PendingAction | None]:
        """See :meth:`Agent.pending <ai_infra.Agent.pending>`."""
        turns = self.setup.turns
        if turns is None:
            raise ConfigurationError("pending() needs a session store: Agent(session=...).")
        turn = yield from turns.look(session_id)
        if turn.head is None:
            raise SessionNotFoundError(f"there is no session {session_id!r}.")
        pending = turn.state.pending
        return (
            None
            if pending is None
            else action_of(session_id, progress_of(pending).messages, pending["waiting"])
        )

    def resume(
        self, runner: Runner, session_id: str, decision: Decision, retry: bool, user_id: str | None
    ) -> Flow[AgentResult]:
        """See :meth:`Agent.resume <ai_infra.Agent.resume>`."""
        turns = self.setup.turns
        user = self._user(user_id)
        if turns is None:
            raise ConfigurationError("resume() needs a session store: Agent(session=...).")
        turn = yield from turns.begin(session_id, None)
        try:
            with telemetry.agent(session_id, self.setup.model) as span:
                progress = yield from resume(runner, turns, turn, decision, retry=retry, span=span)
        finally:
            turns.end(turn)
        return self._stored(progress, turn, user)

    def _stored(self, progress: Progress, turn: OpenTurn, user: str | None) -> AgentResult:
        assert self.session is not None
        assert turn.head is not None
        log = partial(self.session.messages_until, turn.session, turn.head.ref, turn.head.length)
        result = _result(progress, turn.session, log)
        if self.indexer is not None and user is not None and not result.paused and result.steps:
            self.indexer.submit(user, turn.session, lambda: result.messages)
        return result

    def _user(self, user_id: str | None) -> str | None:
        require_text(user_id, "user_id")
        user = user_id or self.user_id
        if self.indexer is not None and user is None:
            raise ConfigurationError("memory= needs to know whose conversation it is: pass user_id=...")
        return user


def _given(prompt: Prompt) -> list[Any]:
    given = [HumanMessage(prompt)] if isinstance(prompt, str) else list(as_list(prompt))
    if not given:
        raise InvalidInputError("there is nothing to answer: prompt holds no messages.")
    return given


def _result(progress: Progress, session: str, log: Any) -> AgentResult:
    return AgentResult(
        progress.text,
        new_messages=progress.messages,
        session_id=session,
        usage=progress.usage,
        steps=progress.steps,
        pending_action=action_of(session, progress.messages, progress.waiting),
        log=log,
    )
