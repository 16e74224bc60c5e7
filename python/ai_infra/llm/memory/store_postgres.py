"""``MemoryStore.postgres``: a store in a PostgreSQL database."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from ai_infra._flow import run
from ai_infra.llm.memory.store_embedder import resolve_embedder
from ai_infra.llm.memory.store_flows import StoreFlows
from ai_infra.storage.local import INDEX_MEMORY, MAX_VALUE_BYTES


class OpensPostgres(StoreFlows):
    """The way a store in PostgreSQL is opened."""

    @classmethod
    def postgres(
        cls,
        dsn: str,
        *,
        schema: str = "ai_infra",
        tenant: str = "",
        row_level_security: bool = False,
        pool_size: int = 10,
        timeout: float = 30.0,
        prepare: bool = True,
        in_database_from: int = 250_000,
        embedding_provider: str | None = None,
        embedding_model: str | None = None,
        embedding_dimensions: int | None = None,
        embeddings: object | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        reembed: bool = False,
        clock: Callable[[], float] | None = None,
        max_value_bytes: int = MAX_VALUE_BYTES,
        index_memory: int = INDEX_MEMORY,
    ) -> Self:
        """A store in a PostgreSQL database that any number of machines share; needs the extra ``postgres``.

        Nothing is connected before the first operation, which also makes or upgrades the tables. Expiry and
        time stamps follow the database's clock. After a restart of the server operations go on by themselves.
        Other options as for :class:`MemoryStore`.

        Args:
            dsn: a URL (``postgresql://user:password@host/database``) or a libpq connection string.
            schema: where the tables are.
            tenant: whose items these are; a store sees no other tenant's. Empty: a store without tenants.
            row_level_security: let the database isolate the tenant, too; see ``docs/postgres.md``.
            pool_size: connections at most; stores of one connection string share them.
            timeout: seconds for a whole operation, waiting and new attempts included.
            prepare: False behind a connection pooler that cannot keep prepared statements.
            in_database_from: namespaces with so many items are searched in the database; smaller ones in memory.
            reembed: take over items that have another embedder's vectors, embedding everything anew.
            clock: follow this clock in place of the database's. For tests.

        Raises:
            ConfigurationError: the connection string or an option is wrong; the message holds no password.
            MissingDependencyError: psycopg is not installed.
        """
        from ai_infra.storage.postgres import PostgresBackend

        backend = PostgresBackend(
            dsn,
            schema=schema,
            tenant=tenant,
            row_level_security=row_level_security,
            pool_size=pool_size,
            timeout=timeout,
            prepare=prepare,
            in_database_from=in_database_from,
            embedder=resolve_embedder(
                embedding_provider, embedding_model, embedding_dimensions, embeddings, base_url, api_key
            ),
            switch=reembed,
            caller_clock=clock is not None,
            max_value_bytes=max_value_bytes,
            index_memory=index_memory,
        )
        store = cls(backend=backend, clock=clock or time.time)
        if reembed:
            run(store._reembed())
        return store
