"""Between meeting events and stored events: plain JSON by schema, names from a closed registry."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Cipher, Compressor, JSONTranscoder, Mapper, StoredEvent

from meeting_core.errors import CorruptHistory
from meeting_core.model.events import Fact, MeetingEvent
from meeting_core.model.values import UtcTime, Value

FACTS: dict[str, type[Any]] = {fact.TOPIC: fact for fact in get_args(Fact)}
"""Every stored name there is, with the fact it stands for."""


class _Outgoing(Value, frozen=True):
    timestamp: datetime
    event_id: UUID
    command_id: UUID
    actor: str
    fact: Any


class _Incoming(Value, frozen=True):
    timestamp: UtcTime
    event_id: UUID
    command_id: UUID
    actor: str
    fact: msgspec.Raw


_encoder = msgspec.json.Encoder()
_envelope_decoder = msgspec.json.Decoder(_Incoming)
_fact_decoders = {topic: msgspec.json.Decoder(fact) for topic, fact in FACTS.items()}


class MeetingMapper(Mapper[UUID]):
    """The library's mapper for our events; its compressor and cipher still work.

    Raises: `CorruptHistory` for an unknown stored name or a state its schema does not fit.
    Source: ADR 0002.
    """

    def __init__(self, compressor: Compressor | None = None, cipher: Cipher | None = None) -> None:
        super().__init__(JSONTranscoder(), compressor, cipher)

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        assert isinstance(domain_event, MeetingEvent)
        state = _encoder.encode(
            _Outgoing(
                domain_event.timestamp,
                domain_event.event_id,
                domain_event.command_id,
                domain_event.actor,
                domain_event.fact,
            )
        )
        if self.compressor:
            state = self.compressor.compress(state)
        if self.cipher:
            state = self.cipher.encrypt(state)
        return StoredEvent(
            domain_event.originator_id,
            domain_event.originator_version,
            domain_event.fact.TOPIC,
            state,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> MeetingEvent:
        decoder = _fact_decoders.get(stored_event.topic)
        if decoder is None:
            raise CorruptHistory(f"{_place(stored_event)}: unknown event {stored_event.topic!r}")
        meeting_id = stored_event.originator_id
        assert isinstance(meeting_id, UUID)
        try:
            envelope = _envelope_decoder.decode(self._unpacked(stored_event))
            fact = decoder.decode(envelope.fact)
        except (ValueError, msgspec.MsgspecError) as error:
            raise CorruptHistory(f"{_place(stored_event)}: {error}") from error
        return MeetingEvent(
            meeting_id,
            stored_event.originator_version,
            envelope.timestamp,
            envelope.event_id,
            envelope.command_id,
            envelope.actor,
            fact,
        )

    def _unpacked(self, stored_event: StoredEvent) -> bytes:
        state = stored_event.state
        try:
            if self.cipher:
                state = self.cipher.decrypt(state)
            if self.compressor:
                state = self.compressor.decompress(state)
        # Each cipher and compressor raises errors of its own; all mean that it cannot be read.
        except Exception as error:
            raise CorruptHistory(f"{_place(stored_event)}: {error}") from error
        return state

    def to_meeting_events(self, stored_events: Iterable[StoredEvent]) -> list[MeetingEvent]:
        """Decode a whole history."""
        return [self.to_domain_event(stored_event) for stored_event in stored_events]


def _place(stored_event: StoredEvent) -> str:
    return f"meeting {stored_event.originator_id} version {stored_event.originator_version}"
