"""Export and import of a store as JSON Lines, one item a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import IO, Any

from ai_infra._flow import Flow, Threaded
from ai_infra.errors import InvalidInputError
from ai_infra.llm.memory.store_flows import StoreFlows
from ai_infra.llm.memory.store_items import MemoryItem
from ai_infra.storage.backend import Write

_LINE_BREAKERS = (("\x85", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


class StoreFiles(StoreFlows):
    """The flows that read and write files."""

    def _export(self, target: Any, namespace: Any) -> Flow[int]:
        items = yield from self._all(namespace)
        if isinstance(target, str | os.PathLike):
            path = target

            def write() -> None:
                with open(path, "w", encoding="utf-8", newline="\n") as file:
                    _write(items, file)

            yield Threaded(write)
        else:
            yield Threaded(lambda: _write(items, target))
        return len(items)

    def _import(self, source: str | os.PathLike[str] | Iterable[str]) -> Flow[int]:
        writes: list[Write] = yield Threaded(lambda: _read(source))
        now = self._now()
        writes = [write for write in writes if write.expires_at is None or write.expires_at > now]
        if writes:
            yield from self._put_rows(writes, now)
        return len(writes)


def _write(items: list[MemoryItem], file: IO[str]) -> None:
    for item in items:
        head = json.dumps({"namespace": item.namespace, "key": item.key}, ensure_ascii=False)
        created, updated, expires = item.times
        tail = json.dumps(
            {"created_at": created, "updated_at": updated, "expires_at": expires, "version": item.version}
        )
        # The value goes out as the very text that is stored, save the characters that end a line for some
        # readers (`str.splitlines`); inside JSON they can only be in strings.
        line = f'{head[:-1]}, "value": {item.json}, {tail[1:]}\n'
        for breaker, escape in _LINE_BREAKERS:
            line = line.replace(breaker, escape)
        file.write(line)


def _read(source: str | os.PathLike[str] | Iterable[str]) -> list[Write]:
    if isinstance(source, str | os.PathLike):
        with open(source, encoding="utf-8") as file:
            return [_line(number, line) for number, line in enumerate(file, 1) if line.strip()]
    return [_line(number, line) for number, line in enumerate(source, 1) if line.strip()]


def _line(number: int, line: str) -> Write:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"line {number} is not JSON ({error}); nothing was imported") from error
    if not isinstance(entry, dict) or not {"namespace", "key", "value"} <= entry.keys():
        raise InvalidInputError(f"line {number} has no namespace, key and value; nothing was imported")
    namespace = entry["namespace"]
    times = [entry.get(name) for name in ("created_at", "updated_at", "version", "expires_at")]
    for name, number_ in zip(("created_at", "updated_at", "version", "expires_at"), times, strict=True):
        if number_ is not None and (type(number_) is not int or not 0 <= number_ < 2**62):
            raise InvalidInputError(
                f"line {number}: {name}={number_!r} is no whole number; nothing was imported"
            )
    created, updated, version, expires = times
    restored = None if created is None or updated is None else (created, updated, version or 1)
    return Write(
        tuple(namespace) if isinstance(namespace, list) else namespace,
        entry["key"],
        entry["value"],
        expires,
        None,
        restored,
    )
