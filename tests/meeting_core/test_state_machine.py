"""Ten thousand command sequences, audited: a meeting's rules hold under any command."""

from collections import Counter

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.meeting_core.choices import chosen
from tests.meeting_core.coverage import REACHED
from tests.meeting_core.walk import MOVES, Walk, walk

SEQUENCES, SHARDS = 10_000, 4
CHOSEN = 80


@pytest.mark.parametrize("shard", range(SHARDS))
def test_ten_thousand_command_sequences_keep_every_rule_and_come_to_an_end(shard: int):
    coverage: Counter[str] = Counter()

    @seed(shard)
    @settings(max_examples=SEQUENCES // SHARDS)
    @given(st.binary(min_size=CHOSEN, max_size=CHOSEN))
    def sequences(choices: bytes) -> None:
        walk(chosen(choices), MOVES, coverage)

    sequences()
    assert coverage["Convened"] >= SEQUENCES // SHARDS
    assert sorted(REACHED - set(coverage)) == []


CHOICES = st.binary(max_size=12)


def is_live(machine: "MeetingMachine") -> bool:
    return not machine.walked.standing.has_ended


class MeetingMachine(RuleBasedStateMachine):
    """The same walk by named rules: a failure is printed as the moves that led to it."""

    @initialize(choice=st.integers(0, 20))
    def convene(self, choice: int) -> None:
        self.walked = Walk(chosen(bytes([choice])))

    @precondition(is_live)
    @rule(choices=CHOICES)
    def advance(self, choices: bytes) -> None:
        self.walked.draw = chosen(choices)
        self.walked.advance()

    @precondition(is_live)
    @rule(choices=CHOICES)
    def crash(self, choices: bytes) -> None:
        self.walked.draw = chosen(choices)
        self.walked.crash()

    @precondition(is_live)
    @rule(choices=CHOICES)
    def wait(self, choices: bytes) -> None:
        self.walked.draw = chosen(choices)
        self.walked.wait()

    @precondition(is_live)
    @rule(choices=CHOICES)
    def interrupt(self, choices: bytes) -> None:
        self.walked.draw = chosen(choices)
        self.walked.interrupt()

    @rule(choices=CHOICES)
    def mistake(self, choices: bytes) -> None:
        self.walked.draw = chosen(choices)
        self.walked.mistake()

    def teardown(self) -> None:
        self.walked.draw = chosen(b"")
        self.walked.walk_home()
        self.walked.knock()


def test_the_rules_hold_for_a_state_machine_of_named_moves():
    run_state_machine_as_test(
        MeetingMachine, settings=settings(max_examples=100, stateful_step_count=20)
    )
