"""Indexing finished turns into a memory, beside the conversation and never in its way."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

log = logging.getLogger("ai_infra.agent")


class Indexer:
    """Gives conversations to a memory, one after another on a thread of its own.

    Turns of one session that come faster than they are indexed are taken together. When the interpreter ends,
    what is waiting is indexed first.

    Args:
        memory: an object with ``index_conversation(user_id=, session_id=, messages=)``, as
            :class:`~ai_infra.llm.tools.custom.ConversationMemory` is.
    """

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: dict[tuple[str, str], Callable[[], list[Any]]] = {}
        self._running: set[Future[None]] = set()

    def submit(self, user_id: str, session_id: str, messages: Callable[[], list[Any]]) -> None:
        """Index a conversation soon. ``messages`` is called on the thread."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._pool, self._waiting, self._running = os.getpid(), None, {}, set()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="ai-infra-index")
            key = (user_id, session_id)
            new = key not in self._waiting
            self._waiting[key] = messages
            if new:
                future = self._pool.submit(self._index, key)
                self._running.add(future)
                future.add_done_callback(self._running.discard)

    def flush(self) -> None:
        """Wait until everything submitted is indexed."""
        with self._lock:
            running = list(self._running)
        for future in running:
            future.result()

    def _index(self, key: tuple[str, str]) -> None:
        with self._lock:
            messages = self._waiting.pop(key)
        user_id, session_id = key
        try:
            self._memory.index_conversation(user_id=user_id, session_id=session_id, messages=messages())
        except Exception as error:  # the turn is over: nobody to raise it to
            log.error("a conversation could not be indexed: %s", type(error).__name__)
            log.debug("what index_conversation raised", exc_info=True)
