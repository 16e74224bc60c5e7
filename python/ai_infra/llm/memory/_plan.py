"""What of a conversation stays: the part that must, and the newest of the rest that fits.

A :class:`Plan` reads as little of the conversation as it can. It looks at the head (the system prompt), at
what is pinned, and then walks back from the newest message until the budget is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from ai_infra import _core
from ai_infra.errors import ContextLengthError, InvalidInputError
from ai_infra.llm.memory._groups import Group, Groups, links_of
from ai_infra.llm.memory.tokens import Counter
from ai_infra.messages import AnyMessage, fields_of, is_langchain, kind_of, to_message, wrap
from ai_infra.messages import SystemMessage as _SystemMessage

SUMMARY_PREFIX = "[Conversation summary]\n"

Pinned = Iterable[int] | Callable[[AnyMessage], bool] | None


class Plan:
    """A conversation, what of it must stay, and the tokens that takes."""

    def __init__(
        self,
        messages: Sequence[AnyMessage],
        counter: Counter,
        *,
        tools: Iterable[Any] | None = None,
        pinned: Pinned = None,
        keep_head: bool = True,
    ) -> None:
        self.messages = messages
        self.counter = counter
        self.groups = Groups(messages)
        self.broken: set[int] = set()
        self.patched = False
        self.end = len(messages)
        self.head = self._head_end() if keep_head else 0
        self.old_summary: str | None = None
        self.old_summary_at: int | None = None
        self._find_old_summary()
        self.newest_user = self._newest_user()
        self.newest = self._newest() if self.newest_user is None else self.newest_user
        self.always = self._always(pinned)
        required = [self.messages[at] for at in (*self.head_indices(), *self.always)]
        self.required = sum(counter.messages(required)) + counter.tools(tools)
        self._primed = bool(required)
        if self._primed:
            self.required += counter.priming

    def head_indices(self) -> list[int]:
        """The system prompt: the leading system messages, without a summary among them."""
        return [at for at in range(self.head) if at != self.old_summary_at]

    def walk(self, budget: int) -> _core.FitPlanner:
        """Reads messages from the newest backwards until those that may go cost more than ``budget``."""
        planner = _core.FitPlanner(self.head, self.end, budget)
        always = set(self.always)
        end, size, more = self.end, 16, self.end > self.head
        while more:
            start = max(self.head, end - size)
            fields = [fields_of(message) for message in reversed(self.messages[start:end])]
            costs = self.counter.messages(fields)
            reach = list(range(end - 1, start - 1, -1))
            for at, index in enumerate(reach):
                if index in always:
                    costs[at] = 0
                    continue
                group = self.groups.of(index, links_of(fields[at]))
                if group is None:
                    continue
                if group.broken:
                    self.broken.add(index)
                    costs[at] = 0
                else:
                    reach[at] = group.members[0]
            more = planner.push(costs, reach)
            end, size = start, min(2 * size, 4096)
        return planner

    def prompt(self, cut: int, summary: AnyMessage | None) -> list[Any]:
        """The messages that stay when everything before ``cut`` goes that may go."""
        kept = [to_message(self.messages[at]) for at in self.head_indices()]
        if summary is not None:
            kept.append(summary)
        kept.extend(to_message(self.messages[at]) for at in self.always if at < cut)
        broken = self.broken
        if broken:
            kept.extend(to_message(self.messages[at]) for at in range(cut, self.end) if at not in broken)
        else:
            kept.extend(to_message(message) for message in self.messages[cut : self.end])
        return kept

    def summary_message(self, summary: str | None) -> AnyMessage | None:
        """The message that carries ``summary``; the one already there when it says the same."""
        if not summary:
            return None
        if self.old_summary_at is not None and summary == self.old_summary:
            return to_message(self.messages[self.old_summary_at])
        fields = {"role": "system", "content": SUMMARY_PREFIX + summary}
        if self.end and is_langchain(self.messages[-1]):
            # A list of LangChain messages stays one.
            from langchain_core.messages import SystemMessage

            return SystemMessage(content=fields["content"])
        return wrap(fields, _SystemMessage)

    def summary_cost(self, summary: str | None) -> int:
        """The tokens that the summary's message adds to the prompt."""
        message = self.summary_message(summary)
        return 0 if message is None else self._added(message)

    def summary_frame(self) -> int:
        """The tokens that a summary's message adds to the prompt before the summary itself."""
        return self._added({"role": "system", "content": SUMMARY_PREFIX})

    def _added(self, message: AnyMessage) -> int:
        return sum(self.counter.messages([message])) + (0 if self._primed else self.counter.priming)

    def too_long(self, budget: int, needed: int, what: str) -> ContextLengthError:
        """The error for a prompt whose must-keep part does not fit."""
        return ContextLengthError(
            f"the budget is {budget:,} tokens, but {what} needs {needed:,}. "
            f"Raise max_tokens to at least {needed:,}, or shorten it.",
            budget=budget,
            needed=needed,
        )

    def describe_required(self) -> str:
        """What the must-keep part consists of, for an error message."""
        named = []
        if self.head_indices():
            named.append("the system prompt")
        if self.newest_user is not None:
            named.append("the newest user message")
        elif self.newest is not None:
            named.append("the newest message")
        if len(self.always) > (self.newest is not None):
            named.append("what is pinned or belongs to the same tool call")
        if not named:
            return "the tools"
        return "what must stay (" + ", ".join(named) + ")" if len(named) > 1 else named[0]

    def _head_end(self) -> int:
        head = 0
        while head < self.end and kind_of(fields_of(self.messages[head])) == "system":
            head += 1
        return head

    def _find_old_summary(self) -> None:
        for at in range(self.head):
            content = fields_of(self.messages[at]).get("content")
            if isinstance(content, str) and content.startswith(SUMMARY_PREFIX):
                self.old_summary = content[len(SUMMARY_PREFIX) :]
                self.old_summary_at = at

    def _newest_user(self) -> int | None:
        for at in range(self.end - 1, self.head - 1, -1):
            fields = fields_of(self.messages[at])
            if asks(fields):
                group = self.groups.of(at, links_of(fields))
                if group is not None and group.broken:
                    self._without_results(at)
                return at
        return None

    def _without_results(self, at: int) -> None:
        """Go on with what the message at ``at`` says itself: its results have lost their calls."""
        self.messages = Patched(self.messages, at, _words_of(self.messages[at]))
        self.groups = Groups(self.messages)
        self.patched = True

    def _newest(self) -> int | None:
        """Where nobody asks anything: the newest message that can be sent at all."""
        for at in range(self.end - 1, self.head - 1, -1):
            group = self.groups.of(at, links_of(fields_of(self.messages[at])))
            if group is None or not group.broken:
                return at
        return None

    def _always(self, pinned: Pinned) -> list[int]:
        wanted: set[int] = set() if self.newest is None else {self.newest}
        if callable(pinned):
            wanted.update(at for at in range(self.head, self.end) if pinned(self.messages[at]))
        elif pinned is not None:
            if not isinstance(pinned, Iterable):
                raise InvalidInputError(
                    f"pinned is a list of indices, or a predicate on messages, not {pinned!r}."
                )
            wanted.update(self._pinned_index(at) for at in pinned)
        always: set[int] = set()
        for at in wanted:
            if at < self.head:
                continue
            group = self.groups.of(at, links_of(fields_of(self.messages[at]))) or Group((at,), broken=False)
            if group.broken:
                self.broken.update(group.members)
            else:
                always.update(group.members)
        return sorted(always)

    def _pinned_index(self, at: object) -> int:
        if isinstance(at, bool) or not isinstance(at, int) or not -self.end <= at < self.end:
            raise InvalidInputError(
                f"pinned holds indices into the {self.end} messages, or is a predicate; {at!r} is not one of them."
            )
        return at % self.end


def asks(fields: dict[str, Any]) -> bool:
    """Whether a user says something here. A message of tool results alone is a tool's, whatever its role says
    (Anthropic's shape)."""
    return kind_of(fields) == "user" and (not links_of(fields).answers or _says_more(fields))


def _says_more(fields: dict[str, Any]) -> bool:
    content = fields.get("content")
    return isinstance(content, list | tuple) and any(not _is_result(part) for part in content)


def _words_of(message: AnyMessage) -> AnyMessage:
    """The message without its tool results, of the same kind."""
    fields = fields_of(message)
    content = [part for part in fields["content"] if not _is_result(part)]
    if is_langchain(message):
        return message.model_copy(update={"content": content})
    return to_message({**fields, "content": content})


def _is_result(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "tool_result"


class Patched(Sequence[Any]):
    """A sequence with another item in one place, not copied: most of a long one is never read."""

    def __init__(self, items: Sequence[Any], at: int, item: Any) -> None:
        self._items, self._at, self._item = items, at, item

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            places = range(*index.indices(len(self)))
            part = list(self._items[index])
            if self._at in places:
                part[places.index(self._at)] = self._item
            return part
        return self._item if index in (self._at, self._at - len(self)) else self._items[index]
