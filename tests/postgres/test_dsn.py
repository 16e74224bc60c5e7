"""Connection strings, good and bad: no message, log or trace ever holds a password."""

from __future__ import annotations

import asyncio
import logging
import traceback

import pytest
from ai_infra.errors import AIInfraError, ConfigurationError, StorageUnavailableError
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.storage.postgres.dsn import Dsn

SECRET = "S3cr3tW0rd"

MALFORMED = [
    f"postgresql://user:{SECRET}%@localhost/db",
    f"postgresql://user:{SECRET}%zz@localhost/db",
    f"postgresql://user:x%{SECRET}@localhost/db",
    f"postgresql://user:{SECRET}/x@localhost/db",
    f"postgresql://user:a/{SECRET}@localhost/db",
    f"postgresql://user:{SECRET} x@localhost/db",
    f"postgresql://user: {SECRET}@localhost/db",
    f"postgresql://user:{SECRET}@localhost:port/db",
    f"postgresql://user:{SECRET}@localhost:99999/db",
    f"postgresql://user:{SECRET}@localhost:0/db",
    f"postgresql://user:{SECRET}@x@localhost/db",
    f"postgresql://user:x@{SECRET}@localhost/db",
    f"postgresql://user:{SECRET}@localhost/db?no_such_option=1",
    f"postgresql://user@localhost/db?password={SECRET}&sslmode",
    f"postgresql://user@localhost/db?passwrd={SECRET}",
    f"postgresql://user:{SECRET}#x@localhost/db",
    f"postgresql://user:{SECRET}?x@localhost/db",
    f"postgresql://user:[{SECRET}@localhost/db",
    f"host=localhost password={SECRET} dbname",
    f"host=localhost password='{SECRET} dbname=x",
    f"mysql://user:{SECRET}@localhost/db",
    f"user:{SECRET}@localhost/db",
    f"postgresql://user:{SECRET}\x00@localhost/db",
    f"postgresql://user:{SECRET}\ud800@localhost/db",
]


@pytest.mark.parametrize("dsn", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_string_is_refused_without_its_password(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises((ConfigurationError, StorageUnavailableError)) as caught:
        MemoryStore.postgres(dsn, timeout=1).get("a", "b")
    assert_no_secret(caught.value, caplog)


@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://user:{SECRET}@127.0.0.1:1/db",
        f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/db",
        f"host=/no/such/folder user=user password={SECRET} dbname=db",
    ],
)
def test_a_server_that_is_not_there(dsn: str, face: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = MemoryStore.postgres(dsn, timeout=0.5)
    assert SECRET not in repr(store.__dict__)
    get = store.get if face == "sync" else lambda *place: asyncio.run(store.aget(*place))
    with pytest.raises(StorageUnavailableError, match="cannot be reached") as caught:
        get("a", "b")
    assert_no_secret(caught.value, caplog)
    store.close()


def test_a_wrong_database_says_so_at_once(url: str) -> None:
    with (
        MemoryStore.postgres(url.replace("dbname=", "dbname=no_such_"), timeout=20) as store,
        pytest.raises(StorageUnavailableError, match="does not exist"),
    ):
        store.get("a", "b")


@pytest.mark.parametrize("dsn", ["", "  ", None, 5, b"postgresql://localhost/db"])
def test_what_is_no_string_is_refused(dsn: object) -> None:
    with pytest.raises(ConfigurationError, match="connection string"):
        MemoryStore.postgres(dsn)  # type: ignore[arg-type]  # the point of the test


def test_two_ways_to_say_the_same_are_one_database() -> None:
    assert Dsn("postgresql://u:p@h:5/d").identity == Dsn("host=h port=5 user=u password=p dbname=d").identity
    assert Dsn("postgresql://u:p@h:5/d").name == "h:5/d"


@pytest.mark.parametrize(
    "options",
    [
        {"schema": "a b"},
        {"schema": 'x"; DROP SCHEMA public; --'},
        {"schema": "pg_mine"},
        {"schema": "Upper"},
        {"schema": "x" * 64},
        {"schema": ""},
        {"schema": None},
        {"pool_size": 0},
        {"pool_size": True},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": "30"},
        {"row_level_security": True},
        {"tenant": "x" * 129},
        {"tenant": None},
    ],
    ids=repr,
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        MemoryStore.postgres("postgresql://localhost/db", **options)  # type: ignore[arg-type]  # the point


def assert_no_secret(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    texts = [caplog.text, "".join(traceback.format_exception(error))]
    seen: BaseException | None = error
    while seen is not None:
        texts += [str(seen), repr(seen), repr(seen.args)]
        seen = seen.__cause__ or seen.__context__
    assert isinstance(error, AIInfraError)
    # The lines of this file's own source are in a trace, as they are in any.
    assert not [text for text in texts if SECRET in text]
