"""PostgreSQL: the same memory for many machines.

``dsn`` reads the connection string, ``database`` shares the connections, ``work`` runs transactions and tries
again, ``migrate`` keeps the schema, ``filters`` and ``documents`` speak the filter language; ``store`` is the
backend of ``MemoryStore``, ``sessions`` that of sessions, ``security`` isolates tenants. Statements are in
``sql/``. psycopg is imported where it is used.
"""

from ai_infra.storage.postgres.security import secure
from ai_infra.storage.postgres.store import PostgresBackend

__all__ = ["PostgresBackend", "secure"]
