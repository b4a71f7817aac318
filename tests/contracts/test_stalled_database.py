"""A database that neither answers nor hangs up is unavailable: reads say so, and reads recover."""

from pathlib import Path
from uuid import uuid4

import pytest
from eventsourcing.persistence import OperationalError

from meeting_service.store.postgres.recorder import PostgresRecorder
from tests.contracts.stalling_proxy import stalling_proxy
from tests.contracts.store_world import outcome, until

pytestmark = pytest.mark.anyio

STATEMENT_SECONDS = 0.3


async def test_a_read_that_stalls_is_unavailable_and_the_next_ones_recover(
    database_url: str, short_folder: Path
):
    async with (
        stalling_proxy(database_url, short_folder) as (proxy, url),
        await PostgresRecorder.open(url, timeout_seconds=STATEMENT_SECONDS) as recorder,
    ):
        await recorder.ping()
        proxy.stall()
        for read in (recorder.select_events, recorder.quarantine_reason):
            assert type(await outcome(read(uuid4()))) is OperationalError
        proxy.resume()

        async def answers() -> bool:
            return await outcome(recorder.select_events(uuid4())) == []

        await until(answers)


async def test_read_models_that_stall_are_unavailable(database_url: str, short_folder: Path):
    async with (
        stalling_proxy(database_url, short_folder) as (proxy, url),
        await PostgresRecorder.open(url, timeout_seconds=STATEMENT_SECONDS) as recorder,
    ):
        await recorder.select_read_models(uuid4())
        proxy.stall()
        assert type(await outcome(recorder.select_read_models(uuid4()))) is OperationalError
        proxy.resume()
