"""What the service needs of a store: a recorder of events, with leases and read models."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias
from uuid import UUID

from eventsourcing.persistence import IntegrityError, Notification, StoredEvent
from msgspec import Struct

from meeting_core.model import AgentId, MeetingId, UsageSource
from meeting_service.ports.factor_store import FactorStore

Clock: TypeAlias = Callable[[], datetime]
"""Returns the current time in UTC."""

OnQuarantine: TypeAlias = Callable[[MeetingId, str | None], None]
"""Called with the reason when a meeting is put into quarantine, and with None when it goes on."""


class VersionConflict(IntegrityError):
    """Another append to the meeting was first; load it again and decide again."""


class Fenced(IntegrityError):
    """The lease has passed to another owner; stop running the meeting."""


class RoomTaken(IntegrityError):
    """A live meeting already holds the room.

    Shape: `meeting_id` is the meeting that holds it.
    """

    def __init__(self, room_id: str, meeting_id: MeetingId) -> None:
        super().__init__(f"room {room_id!r} is held by meeting {meeting_id}")
        self.room_id = room_id
        self.meeting_id = meeting_id


class TooManyLive(IntegrityError):
    """The highest number of live meetings is reached."""

    def __init__(self, max_live: int) -> None:
        super().__init__(f"{max_live} meetings are live, and no more may be")
        self.max_live = max_live


class SummaryRow(Struct, frozen=True, kw_only=True):
    """What a list shows of one meeting.

    Shape: `state` is the outside spelling (`round_2`). `gateways` are those its participants speak
    through, each once, in their order. `quarantined` is the reason of its quarantine; the store
    keeps it beside the row, and no append writes it. A quarantined meeting is listed as not live.
    """

    meeting_id: MeetingId
    title: str
    goal: str
    state: str
    is_live: bool
    participant_names: tuple[str, ...]
    num_rounds: int
    room_id: str | None
    project_id: str | None
    parent_meeting_id: MeetingId | None
    output_path: str | None
    gateways: tuple[str, ...]
    created_at: datetime
    ended_at: datetime | None
    quarantined: str | None = None


class TurnRow(Struct, frozen=True, kw_only=True):
    """What reports show of one ended turn.

    Units: tokens over all attempts of the turn; `usage_source` is the least certain of them.
    """

    meeting_id: MeetingId
    round_num: int
    turn_index: int
    agent_id: AgentId
    skipped_reason: str | None
    prompt_tokens: int
    response_tokens: int
    usage_source: UsageSource
    attempts: int
    started_at: datetime
    ended_at: datetime


class Lease(Struct, frozen=True):
    """The exclusive, expiring right to run a meeting.

    `claims` counts claims since a turn last ended, this one included; `previous_owner` is the one
    whose lease ran out.
    """

    meeting_id: MeetingId
    owner: str
    epoch: int
    claims: int
    previous_owner: str | None = None


class MissingGateway(Struct, frozen=True):
    """A meeting that waits because no process has the gateway.

    Units: `waited_seconds` is the time during which some process without it was running.
    """

    meeting_id: MeetingId
    gateway: str
    waited_seconds: float


class Quarantined(Struct, frozen=True):
    """A meeting that was put aside, because it cannot be run. `since` is by the store's clock."""

    meeting_id: MeetingId
    title: str
    state: str
    reason: str
    since: datetime


class ReadModels(Struct, frozen=True):
    """The rows an append changes besides the events; empty where nothing changed."""

    summary: SummaryRow | None = None
    turns: tuple[TurnRow, ...] = ()


NO_READ_MODELS = ReadModels()


class SummaryFilter(Struct, frozen=True, kw_only=True):
    """Which meetings a list shows, newest first.

    Shape: `before` is the `(created_at, meeting_id)` of the last row of the page before.
    """

    created_after: datetime | None = None
    room_id: str | None = None
    project_id: str | None = None
    state: str | None = None
    limit: int = 20
    offset: int = 0
    before: tuple[datetime, MeetingId] | None = None


