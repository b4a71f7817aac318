"""The library's own tests for recorders, on ours, across a thin bridge to its synchronous world."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    ListenNotifySubscription,
    Notification,
    StoredEvent,
    Subscription,
)
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
)

from meeting_service.ports import Recorder
from meeting_service.store.memory import InMemoryRecorder
from meeting_service.store.postgres.recorder import PostgresRecorder
from tests.contracts.store_world import START


class AggregateBridge(AggregateRecorder):
    """Our recorder as the library's recorder of aggregates, which gives no positions."""

    def __init__(self, portal: BlockingPortal, recorder: Recorder) -> None:
        self._portal = portal
        self._ours = recorder

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        self._call(self._ours.insert_events, stored_events)
        return None

    def select_events(self, originator_id: UUID | str, **wanted: Any) -> Sequence[StoredEvent]:
        return self._call(self._ours.select_events, originator_id, **wanted)

    def _call(
        self, method: Callable[..., Awaitable[Any]], *arguments: object, **named: object
    ) -> Any:
        return self._portal.call(partial(method, *arguments, **named))


class ApplicationBridge(AggregateBridge, ApplicationRecorder):
    """Our recorder as the library's recorder of applications."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        positions: Sequence[int] | None = self._call(self._ours.insert_events, stored_events)
        return positions

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        found: Sequence[Notification] = self._call(
            self._ours.select_notifications,
            start,
            limit,
            stop,
            topics,
            inclusive_of_start=inclusive_of_start,
        )
        return found

    def max_notification_id(self) -> int | None:
        position: int | None = self._call(self._ours.max_notification_id)
        return position

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        subscription = ListenNotifySubscription(self, gt, topics)
        self._portal.call(self._ours.subscribe, subscription._has_been_notified.set)
        return subscription


class OnPostgres:
    @pytest.fixture(autouse=True)
    def _bridge(self, database_url: str) -> Iterator[None]:
        with start_blocking_portal() as portal:
            self.portal = portal
            self.recorder = portal.call(PostgresRecorder.open, database_url)
            yield
            portal.call(self.recorder.aclose)


class InMemory:
    @pytest.fixture(autouse=True)
    def _bridge(self) -> Iterator[None]:
        with start_blocking_portal() as portal:
            self.portal = portal
            self.recorder = InMemoryRecorder(lambda: START)
            yield


class TestAggregatesOnPostgres(OnPostgres, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return AggregateBridge(self.portal, self.recorder)


class TestAggregatesInMemory(InMemory, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return AggregateBridge(self.portal, self.recorder)


class TestApplicationsOnPostgres(OnPostgres, ApplicationRecorderTestCase):
    def create_recorder(self) -> ApplicationRecorder:
        return ApplicationBridge(self.portal, self.recorder)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestApplicationsInMemory(InMemory, ApplicationRecorderTestCase):
    def create_recorder(self) -> ApplicationRecorder:
        return ApplicationBridge(self.portal, self.recorder)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()
