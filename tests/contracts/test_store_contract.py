"""Every store under the one contract: the one on PostgreSQL, and its twin in memory."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from meeting_service.ports import Recorder
from tests.contracts.store_append_cases import AppendContract
from tests.contracts.store_factor_cases import FactorContract
from tests.contracts.store_gateway_cases import GatewayContract
from tests.contracts.store_lease_cases import LeaseContract
from tests.contracts.store_list_cases import ListContract
from tests.contracts.store_quarantine_cases import QuarantineContract
from tests.contracts.store_world import InMemoryStore, PostgresStore, Store

pytestmark = pytest.mark.anyio


class StoreContract(
    AppendContract, FactorContract, GatewayContract, LeaseContract, ListContract, QuarantineContract
):
    @pytest.fixture
    def recorder(self, store: Store) -> Recorder:
        return store.recorder


class TestInMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return InMemoryStore()


class TestPostgres(StoreContract):
    """With databases whose own default is another isolation level than the store relies on."""

    @pytest.fixture(params=["repeatable read", "serializable"])
    async def store(
        self, request: pytest.FixtureRequest, database_url: str
    ) -> AsyncIterator[Store]:
        async with AsyncExitStack() as stack:
            store = PostgresStore(database_url, stack)
            await store.isolate_by_default(request.param)
            store.recorder = await store.another_process()
            yield store
