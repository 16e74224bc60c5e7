"""What a batch costs, and conversation memories of tenants."""

from __future__ import annotations

from typing import Any

import pytest
from ai_infra.errors import ConfigurationError
from ai_infra.llm.memory import MemoryStore
from ai_infra.llm.tools.custom import ConversationMemory
from ai_infra.storage.postgres import PostgresBackend

from .test_security import app

__all__ = ["app"]

SAID = [{"role": "user", "content": "the kettle is red"}]


def test_a_key_a_thousand_times_is_one_statement(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement for each would have to step over the row's versions of all before it."""
    statements: list[Any] = []
    ask = PostgresBackend._ask_put

    def counted(*given: Any) -> Any:
        statements.append(given)
        return ask(*given)

    monkeypatch.setattr(PostgresBackend, "_ask_put", counted)
    with MemoryStore.postgres(url) as store:
        items = store.put_many([("a", f"k{n % 3}", {"n": n}) for n in range(3000)])
        assert len(statements) == 1
        assert [item.version for item in items] == [n // 3 + 1 for n in range(3000)]
        assert store.get_many([("a", "k0"), ("a", "k2")]) == [items[2997], items[2999]]


def test_conversations_of_tenants(app: str, url: str) -> None:
    given: dict[str, Any] = {"backend": "postgres", "connection_string": app}
    with (
        ConversationMemory(**given, tenant="acme", row_level_security=True) as acme,
        ConversationMemory(**given, tenant="bolt", row_level_security=True) as bolt,
        ConversationMemory("postgres", connection_string=url, schema="elsewhere") as other,
    ):
        acme.index_conversation("u", "s", SAID)
        assert [hit.chunk.session_id for hit in acme.search("u", "kettle")] == ["s"]
        assert (acme.count(), bolt.count(), other.count()) == (1, 0, 0)
        assert bolt.search("u", "kettle") == []
        other.index_conversation("u", "s", SAID)
        assert other.count() == 1
    for options in ({"row_level_security": True}, {"schema": "information_schema"}, {"tenant": 5}):
        with pytest.raises(ConfigurationError):
            ConversationMemory(**given, **options)
