"""``Agent``: a model with tools, a session that lasts, and a memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ai_infra._checks import require_text
from ai_infra._flow import Closing, apart, arun, run
from ai_infra.errors import ConfigurationError
from ai_infra.llm.agent.indexer import Indexer
from ai_infra.llm.agent.model import Model
from ai_infra.llm.agent.pending import Decision
from ai_infra.llm.agent.result import AgentResult, PendingAction
from ai_infra.llm.agent.setup import setup
from ai_infra.llm.agent.stream import AgentStream, AsyncAgentStream
from ai_infra.llm.agent.work import Prompt, Work
from ai_infra.llm.session.store import SessionStore
from ai_infra.llm.tools.tool import Tool

__all__ = ["Agent"]


class Agent(Closing):
    """A model that uses tools, and continues conversations.

    One agent serves any number of sessions, threads and tasks at the same time.

    Args:
        tools: typed functions (``def`` or ``async def``), :class:`~ai_infra.llm.tools.Tool` objects,
            LangChain tools. Calls that the model makes together run together. Wrong arguments, and whatever a
            tool raises, are told to the model.
        session: where conversations are kept; see :mod:`ai_infra.llm.session`.
        system: instructions, sent with every call and not part of the session.
        llm: who answers: an :class:`~ai_infra.LLM`, a LangChain chat model, or any object with ``chat``. By
            default ``LLM(provider, model)``.
        model: the model to ask.
        provider: of the default ``llm``.
        middleware: what stands around model and tools: :class:`~ai_infra.llm.agent.Middleware`, and at most
            one :class:`~ai_infra.llm.memory.SummarizationMiddleware`.
        max_steps: how often the model may be called in one turn.
        pause_before: tools (or their names) that are only called after :meth:`resume`. Needs a session.
        memory: a :class:`~ai_infra.llm.tools.custom.ConversationMemory`: every finished turn is indexed into
            it in the background, so that later sessions can recall it. :meth:`close` waits for that.
        user_id: whose conversations these are, for ``memory``; a call may name another.
        params: sent with every call: ``temperature=0`` … A name that looks like a misspelled one of ours is
            refused.

    Raises:
        ConfigurationError: options that do not fit together, or a misspelled one.

    Example::

        agent = Agent(session=sqlite("./sessions.db"), tools=[get_weather])
        answer = agent.run("Do I need an umbrella in Oslo?", session_id="thread_123")
        print(answer, answer.usage)
    """

    def __init__(
        self,
        tools: Iterable[Any] = (),
        session: SessionStore | None = None,
        system: str | None = None,
        llm: Any = None,
        model: str | None = None,
        provider: str | None = None,
        middleware: Iterable[Any] = (),
        max_steps: int = 25,
        *,
        pause_before: Iterable[Any] = (),
        memory: Any = None,
        user_id: str | None = None,
        **params: Any,
    ) -> None:
        if session is not None and not isinstance(session, SessionStore):
            raise ConfigurationError(
                "session is a store such as ai_infra.llm.session.memory() or sqlite(path), not "
                f"{type(session).__name__}; the id of a conversation goes to run(..., session_id=...)."
            )
        if llm is not None and provider is not None:
            raise ConfigurationError("pass llm or provider, not both: an llm has its provider already.")
        if memory is not None and not callable(getattr(memory, "index_conversation", None)):
            raise ConfigurationError(f"memory has index_conversation(); {type(memory).__name__} has not.")
        require_text(user_id, "user_id")
        self.session = session
        self._own_llm = llm is None
        if llm is None:
            from ai_infra.llm.client import LLM, refuse_settings

            refuse_settings(params)
            llm = LLM(provider, model)
            model = None
        self._llm = llm
        self._work = Work(
            setup(Model(llm, model), tools, session, system, middleware, max_steps, pause_before, params),
            session,
            None if memory is None else Indexer(memory),
            user_id,
        )

    @property
    def user_id(self) -> str | None:
        """Whose conversations these are, for ``memory``."""
        return self._work.user_id

    @property
    def tools(self) -> list[Tool]:
        """The tools, in order."""
        return list(self._work.setup.tools.values())

    def run(
        self,
        prompt: Prompt,
        *,
        session_id: str | None = None,
        turn_id: str | None = None,
        user_id: str | None = None,
        **params: Any,
    ) -> AgentResult:
        """Answer ``prompt``, with as many tool calls as the model needs.

        When it returns, the turn is part of the session, durably. When it raises, the session is as it was.

        Args:
            prompt: what the user says: a string, or messages (a tool call among them with all its results).
            session_id: the conversation to continue, or to begin. Without one a new id is made up;
                ``result.session_id`` tells.
            turn_id: an id of your own for this turn. A turn that was stored already is not made again: its
                answer is returned. So a client that heard nothing may simply ask again.
            user_id: whose conversation it is, for ``memory``.
            params: for the model, in this turn.

        Raises:
            MaxStepsError: the model kept calling tools.
            ConflictError: other turns of the session were in the way for too long.
            AgentError: the session waits for :meth:`resume`.
            ContextLengthError: what must be sent does not fit the budget.
            LLMError: the model's service failed; see :meth:`LLM.chat <ai_infra.LLM.chat>`.
            StorageError: the session could not be read or written.
        """
        return run(self._work.turn(self._work.runner(params), prompt, session_id, turn_id, user_id))

    async def arun(
        self,
        prompt: Prompt,
        *,
        session_id: str | None = None,
        turn_id: str | None = None,
        user_id: str | None = None,
        **params: Any,
    ) -> AgentResult:
        """:meth:`run` without blocking the event loop. Cancelled, the turn is stored whole or not at all."""
        return await arun(self._work.turn(self._work.runner(params), prompt, session_id, turn_id, user_id))

    def stream(
        self,
        prompt: Prompt,
        *,
        session_id: str | None = None,
        turn_id: str | None = None,
        user_id: str | None = None,
        **params: Any,
    ) -> AgentStream:
        """:meth:`run`, giving text as the service sends it, and what happens with tools.

        Nothing happens before the first event is asked for. The iterator's ``.result`` is there at the end.
        When it is left early or breaks, the session is as it was.
        """
        runner = self._work.runner(params, streaming=True)
        return AgentStream(runner, self._work.turn(runner, prompt, session_id, turn_id, user_id))

    def astream(
        self,
        prompt: Prompt,
        *,
        session_id: str | None = None,
        turn_id: str | None = None,
        user_id: str | None = None,
        **params: Any,
    ) -> AsyncAgentStream:
        """:meth:`stream` for ``async for``."""
        runner = self._work.runner(params, streaming=True)
        return AsyncAgentStream(runner, self._work.turn(runner, prompt, session_id, turn_id, user_id))

    def pending(self, session_id: str) -> PendingAction | None:
        """The tool call that a session waits with, as whoever resumes it has to see it; None where none waits.

        Raises:
            SessionNotFoundError: there is no such session.
            ConfigurationError: the agent has no session store.
        """
        return run(self._work.pending(session_id))

    async def apending(self, session_id: str) -> PendingAction | None:
        """:meth:`pending` without blocking the event loop."""
        return await arun(self._work.pending(session_id))

    def resume(
        self,
        session_id: str,
        *,
        approved: bool = True,
        modified_args: Mapping[str, Any] | None = None,
        reason: str | None = None,
        call_id: str | None = None,
        retry: bool = False,
        user_id: str | None = None,
        **params: Any,
    ) -> AgentResult:
        """Decide about the tool call that a session waits with (``result.pending_action``), and go on.

        Any process with the same tools may do this. Where several calls of one step wait, each is decided by
        a resume of its own; the tools run after the last.

        Args:
            session_id: the paused session.
            approved: whether the call may be made. A declined one is told to the model.
            modified_args: call with these arguments instead.
            reason: for the model, with a declined call.
            call_id: the call that is decided (``pending_action.call_id``). If another one waits by now, nothing
                is decided: so one approval, delivered twice, never approves what nobody has seen.
            retry: make a call again that a worker had begun and not recorded. It may have happened.
            user_id: as in :meth:`run`.
            params: for the model.

        Raises:
            AgentError: nothing waits in this session.
            SessionNotFoundError: there is no such session.
            ConflictError: another worker is making the call, or died doing so; or ``call_id`` does not wait.
            InvalidInputError: ``modified_args`` are not what the tool takes.
        """
        decision = Decision(approved, modified_args, reason, call_id)
        return run(self._work.resume(self._work.runner(params), session_id, decision, retry, user_id))

    async def aresume(
        self,
        session_id: str,
        *,
        approved: bool = True,
        modified_args: Mapping[str, Any] | None = None,
        reason: str | None = None,
        call_id: str | None = None,
        retry: bool = False,
        user_id: str | None = None,
        **params: Any,
    ) -> AgentResult:
        """:meth:`resume` without blocking the event loop."""
        decision = Decision(approved, modified_args, reason, call_id)
        return await arun(self._work.resume(self._work.runner(params), session_id, decision, retry, user_id))

    def resume_stream(
        self,
        session_id: str,
        *,
        approved: bool = True,
        modified_args: Mapping[str, Any] | None = None,
        reason: str | None = None,
        call_id: str | None = None,
        retry: bool = False,
        user_id: str | None = None,
        **params: Any,
    ) -> AgentStream:
        """:meth:`resume` as :meth:`stream` is to :meth:`run`: text as it comes, and what happens with tools.

        Nothing is decided before the first event is asked for. Left early or broken, the calls that were made
        are recorded, and a later resume goes on behind them.
        """
        decision = Decision(approved, modified_args, reason, call_id)
        runner = self._work.runner(params, streaming=True)
        return AgentStream(runner, self._work.resume(runner, session_id, decision, retry, user_id))

    def aresume_stream(
        self,
        session_id: str,
        *,
        approved: bool = True,
        modified_args: Mapping[str, Any] | None = None,
        reason: str | None = None,
        call_id: str | None = None,
        retry: bool = False,
        user_id: str | None = None,
        **params: Any,
    ) -> AsyncAgentStream:
        """:meth:`resume_stream` for ``async for``."""
        decision = Decision(approved, modified_args, reason, call_id)
        runner = self._work.runner(params, streaming=True)
        return AsyncAgentStream(runner, self._work.resume(runner, session_id, decision, retry, user_id))

    def close(self) -> None:
        """Wait until finished turns are in the memory, and close the connections of an ``LLM`` made here.

        A session store, a memory and an ``llm`` that were passed in stay open.
        """
        if self._work.indexer is not None:
            self._work.indexer.flush()
        if self._own_llm:
            self._llm.close()

    async def aclose(self) -> None:
        """:meth:`close` without blocking the event loop."""
        if self._work.indexer is not None:
            await apart(self._work.indexer.flush)
        if self._own_llm:
            await self._llm.aclose()
