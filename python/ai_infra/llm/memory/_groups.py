"""Which messages belong together: a tool call and its results.

An assistant message and the results of all its calls form one group, which stays or goes as a whole. Ids
are matched by position, because some servers use them again: a result answers the nearest call with its id
before it, and a call is answered by the first such result after it (the first two, where one message calls
twice with one id). A group that lacks a call or a result
is *broken*: no API takes it, wherever it stands.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ai_infra.errors import InvalidMessageError
from ai_infra.messages import AnyMessage, calls_in, fields_of

_NEAR = 256
"""Steps of looking around before an index of the whole conversation is made instead."""

_FEW = 8
"""Calls of one message that are read anew each time."""


class Links(NamedTuple):
    """The ids that a message calls with (one that is used twice, twice), and the ids that it answers."""

    calls: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()


class Group(NamedTuple):
    """Messages that belong together: their indices in order, and whether the group lacks any."""

    members: tuple[int, ...]
    broken: bool


_NONE = Links()


def links_of(fields: Mapping[str, Any]) -> Links:
    """What a message calls and answers, in any of the shapes that are read."""
    if len(fields) == 2 and type(fields.get("content")) is str and "role" in fields:
        return _ANSWER_WITHOUT_ID if fields["role"] in ("tool", "function") else _NONE
    role = fields.get("role")
    if role in ("tool", "function"):
        return Links(answers=(_answer_id(fields, role),))
    calls: list[str] = []
    answers: list[str] = []
    for call in calls_in(fields):
        calls.append(str(call.get("id")) if isinstance(call, Mapping) else "None")
    legacy = fields.get("function_call")
    if isinstance(legacy, Mapping):
        calls.append(f"function:{legacy.get('name')}")
    content = fields.get("content")
    if isinstance(content, list | tuple):
        for part in content:
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind == "tool_use":
                calls.append(str(part.get("id")))
            elif kind == "tool_result":
                answers.append(str(part.get("tool_use_id")))
    if role is None:
        if fields.get("type") == "function_call":
            calls.append(str(fields.get("call_id")))
        elif fields.get("type") == "function_call_output":
            answers.append(str(fields.get("call_id")))
    return Links(tuple(calls), tuple(dict.fromkeys(answers))) if calls or answers else _NONE


def _answer_id(fields: Mapping[str, Any], role: object) -> str:
    if role == "function" and "tool_call_id" not in fields:
        return f"function:{fields.get('name')}"
    return str(fields.get("tool_call_id"))


_ANSWER_WITHOUT_ID = Links(answers=("None",))


class Groups:
    """Finds the group of any message of one conversation, looking no further than it must."""

    def __init__(self, messages: Sequence[AnyMessage]) -> None:
        self._messages = messages
        self._found: dict[int, Group] = {}
        self._many: dict[int, Links] = {}
        self._calls: dict[str, list[int]] | None = None
        self._answers: dict[str, list[int]] = {}

    def of(self, index: int, links: Links) -> Group | None:
        """The group of the message at ``index``, or None when it neither calls nor answers."""
        if links is _NONE:
            return None
        group = self._found.get(index)
        if group is None:
            group = self._collect(index)
            for member in group.members:
                self._found[member] = group
        return group

    def _links(self, index: int) -> Links:
        links = self._many.get(index)
        if links is None:
            links = links_of(fields_of(self._messages[index]))
            if len(links.calls) > _FEW:  # asked for again for each of them
                self._many[index] = links
        return links

    def _collect(self, start: int) -> Group:
        members: set[int] = set()
        waiting = [start]
        broken = False
        while waiting:
            index = waiting.pop()
            if index in members:
                continue
            members.add(index)
            links = self._links(index)
            for id_ in links.answers:
                call = self._call_before(index, id_)
                if call is None or index not in self._answers_after(call, id_):
                    broken = True  # no call, or other results came first
                else:
                    waiting.append(call)
            for id_ in set(links.calls):
                found = self._answers_after(index, id_)
                broken = broken or not found
                waiting.extend(found)
        return Group(tuple(sorted(members)), broken)

    def _call_before(self, index: int, id_: str) -> int | None:
        """The nearest call with this id before ``index``."""
        if self._calls is None:
            for at in range(index - 1, max(-1, index - 1 - _NEAR), -1):
                if id_ in self._links(at).calls:
                    return at
            if index <= _NEAR:
                return None
        places = self._index().get(id_, [])
        at = bisect_left(places, index)
        return places[at - 1] if at else None

    def _answers_after(self, index: int, id_: str) -> list[int]:
        """The first results with this id after ``index``, as many as it is called with there, up to where it
        is called with again."""
        most = self._links(index).calls.count(id_)
        end = len(self._messages)
        if self._calls is None:
            found: list[int] = []
            for at in range(index + 1, min(end, index + 1 + _NEAR)):
                links = self._links(at)
                if id_ in links.answers:
                    found.append(at)
                    if len(found) == most:
                        return found
                if id_ in links.calls:
                    return found
            if index + 1 + _NEAR >= end:
                return found
        calls = self._index().get(id_, [])
        answers = self._answers.get(id_, [])
        first, next_call = bisect_left(answers, index + 1), bisect_left(calls, index + 1)
        # A message that answers and calls again answers first.
        last = bisect_left(answers, calls[next_call] + 1) if next_call < len(calls) else len(answers)
        return answers[first : min(last, first + most)]

    def _index(self) -> dict[str, list[int]]:
        """Where each id is called with and answered, made in one pass when looking around did not help."""
        if self._calls is None:
            calls: dict[str, list[int]] = {}
            for at, message in enumerate(self._messages):
                links = links_of(fields_of(message))
                for id_ in set(links.calls):
                    calls.setdefault(id_, []).append(at)
                for id_ in links.answers:
                    self._answers.setdefault(id_, []).append(at)
            self._calls = calls
        return self._calls


def require_whole(messages: Sequence[AnyMessage]) -> None:
    """Raise for a tool call without its result, or a result without its call.

    Raises:
        InvalidMessageError: there is one; says where.
    """
    groups = Groups(messages)
    for at, message in enumerate(messages):
        links = links_of(fields_of(message))
        group = groups.of(at, links)
        if group is not None and group.broken:
            lacks = (
                "a tool call without all its results" if links.calls else "a tool's result without its call"
            )
            raise InvalidMessageError(
                f"messages[{at}] is {lacks}: no service takes that. A session stores both together, in one turn."
            )
