"""The table of the feed's events in the how-to guide names what the feed really sends."""

import re

from meeting_core.model import Cancelled, Fact, Failed
from meeting_core.projector import evolve
from meeting_service.feed.frames import Frame, delta_frame, frames_of
from tests.builders import (
    START,
    attempt_started,
    convened,
    history,
    meeting_after,
    round_closed,
    round_opened,
    skipped,
    spoken,
    turn,
    whole_meeting,
)
from tests.docs.blocks import ROOT

IN_EVERY_EVENT = {"meeting_id", "version", "at"}
ROW = re.compile(r"^\| `(meeting-[a-z-]+)` \| ([a-z_, ]+) \|", re.MULTILINE)


def frames(*facts: Fact) -> list[Frame]:
    meeting, found = None, []
    for event in history(*facts):
        after = evolve(meeting, event)
        found.extend(frames_of(meeting, event, after))
        meeting = after
    return found


def every_kind_of_frame() -> list[Frame]:
    opened = [convened(), round_opened(1)]
    begun = meeting_after(*opened, attempt_started(turn()))
    assert begun.task_state is not None
    assert begun.task_state.open is not None
    return [
        *frames(*whole_meeting()),
        *frames(*opened, *spoken("ann"), *skipped("bob"), round_closed(1, "partial")),
        *frames(*opened, Cancelled()),
        *frames(*opened, Failed("internal_error")),
        delta_frame(begun, begun.task_state.open, turn(), "text", START),
    ]


def test_every_event_of_the_feed_has_a_row_with_its_fields():
    page = (ROOT / "docs" / "how-to" / "watch-the-feed.md").read_text()
    written = {name: set(fields.split(", ")) for name, fields in ROW.findall(page)}
    sent: dict[str, set[str]] = {}
    for frame in every_kind_of_frame():
        sent.setdefault(frame.event, set()).update(frame.data.keys() - IN_EVERY_EVENT)
        assert frame.data.keys() >= IN_EVERY_EVENT
    assert written == sent
