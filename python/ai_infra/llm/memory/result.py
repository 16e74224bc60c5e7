"""What :func:`fit_context` answers, and how it explains itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ai_infra.messages import fields_of, message_text

if TYPE_CHECKING:
    from ai_infra.llm.memory._plan import Plan

__all__ = ["ContextResult"]

Action = Literal["none", "trimmed", "summarized"]


@dataclass(slots=True)
class ContextResult:
    """A prompt that fits, and what became of each message.

    Attributes:
        messages: the prompt. Plain dicts come back as our message types (dicts still, equal to yours),
            LangChain messages as the same objects.
        summary: the summary that stands in the prompt, to be stored and passed in next time; or None.
        tokens: what ``count_tokens`` says of ``messages`` (and of ``tools``, where they were passed).
        action: ``none``, ``trimmed`` or ``summarized``.
        original_count: how many messages went in.
        final_count: how many are in the prompt, the summary's message included.
        summarized_count: how many messages from the start of the input the summary now stands for. A
            stateless client drops exactly those: ``messages = messages[result.summarized_count:]`` (and
            goes on sending its system prompt, if that was among them). 0 unless this call summarized.
        counting: ``exact``, or ``estimated`` where the model's tokenizer or its chat rule is not public.
    """

    messages: list[Any]
    summary: str | None
    tokens: int
    action: Action
    original_count: int
    final_count: int
    summarized_count: int = 0
    counting: Literal["exact", "estimated"] = "exact"
    _plan: Plan | None = field(default=None, repr=False, compare=False)
    _cut: int = field(default=0, repr=False, compare=False)

    @classmethod
    def of(
        cls, plan: Plan, cut: int, tail: int, summary: str | None, *, summarized: bool = False
    ) -> ContextResult:
        """The result of cutting ``plan`` at ``cut``, where what lies behind costs ``tail`` tokens."""
        prompt = plan.prompt(cut, plan.summary_message(summary))
        pinned_before = [at for at in plan.always if at < cut]
        loses = plan.patched or bool(plan.broken) or cut - plan.head > len(pinned_before)
        return cls(
            messages=prompt,
            summary=summary,
            tokens=plan.required + plan.summary_cost(summary) + tail,
            action="summarized" if summarized else "trimmed" if loses else "none",
            original_count=plan.end,
            final_count=len(prompt),
            # Up to the first message that is still in the prompt: what is dropped there is nowhere lost.
            summarized_count=(pinned_before or [cut])[0] if summarized else 0,
            counting="exact" if plan.counter.exact else "estimated",
            _plan=plan,
            _cut=cut,
        )

    @property
    def dropped(self) -> list[int]:
        """The indices of the input that are in neither the prompt nor the summary, in order."""
        return [at for at, fate in self._fates() if fate.startswith("dropped")]

    @property
    def summarized(self) -> list[int]:
        """The indices of the input that this call's summary stands for, in order."""
        return [at for at, fate in self._fates() if fate == "summarized"]

    @property
    def remaining(self) -> list[Any]:
        """The prompt without its summary: what to go on with, together with ``summary``, next turn."""
        from ai_infra.llm.memory._plan import SUMMARY_PREFIX

        if not self.summary:
            return list(self.messages)
        text = SUMMARY_PREFIX + self.summary
        return [message for message in self.messages if fields_of(message).get("content") != text]

    def explain(self) -> str:
        """One line a message: its index, what became of it and why, its tokens, and how it begins.

        It reads the list that was passed in, so call it before you change that list.
        """
        if self._plan is None:
            return f"{self.action}: {self.original_count} messages in, {self.final_count} out, {self.tokens} tokens"
        messages = self._plan.messages
        costs = self._plan.counter.messages(messages)
        lines = [
            f"{self.action}: {self.original_count} messages in, {self.final_count} out, "
            f"{self.tokens:,} tokens ({self.counting})"
        ]
        width = len(str(self.original_count))
        for at, fate in self._fates():
            fields = fields_of(messages[at])
            text = " ".join(message_text(fields).split())
            shown = text if len(text) <= 60 else text[:59] + "…"
            who = str(fields.get("role") or fields.get("type"))
            lines.append(f"{at:>{width}}  {fate:<42} {costs[at]:>7,}  {who:<9} {shown}".rstrip())
        return "\n".join(lines)

    def _fates(self) -> Iterator[tuple[int, str]]:
        """What became of each message of the input, oldest first."""
        plan = self._plan
        if plan is None:
            return
        always = set(plan.always)
        for at in range(self.original_count):
            if at < plan.head:
                if at != plan.old_summary_at:
                    yield at, "kept: system prompt"
                elif self.action == "summarized":
                    yield at, "summarized"
                else:
                    yield (
                        at,
                        "kept: summary" if plan.old_summary == self.summary else "dropped: replaced summary",
                    )
            elif at in always:
                user = "kept: newest user message" + (", without results" if plan.patched else "")
                yield at, user if at == plan.newest_user else "kept: pinned or newest"
            elif at < self._cut:
                yield at, "summarized" if self.action == "summarized" else "dropped: older than what fits"
            elif at in plan.broken:
                yield at, "dropped: tool call without its other half"
            else:
                yield at, "kept: fits"
