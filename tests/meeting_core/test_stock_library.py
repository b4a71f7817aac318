"""The eventsourcing library's own application reads our meetings as if they were its own."""

from uuid import UUID

import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.compressor import ZlibCompressor
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import IntegrityError, Mapper

from meeting_core import Meeting, MeetingEvent, MeetingMapper, fold, project
from tests.builders import MEETING_ID, history, whole_meeting

EVENTS = history(*whole_meeting(goal="Ship it"))


class Meetings(Application[UUID]):
    """The stock application on the library's own in-memory persistence, with our mapper."""

    def construct_mapper(self) -> Mapper[UUID]:
        return MeetingMapper(ZlibCompressor())


@pytest.fixture
def meetings() -> Meetings:
    application = Meetings()
    application.events.put(EVENTS)
    return application


def read(application: Meetings, version: int | None = None) -> Meeting:
    return application.repository.get(MEETING_ID, version=version, projector_func=project)


def test_its_repository_folds_a_meeting_to_the_same_state(meetings: Meetings):
    assert read(meetings) == fold(EVENTS)


def test_its_repository_gives_every_earlier_version(meetings: Meetings):
    for version in range(1, len(EVENTS) + 1):
        assert read(meetings, version) == fold(EVENTS[:version])


def test_its_event_store_gives_the_events_back(meetings: Meetings):
    assert tuple(meetings.events.get(MEETING_ID)) == EVENTS


def test_its_notifications_show_the_stored_names_in_order(meetings: Meetings):
    section = meetings.recorder.select_notifications(start=1, limit=100)
    assert [row.topic for row in section] == [event.fact.TOPIC for event in EVENTS]
    assert [row.id for row in section] == list(range(1, len(EVENTS) + 1))


def test_its_recorder_refuses_a_second_event_in_the_same_place(meetings: Meetings):
    with pytest.raises(IntegrityError):
        meetings.events.put(EVENTS[-1:])


def test_it_does_not_find_what_was_never_convened(meetings: Meetings):
    with pytest.raises(AggregateNotFoundError):
        meetings.repository.get(UUID(int=404), projector_func=project)


def test_an_event_is_what_the_library_calls_a_domain_event():
    assert isinstance(EVENTS[0], DomainEventProtocol)
    assert all(isinstance(event, MeetingEvent) for event in EVENTS)
