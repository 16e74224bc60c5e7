"""Export and import of a store as JSON Lines, one item a line."""

from __future__ import annotations

import json
from typing import Any

from ai_infra._checks import shown
from ai_infra._files import Source, one_line, read_lines, write_lines
from ai_infra._flow import Flow, on_thread
from ai_infra.errors import InvalidInputError
from ai_infra.llm.memory.store_flows import StoreFlows
from ai_infra.llm.memory.store_items import MemoryItem
from ai_infra.storage.backend import Write


class StoreFiles(StoreFlows):
    """The flows that read and write files."""

    def _export(self, target: Any, namespace: Any) -> Flow[int]:
        items = yield from self._all(namespace)
        yield from on_thread(lambda: write_lines(target, map(_line_of, items)))
        return len(items)

    def _import(self, source: Source) -> Flow[int]:
        writes = yield from on_thread(lambda: [_line(number, line) for number, line in read_lines(source)])
        now = self._now()
        writes = [write for write in writes if write.expires_at is None or write.expires_at > now]
        if writes:
            yield from self._put_rows(writes, now)
        return len(writes)


def _line_of(item: MemoryItem) -> str:
    head = json.dumps({"namespace": item.namespace, "key": item.key}, ensure_ascii=False)
    created, updated, expires = item.times
    tail = json.dumps(
        {"created_at": created, "updated_at": updated, "expires_at": expires, "version": item.version}
    )
    # The value goes out as the very text that is stored.
    return one_line(f'{head[:-1]}, "value": {item.json}, {tail[1:]}')


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
                f"line {number}: {name}={shown(number_)} is no whole number; nothing was imported"
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
