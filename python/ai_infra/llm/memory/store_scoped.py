"""Short ways to the usual places: memories of a user, of a session, of everybody."""

from __future__ import annotations

from typing import Any

from ai_infra._flow import arun, run
from ai_infra.llm.memory.store_flows import StoreFlows
from ai_infra.llm.memory.store_items import MemoryItem

GLOBAL = ("global",)
"""Where :meth:`ScopedMemory.put_global_memory` keeps its items."""


class ScopedMemory(StoreFlows):
    """``put``, ``get`` and ``delete`` under ``("user", id)``, ``("session", id)`` and ``("global",)``."""

    def put_user_memory(
        self, user_id: str, key: str, value: dict[str, Any], *, ttl: float | None = None
    ) -> MemoryItem:
        """Write a value for one user, in the namespace ``("user", user_id)``."""
        return run(self._put(("user", user_id), key, value, ttl, None))

    async def aput_user_memory(
        self, user_id: str, key: str, value: dict[str, Any], *, ttl: float | None = None
    ) -> MemoryItem:
        """:meth:`put_user_memory` for asyncio."""
        return await arun(self._put(("user", user_id), key, value, ttl, None))

    def get_user_memory(self, user_id: str, key: str) -> MemoryItem | None:
        """A user's item, or None."""
        return run(self._get(("user", user_id), key))

    async def aget_user_memory(self, user_id: str, key: str) -> MemoryItem | None:
        """:meth:`get_user_memory` for asyncio."""
        return await arun(self._get(("user", user_id), key))

    def delete_user_memory(self, user_id: str, key: str) -> bool:
        """Delete a user's item; True if there was one."""
        return run(self._delete(("user", user_id), key))

    async def adelete_user_memory(self, user_id: str, key: str) -> bool:
        """:meth:`delete_user_memory` for asyncio."""
        return await arun(self._delete(("user", user_id), key))

    def put_session_memory(
        self, session_id: str, key: str, value: dict[str, Any], *, ttl: float | None = None
    ) -> MemoryItem:
        """Write a value for one session, in the namespace ``("session", session_id)``."""
        return run(self._put(("session", session_id), key, value, ttl, None))

    async def aput_session_memory(
        self, session_id: str, key: str, value: dict[str, Any], *, ttl: float | None = None
    ) -> MemoryItem:
        """:meth:`put_session_memory` for asyncio."""
        return await arun(self._put(("session", session_id), key, value, ttl, None))

    def get_session_memory(self, session_id: str, key: str) -> MemoryItem | None:
        """A session's item, or None."""
        return run(self._get(("session", session_id), key))

    async def aget_session_memory(self, session_id: str, key: str) -> MemoryItem | None:
        """:meth:`get_session_memory` for asyncio."""
        return await arun(self._get(("session", session_id), key))

    def delete_session_memory(self, session_id: str, key: str) -> bool:
        """Delete a session's item; True if there was one."""
        return run(self._delete(("session", session_id), key))

    async def adelete_session_memory(self, session_id: str, key: str) -> bool:
        """:meth:`delete_session_memory` for asyncio."""
        return await arun(self._delete(("session", session_id), key))

    def put_global_memory(self, key: str, value: dict[str, Any], *, ttl: float | None = None) -> MemoryItem:
        """Write a value for everybody, in the namespace ``("global",)``."""
        return run(self._put(GLOBAL, key, value, ttl, None))

    async def aput_global_memory(
        self, key: str, value: dict[str, Any], *, ttl: float | None = None
    ) -> MemoryItem:
        """:meth:`put_global_memory` for asyncio."""
        return await arun(self._put(GLOBAL, key, value, ttl, None))

    def get_global_memory(self, key: str) -> MemoryItem | None:
        """An item for everybody, or None."""
        return run(self._get(GLOBAL, key))

    async def aget_global_memory(self, key: str) -> MemoryItem | None:
        """:meth:`get_global_memory` for asyncio."""
        return await arun(self._get(GLOBAL, key))

    def delete_global_memory(self, key: str) -> bool:
        """Delete an item for everybody; True if there was one."""
        return run(self._delete(GLOBAL, key))

    async def adelete_global_memory(self, key: str) -> bool:
        """:meth:`delete_global_memory` for asyncio."""
        return await arun(self._delete(GLOBAL, key))
