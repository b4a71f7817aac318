"""The library's own application on PostgreSQL reads and audits what our recorder wrote."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import Mapper

from meeting_core import Meeting, MeetingMapper, fold, project
from meeting_service.projections import read_models
from meeting_service.store.postgres.recorder import PostgresRecorder
from tests.builders import MEETING_ID, history, whole_meeting
from tests.contracts.stock_library import stock_environment

pytestmark = pytest.mark.anyio

EVENTS = history(*whole_meeting(goal="Ship it"))


class Meetings(Application[UUID]):
    """Its name names the table."""

    def construct_mapper(self) -> Mapper[UUID]:
        return MeetingMapper()


@pytest.fixture
async def application(database_url: str) -> AsyncIterator[Meetings]:
    mapper = MeetingMapper()
    async with await PostgresRecorder.open(database_url) as recorder:
        meeting: Meeting | None = None
        for event in EVENTS:
            after = project(meeting, [event])
            assert after is not None
            rows = read_models(meeting, after)
            await recorder.insert_events([mapper.to_stored_event(event)], read_models=rows)
            meeting = after
    with Meetings(stock_environment(database_url)) as application:
        yield application


async def test_its_repository_folds_a_meeting_to_the_same_state(application: Meetings):
    assert application.repository.get(MEETING_ID, projector_func=project) == fold(EVENTS)


async def test_its_notification_log_shows_every_event(application: Meetings):
    log = application.notification_log
    names = [item.topic for start in (1, 11) for item in log.select(start, limit=10)]
    assert names == [event.fact.TOPIC for event in EVENTS]


async def test_its_subscription_gives_every_event(application: Meetings):
    with application.recorder.subscribe(gt=0) as subscription:
        found = [next(subscription).originator_version for _ in EVENTS]
    assert found == [event.originator_version for event in EVENTS]