class SummaryPage(Struct, frozen=True):
    """One page of a list: its rows, how many rows match in all, whether more follow."""

    rows: tuple[SummaryRow, ...]
    total: int
    has_more: bool


class Recorder(FactorStore, Protocol):
    """The eventsourcing library's application recorder, asynchronous, with our read models.

    Raises: the library's `PersistenceError` tree; `OperationalError` or `InterfaceError` when the
    database is unreachable. After those an append's outcome is unknown: look for its `command_id`.
    """

    async def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        epoch: int | None = None,
        lease_owner: str | None = None,
        max_live: int | None = None,
        read_models: ReadModels = NO_READ_MODELS,
    ) -> Sequence[int] | None:
        """Append events of one meeting in one transaction; return their positions.

        Cancelling the caller does not stop the commit.

        With `epoch`, only while the meeting's lease still has that epoch. With `lease_owner`, take
        the first lease (epoch 1) for that owner in the same transaction; with `max_live` too, only
        while fewer meetings are live.
        Raises: `VersionConflict`, `Fenced`, `RoomTaken`, `TooManyLive`; nothing is stored then.
        """

    async def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]: ...

    async def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]: ...

    async def max_notification_id(self) -> int | None: ...

    async def select_summaries(self, wanted: SummaryFilter) -> SummaryPage: ...

    async def count_live(self) -> int:
        """Count the meetings that have not ended and are not quarantined."""

    async def register_owner(self, owner: str, *, lease_seconds: float) -> None:
        """Register an owner as alive for `lease_seconds`; only a registered owner gets leases."""

    async def renew_leases(self, owner: str, *, lease_seconds: float) -> bool:
        """Extend a registered owner's life, and all its leases, to `lease_seconds` from now.

        Return False if it is not registered, or no longer: a renewal that comes late does not
        bring an owner back. An owner that holds no lease is dropped some time after it ran out.
        """

    async def release_leases(self, owner: str) -> None:
        """Release all the owner's leases at once, so that others may claim them."""

    async def claim_leases(
        self,
        owner: str,
        *,
        lease_seconds: float,
        limit: int,
        running: Collection[MeetingId] | None = None,
        gateways: Collection[str] | None = None,
    ) -> Sequence[Lease]:
        """Claim live meetings whose owner is gone, by the store's clock; renew the claimant.

        With `running`, the meetings that the owner runs, it also gets those back that it has held
        for `lease_seconds` and does not run. With `gateways`, claim only meetings that need no
        other gateway. A quarantined meeting is never claimed.
        """

    async def claim_meeting(
        self, owner: str, meeting_id: MeetingId, *, lease_seconds: float
    ) -> Lease | None:
        """Claim one live meeting, with any gateways; None if it cannot be claimed."""

    async def wait_for_gateways(
        self, gateways: Collection[str], *, seconds: float
    ) -> Sequence[MissingGateway]:
        """Return the meetings that no process runs and that need other gateways than these.

        Record how long they have waited since the last call: at most `seconds` each time, so that
        the time counts only while a process without the gateway calls this. A claim sets the time
        back to 0.
        """

    async def quarantine(
        self, meeting_id: MeetingId, *, owner: str, epoch: int, reason: str
    ) -> bool:
        """Put a meeting aside, if its lease still has that owner and epoch.

        From then on its owner is fenced, it is not claimed, it does not count as live, and it does
        not hold its room.
        """

    async def select_quarantined(self, limit: int) -> Sequence[Quarantined]:
        """Return the meetings in quarantine, the first put there first."""

    async def quarantine_reason(self, meeting_id: MeetingId) -> str | None:
        """Return why a meeting is in quarantine; None if it is not."""

    async def release_quarantine(self, meeting_id: MeetingId) -> bool:
        """Make a meeting live again, so that it may be claimed; False if it is not in quarantine.

        Raises: `RoomTaken` if a live meeting holds its room meanwhile.
        """

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` after each append of any process; a call may be missed."""

    async def ping(self) -> None:
        """Return when the store answers."""

    async def aclose(self) -> None: ...
