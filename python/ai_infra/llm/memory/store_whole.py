"""What concerns a store as a whole: export and import, sweeping and purging, another embedder, closing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import IO

from ai_infra._flow import Closing, arun, run
from ai_infra.llm.memory.store_io import StoreFiles


class WholeStore(StoreFiles, Closing):
    """Both faces of the operations on a whole store."""

    def export(
        self, target: str | os.PathLike[str] | IO[str], namespace: tuple[str, ...] | str | None = None
    ) -> int:
        """Write items as JSON Lines to a path or an open text file; a namespace is exported with those below.

        Returns how many there were. Expired items are not among them; times and versions are kept.
        """
        return run(self._export(target, namespace))

    async def aexport(
        self, target: str | os.PathLike[str] | IO[str], namespace: tuple[str, ...] | str | None = None
    ) -> int:
        """:meth:`export` for asyncio."""
        return await arun(self._export(target, namespace))

    def import_(self, source: str | os.PathLike[str] | Iterable[str]) -> int:
        """Read what :meth:`export` wrote, from a path or from lines; returns how many items came in.

        All in one transaction: a line that is wrong is named, and nothing is written. Items that exist are
        overwritten, times and versions included; items that have expired since are left out.
        """
        return run(self._import(source))

    async def aimport_(self, source: str | os.PathLike[str] | Iterable[str]) -> int:
        """:meth:`import_` for asyncio."""
        return await arun(self._import(source))

    def sweep(self, *, limit: int = 1000) -> int:
        """Delete up to ``limit`` expired items from the disk; reads do not see them anyway. Returns how many.

        Writes do this by themselves for items that expired more than a day ago.
        """
        return run(self._sweep(limit))

    async def asweep(self, *, limit: int = 1000) -> int:
        """:meth:`sweep` for asyncio."""
        return await arun(self._sweep(limit))

    def purge(self) -> int:
        """Delete what has expired, and every trace of what was deleted: afterwards its text is nowhere in the
        file, its log or its caches. The file is rewritten, so it takes time and the space of a second copy.

        Returns how many expired items went.

        Raises:
            StorageTimeoutError: another process keeps reading an old state of the file.
        """
        return run(self._purge())

    async def apurge(self) -> int:
        """:meth:`purge` for asyncio."""
        return await arun(self._purge())

    def reembed(self) -> int:
        """Embed every item anew with this store's embedder; returns how many there are.

        For a store that holds another model's vectors, open it with ``reembed=True``, which calls this.
        Texts that this model has embedded before are not paid for again.
        """
        return run(self._reembed())

    async def areembed(self) -> int:
        """:meth:`reembed` for asyncio."""
        return await arun(self._reembed())

    def close(self) -> None:
        """Let running operations finish, then close the store. Closing twice is fine."""
        run(self._close())

    async def aclose(self) -> None:
        """:meth:`close` for asyncio."""
        await arun(self._close())
