"""Agents: models with tools that continue conversations. :class:`Agent` is the whole of it for most uses."""

from __future__ import annotations

from ai_infra.llm.agent.agent import Agent
from ai_infra.llm.agent.events import AgentEvent, TextDelta, ToolFinished, ToolStarted, TurnRestarted
from ai_infra.llm.agent.middleware import Middleware, ModelReply, ModelRequest, ToolCall, ToolResult
from ai_infra.llm.agent.result import AgentResult, PendingAction
from ai_infra.llm.agent.stream import AgentStream, AsyncAgentStream

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentResult",
    "AgentStream",
    "AsyncAgentStream",
    "Middleware",
    "ModelReply",
    "ModelRequest",
    "PendingAction",
    "TextDelta",
    "ToolCall",
    "ToolFinished",
    "ToolResult",
    "ToolStarted",
    "TurnRestarted",
]
