"""OpenTelemetry spans, where the application uses OpenTelemetry; nothing, and at no cost, where it does not.

The names follow the GenAI semantic conventions. Counts, names and ids are recorded; never what anybody said.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from ai_infra.llm.agent.middleware import ToolCall, ToolResult
from ai_infra.llm.agent.model import Model, ModelReply


class Span:
    """A span, or nothing."""

    __slots__ = ("_span", "context")

    def __init__(self, span: Any = None, context: Any = None) -> None:
        self._span = span
        self.context = context

    def set(self, **attributes: Any) -> None:
        """Record attributes; ``__`` in a name stands for a dot."""
        if self._span is not None:
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(name.replace("__", "."), value)

    def replied(self, reply: ModelReply) -> None:
        """Record what a model's answer cost."""
        if self._span is not None:
            usage = reply.usage
            self.set(
                gen_ai__response__model=reply.model or None,
                gen_ai__usage__input_tokens=usage and usage.prompt,
                gen_ai__usage__output_tokens=usage and usage.completion,
            )

    def told(self, result: ToolResult) -> ToolResult:
        """Record whether a tool call failed; returns ``result``."""
        if result.failed:
            self.failed("tool_error")
        return result

    def failed(self, kind: str) -> None:
        """Record a failure by its kind."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_attribute("error.type", kind)
            self._span.set_status(Status(StatusCode.ERROR, kind))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Left early or cancelled is no failure.
        if isinstance(error, Exception):
            self.failed(type(error).__name__)
        if self._span is not None:
            self._span.end()


NOTHING = Span()


def start(name: str, parent: Span | None, kind: str, **attributes: Any) -> Span:
    """A span, where a provider of spans is configured."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return NOTHING
    context = None if parent is None else parent.context
    span = trace.get_tracer("ai_infra").start_span(name, context=context, kind=getattr(trace.SpanKind, kind))
    if not span.is_recording():
        return NOTHING if context is None else Span(None, context)
    made = Span(span, trace.set_span_in_context(span, context))
    made.set(**attributes)
    return made


def agent(session_id: str, model: Model) -> Span:
    """The span of a turn."""
    return start(
        "invoke_agent",
        None,
        "INTERNAL",
        gen_ai__operation__name="invoke_agent",
        gen_ai__provider__name=model.provider,
        gen_ai__request__model=model.name,
        gen_ai__conversation__id=session_id,
    )


def chat(parent: Span, model: Model) -> Span:
    """The span of a model call."""
    return start(
        f"chat {model.name or ''}".strip(),
        parent,
        "CLIENT",
        gen_ai__operation__name="chat",
        gen_ai__provider__name=model.provider,
        gen_ai__request__model=model.name,
    )


@contextmanager
def tool(parent: Span, call: ToolCall) -> Iterator[Span]:
    """The span of a tool call; what the tool does becomes its children."""
    span = start(
        f"execute_tool {call.name}",
        parent,
        "INTERNAL",
        gen_ai__operation__name="execute_tool",
        gen_ai__tool__name=call.name,
        gen_ai__tool__call__id=call.id,
    )
    if span.context is None:
        yield span
        return
    from opentelemetry import context

    with span:
        token = context.attach(span.context)
        try:
            yield span
        finally:
            context.detach(token)
