"""Golden files: stored events as they were written, which every later version must still read."""

from hashlib import sha256
from typing import Any, get_args

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent

from meeting_core import Configuration, Fact, MeetingMapper
from meeting_core.codec import FACTS
from meeting_core.model import Convened
from tests.meeting_core.golden_facts import FOLDER, GOLDEN, MEETING_ID, golden_event

NAMES = sorted(GOLDEN)


def topic_of(name: str) -> str:
    return ".".join(name.split(".")[:3])


def state_of(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


def fact_in(name: str) -> dict[str, Any]:
    fact: dict[str, Any] = msgspec.json.decode(state_of(name))["fact"]
    return fact


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_file_is_read_as_the_fact_it_stands_for(name: str):
    stored = StoredEvent(MEETING_ID, 7, topic_of(name), state_of(name))
    assert MeetingMapper().to_domain_event(stored) == golden_event(GOLDEN[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_fact_is_written_as_its_golden_file(name: str):
    written = MeetingMapper().to_stored_event(golden_event(GOLDEN[name]))
    assert (written.originator_id, written.originator_version) == (MEETING_ID, 7)
    assert written.topic == topic_of(name)
    assert msgspec.json.decode(written.state) == msgspec.json.decode(state_of(name))


def test_golden_files_are_kept_for_ever():
    """A stored event is never rewritten. A new shape is a new version with a new file and line."""
    for folder in (FOLDER, FOLDER / "meetings"):
        files = {path.name: path.read_bytes() for path in folder.glob("*.json*")}
        sums = {name: sha256(data).hexdigest() for name, data in files.items()}
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        assert sums == {name: digest for digest, name in map(str.split, lines)}


def test_every_golden_file_has_its_fact():
    files = {path.name for path in FOLDER.glob("*.json")}
    assert files == {f"{name}.json" for name in NAMES}


def test_every_fact_has_a_golden_file_under_its_stored_name():
    assert {fact.TOPIC for fact in get_args(Fact)} == {topic_of(name) for name in NAMES}
    assert {fact.TOPIC for fact in get_args(Fact)} <= set(NAMES)
    assert set(FACTS) == {topic_of(name) for name in NAMES}
    assert len(FACTS) == len(get_args(Fact))


@pytest.mark.parametrize("topic", sorted(FACTS))
def test_every_field_of_a_fact_is_used_in_one_of_its_golden_files(topic: str):
    used = {field for name in NAMES if topic_of(name) == topic for field in fact_in(name)}
    assert used == set(FACTS[topic].__struct_fields__)


def test_a_configuration_is_stored_with_its_defaults():
    """A default that changes later must not change meetings that were convened before."""
    fields = fact_in("meeting.convened.v1.defaults")["configuration"]
    assert fields["max_tokens_per_turn"] == 200
    assert set(fields) == set(Configuration.__struct_fields__)


def test_a_configuration_stored_before_a_field_was_added_has_its_default():
    added = ("digest_rounds", "on_budget", "order", "min_attempt_seconds", "max_reply_bytes")
    state = msgspec.json.decode(state_of("meeting.convened.v1"))
    for name in added:
        del state["fact"]["configuration"][name]
    stored = StoredEvent(MEETING_ID, 7, Convened.TOPIC, msgspec.json.encode(state))
    fact = MeetingMapper().to_domain_event(stored).fact
    assert isinstance(fact, Convened)
    plain = Configuration(participants=fact.configuration.participants)
    for name in added:
        assert getattr(fact.configuration, name) == getattr(plain, name), name
