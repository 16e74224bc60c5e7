"""A chat server in two styles: the client keeps the conversation, or the server does.

    uvicorn --app-dir examples/server app:app

The model is found through the environment (OPENAI_API_KEY, OPENAI_BASE_URL, CHAT_MODEL); sessions are kept in
the file that SESSIONS names. Whoever puts this on the internet adds who may read which session.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ai_infra import LLM, Agent, afit_context
from ai_infra.errors import AgentError, ConflictError, ContextLengthError, LLMError, SessionNotFoundError
from ai_infra.llm.agent import PendingAction
from ai_infra.llm.session import sqlite
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

MAX_TOKENS = int(os.environ.get("CHAT_MAX_TOKENS", "4000"))

llm = LLM(model=os.environ.get("CHAT_MODEL"))
sessions = sqlite(os.environ.get("SESSIONS", "./sessions.db"), max_tokens=MAX_TOKENS, summarize=True, llm=llm)


def delete_note(name: str) -> str:
    """Delete a note of the user's.

    Args:
        name: the name of the note
    """
    return f"deleted {name}"


agent = Agent(
    session=sessions,
    llm=llm,
    tools=[delete_note],
    pause_before=[delete_note],  # a person decides
    system="You are a helpful assistant.",
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Close everything with the server."""
    yield
    await agent.aclose()
    await sessions.aclose()
    await llm.aclose()


app = FastAPI(title="Chat", lifespan=lifespan)

STATUS = (
    (SessionNotFoundError, 404),
    (ConflictError, 409),
    (AgentError, 409),
    (ContextLengthError, 413),
    (LLMError, 502),
)


@app.exception_handler(AgentError)
@app.exception_handler(ConflictError)
@app.exception_handler(ContextLengthError)
@app.exception_handler(LLMError)
async def failed(request: Request, error: Exception) -> JSONResponse:
    """Each error as a status; the messages of ai_infra never hold a key."""
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status)


class ChatRequest(BaseModel):
    """What a stateless client sends: what it still has, and the summary of the rest."""

    messages: list[dict[str, Any]]
    summary: str | None = None


@app.post("/v1/chat")
async def chat(request: ChatRequest) -> dict[str, Any]:
    """Answer, and tell the client which of its messages the summary stands for now."""
    result = await afit_context(
        request.messages,
        max_tokens=MAX_TOKENS,
        summarize=True,
        summary=request.summary,
        llm=llm,
        on_summary_error="trim",
    )
    response = await llm.achat(result.messages)
    return {
        "response": response,
        "summary": result.summary,
        "summarized_count": result.summarized_count,
    }


class Turn(BaseModel):
    """One thing that a user says. ``turn_id`` is the client's: asked again with it, nothing happens twice."""

    message: str
    turn_id: str | None = None


class Decision(BaseModel):
    """What a person decided about a waiting call: the one that was shown, so send its id back."""

    approved: bool
    call_id: str | None = None
    arguments: dict[str, Any] | None = None
    reason: str | None = None


def as_json(result: Any) -> dict[str, Any]:
    """A result for the client."""
    return {
        "response": result,
        "session_id": result.session_id,
        "pending": as_shown(result.pending_action),
        "tokens": result.usage.total,
    }


def as_shown(action: PendingAction | None) -> dict[str, Any] | None:
    """A waiting call for whoever decides about it."""
    if action is None:
        return None
    return {"tool": action.tool, "arguments": action.arguments, "call_id": action.call_id}


@app.post("/v1/sessions/{session_id}/turns")
async def turn(session_id: str, request: Turn) -> dict[str, Any]:
    """Continue a conversation that the server keeps."""
    return as_json(await agent.arun(request.message, session_id=session_id, turn_id=request.turn_id))


@app.post("/v1/sessions/{session_id}/stream")
async def stream(session_id: str, request: Turn) -> StreamingResponse:
    """The same as server-sent events: ``text`` pieces, tool events, and ``end`` with the result."""

    async def events() -> AsyncIterator[str]:
        answer = agent.astream(request.message, session_id=session_id, turn_id=request.turn_id)
        try:
            async for event in answer:
                data = {"text": event} if event.type == "text" else {"tool": getattr(event, "name", None)}
                yield f"event: {event.type}\ndata: {json.dumps(data)}\n\n"
            yield f"event: end\ndata: {json.dumps(as_json(answer.result))}\n\n"
        except (AgentError, ConflictError, ContextLengthError, LLMError) as error:
            data = {"error": type(error).__name__, "detail": str(error)}
            yield f"event: error\ndata: {json.dumps(data)}\n\n"
        finally:
            await answer.aclose()

    return StreamingResponse(events(), media_type="text/event-stream")


@app.post("/v1/sessions/{session_id}/decision")
async def decide(session_id: str, decision: Decision) -> dict[str, Any]:
    """Approve or decline the call that a session waits with."""
    result = await agent.aresume(
        session_id,
        approved=decision.approved,
        modified_args=decision.arguments,
        reason=decision.reason,
        call_id=decision.call_id,
    )
    return as_json(result)


@app.get("/v1/sessions/{session_id}")
async def history(session_id: str) -> dict[str, Any]:
    """A whole conversation."""
    info = await sessions.aget(session_id)
    if info is None:
        raise HTTPException(404, "no such session")
    return {
        "session_id": info.id,
        "pending": as_shown(await agent.apending(session_id)),
        "messages": await sessions.amessages(session_id),
    }


@app.delete("/v1/sessions/{session_id}")
async def forget(session_id: str) -> dict[str, bool]:
    """Delete a conversation."""
    return {"deleted": await sessions.adelete(session_id)}
