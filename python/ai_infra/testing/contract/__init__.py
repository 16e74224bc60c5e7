"""The contract of a storage backend, as test classes to inherit from.

::

    from ai_infra.testing.contract import StoreContract

    class TestMyBackend(StoreContract):
        def open_store(self, clock, place):
            return MemoryStore(backend=MyBackend(place), clock=clock)

Every test runs twice, through the sync and through the async methods. ``place`` is a fresh directory for each
test; opened twice with the same ``place``, a durable backend shows the same data. :func:`machine` makes the
stateful test that holds a store against a plain dict.
"""

from ai_infra.testing.contract.harness import Clock, Face, StoreHarness
from ai_infra.testing.contract.machine import machine
from ai_infra.testing.contract.store_bad_input import BadInputContract
from ai_infra.testing.contract.store_basics import BasicsContract
from ai_infra.testing.contract.store_filters import FilterContract
from ai_infra.testing.contract.store_isolation import IsolationContract
from ai_infra.testing.contract.store_search import SearchContract

__all__ = [
    "BadInputContract",
    "BasicsContract",
    "Clock",
    "Face",
    "FilterContract",
    "IsolationContract",
    "SearchContract",
    "StoreContract",
    "StoreHarness",
    "machine",
]


class StoreContract(BasicsContract, BadInputContract, FilterContract, IsolationContract, SearchContract):
    """Everything a backend must do."""
