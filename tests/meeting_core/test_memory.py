"""The core keeps nothing: what a meeting holds is gone with the meeting, documents above all."""

import gc
import tracemalloc

from msgspec.structs import replace

from meeting_core import EventMetadata, decide_events, fold, next_step
from meeting_core.model import Convene, OpenRound, StartAttempt
from tests.builders import MEETING_ID, START, configuration, turn

MEETINGS = 600
DOCUMENT_BYTES = 200_000
MAX_KEPT_BYTES = 4_000_000
LINE = "The plan has three parts, and each of them has an owner. "


def start_with_a_document(number: int) -> None:
    """Convene, open a round, and begin its first attempt, as a service does for a start."""
    document = f"{number} {LINE * (DOCUMENT_BYTES // len(LINE))}"
    config = replace(configuration(goal=f"Goal {number}"), context_tokens=200_000)
    config = replace(config, document_context=document)
    metadata = EventMetadata(START, MEETING_ID, "a test")
    events, meeting = [], None
    for command in (Convene(MEETING_ID, config), OpenRound(1), StartAttempt(turn())):
        decision = decide_events(meeting, command, metadata, lambda: MEETING_ID)
        events += decision.events
        meeting = decision.meeting
    next_step(fold(events), decision.brief)
    next_step(fold(events))


def test_documents_are_gone_with_their_meetings():
    start_with_a_document(0)  # what is made once, as compiled patterns, is made before
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1, MEETINGS + 1):
            start_with_a_document(number)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < MAX_KEPT_BYTES
