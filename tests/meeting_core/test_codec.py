"""The mapper: plain JSON by schema, names from a closed registry, the library's own extras."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eventsourcing.compressor import ZlibCompressor
from eventsourcing.persistence import Cipher, Compressor, StoredEvent
from msgspec.structs import replace

from meeting_core import CorruptHistory, MeetingMapper
from meeting_core.model import TurnCompleted
from tests.builders import history, round_opened, whole_meeting
from tests.meeting_core.golden_facts import GOLDEN, MEETING_ID, golden_event

FOLDER = Path(__file__).parents[1] / "golden"
NAMES = sorted(GOLDEN)


def golden_state(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


def topic_of(name: str) -> str:
    return ".".join(name.split(".")[:3])


def stored(name: str, state: bytes | None = None) -> StoredEvent:
    return StoredEvent(MEETING_ID, 7, topic_of(name), state or golden_state(name))


class Mirror(Cipher):
    """A cipher of the library's kind that turns bytes around and seals them."""

    def __init__(self) -> None:
        """Needs no key."""

    def encrypt(self, plaintext: bytes) -> bytes:
        return plaintext[::-1] + sha256(plaintext).digest()

    def decrypt(self, ciphertext: bytes) -> bytes:
        plaintext = ciphertext[:-32][::-1]
        if sha256(plaintext).digest() != ciphertext[-32:]:
            raise RuntimeError("the seal is broken")
        return plaintext


def changed(name: str, **fields: Any) -> bytes:
    """A golden state with some fields of its fact replaced."""
    state = msgspec.json.decode(golden_state(name))
    state["fact"].update(fields)
    return msgspec.json.encode(state)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_are_tolerated(name: str):
    state = msgspec.json.decode(changed(name, added_later={"deep": [1]}))
    state["also_later"] = "x"
    event = MeetingMapper().to_domain_event(stored(name, msgspec.json.encode(state)))
    assert event == golden_event(GOLDEN[name])


@pytest.mark.parametrize(
    "topic", ["meeting.turn_completed.v2", "os:system", "meeting_core.model.events:Cancelled", ""]
)
def test_unknown_names_are_refused_and_nothing_is_imported(topic: str):
    row = StoredEvent(MEETING_ID, 7, topic, golden_state("meeting.paused.v1"))
    with pytest.raises(CorruptHistory, match=f"{MEETING_ID} version 7: unknown event '{topic}'"):
        MeetingMapper().to_domain_event(row)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("meeting.round_opened.v1", {"round_num": "2"}),
        ("meeting.round_opened.v1", {"round_num": 2.5}),
        ("meeting.round_opened.v1", {"round_num": None}),
        ("meeting.turn_completed.v1", {"reply": 7}),
        ("meeting.turn_completed.v1", {"reply": {"text": ["a"]}}),
        ("meeting.turn_skipped.v1", {"reason": "shy"}),
        ("meeting.attempt_started.v1", {"task": {"type": "lunch"}}),
        ("meeting.attempt_failed.v1", {"fault": "unheard_of"}),
        ("meeting.attempt_failed.v1", {"retry_at": "2026-11-23T10:45:00"}),
        ("meeting.resumed.v1", {"to": "elsewhere"}),
        ("meeting.convened.v1", {"configuration": {}}),
    ],
)
def test_wrong_types_are_refused(name: str, fields: dict[str, Any]):
    with pytest.raises(CorruptHistory, match=f"{MEETING_ID} version 7"):
        MeetingMapper().to_domain_event(stored(name, changed(name, **fields)))


@pytest.mark.parametrize("missing", ["round_num", "agent_id", "number", "reply"])
def test_missing_fields_are_refused(missing: str):
    state = msgspec.json.decode(golden_state("meeting.turn_completed.v1"))
    del state["fact"][missing]
    with pytest.raises(CorruptHistory, match=missing):
        MeetingMapper().to_domain_event(
            stored("meeting.turn_completed.v1", msgspec.json.encode(state))
        )


@pytest.mark.parametrize("state", [b"{", b"[]", b"null", b"\xff", b'{"fact": {}}'])
def test_broken_states_are_refused(state: bytes):
    with pytest.raises(CorruptHistory):
        MeetingMapper().to_domain_event(stored("meeting.paused.v1", state))


@pytest.mark.parametrize("at", ["2026-11-23T10:45:00", "yesterday", 5])
def test_a_time_without_a_zone_is_refused(at: object):
    state = msgspec.json.decode(golden_state("meeting.paused.v1"))
    state["timestamp"] = at
    with pytest.raises(CorruptHistory):
        MeetingMapper().to_domain_event(stored("meeting.paused.v1", msgspec.json.encode(state)))


@pytest.mark.parametrize(
    ("compressor", "cipher"),
    [(None, None), (ZlibCompressor(), None), (None, Mirror()), (ZlibCompressor(), Mirror())],
)
def test_whole_histories_come_back_through_compressor_and_cipher(
    compressor: Compressor | None, cipher: Cipher | None
):
    mapper = MeetingMapper(compressor, cipher)
    events = history(*whole_meeting())
    rows = [mapper.to_stored_event(event) for event in events]
    assert mapper.to_meeting_events(rows) == list(events)
    assert any(row.state.startswith(b'{"timestamp"') for row in rows) == (
        compressor is None and cipher is None
    )


@pytest.mark.parametrize(
    "mapper", [MeetingMapper(ZlibCompressor()), MeetingMapper(cipher=Mirror())]
)
def test_what_cannot_be_unpacked_is_a_corrupt_history(mapper: MeetingMapper):
    row = mapper.to_stored_event(golden_event(round_opened(1)))
    broken = StoredEvent(MEETING_ID, 7, row.topic, b"?" + row.state[1:])
    with pytest.raises(CorruptHistory, match="version 7"):
        mapper.to_domain_event(broken)


def test_a_text_costs_little_more_than_itself():
    fact = GOLDEN["meeting.turn_completed.v1"]
    assert isinstance(fact, TurnCompleted)

    def with_text(text: str) -> TurnCompleted:
        return replace(fact, reply=replace(fact.reply, text=text))

    empty = MeetingMapper().to_stored_event(golden_event(with_text(""))).state
    full = MeetingMapper().to_stored_event(golden_event(with_text("a" * 1_000))).state
    assert len(empty) < 520
    assert len(full) == len(empty) + 1_000
