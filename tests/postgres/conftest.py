from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.postgres.server import FAST, Databases, Server


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Fresh databases on the server of this run."""
    given = os.environ.get("DATABASE_URL")
    if given:
        made = Databases(given)
        yield made
        made.drop()
        return
    server = Server(*FAST)
    yield Databases(server.url)
    server.end()


@pytest.fixture
def url(databases: Databases) -> str:
    """The URL of a fresh, empty database."""
    return databases.new()
