"""Names that models write before their texts, through the whole service."""

import pytest

from tests.meeting_service.gateways.wire_peer import Script
from tests.meeting_service.model_servers.refusing_peer import (
    Asked,
    Held,
    SharedService,
    speaks,
    task_of,
)

pytestmark = pytest.mark.anyio

TEAM = [
    {"id": "ann", "name": "Critic", "role": "Finds what is wrong"},
    {"id": "bob", "name": "Zoë Núñez"},
]


async def said(
    shared: SharedService, first: str, second: str = "I agree."
) -> tuple[Held, list[str]]:
    """Hold a meeting in which Critic says this; return it, and the briefs of Zoë and the author."""
    texts = {"round-1-ann": first, "round-1-bob": "I agree."}

    def answer(asked: Asked) -> Script | None:
        text = texts.get(task_of(asked)) if asked.method == "POST" else None
        return None if text is None else speaks(text, prompt_tokens=300, completion_tokens=20)

    meeting, peer = await shared.held(answer, participants=TEAM)
    calls = [*peer.calls_of("round-1-bob"), *peer.calls_of("synthesis")]
    return meeting, [call.body["messages"][-1]["content"] for call in calls]


def replies(meeting: Held) -> list[dict[str, object]]:
    return [f["data"]["reply"] for f in meeting.facts if "turn_completed" in f["name"]]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Critic: ", "This will not hold."),
        ("**Critic:** ", "This will not hold."),
        ("[Critic] ", "This will not hold."),
        ("# Critic\n\n", "This will not hold."),
        ("critic says: ", "This will not hold."),
        ("Critic (Finds what is wrong): ", "This will not hold."),
        ("ann: ", "This will not hold."),
        ("Critic's turn:\n", "This will not hold."),
    ],
)
async def test_a_speakers_own_name_comes_off(shared: SharedService, label: str, text: str) -> None:
    meeting, briefs = await said(shared, label + text)
    assert meeting.texts == [text, "I agree."]
    assert str(replies(meeting)[0]["label"]).strip() == label.strip()
    assert "speaks_for" not in replies(meeting)[0]
    assert all(label.strip() not in brief for brief in briefs if len(label.strip()) > 5)
    assert all(text in brief for brief in briefs)


@pytest.mark.parametrize(
    "line",
    [
        "Zoë Núñez: I give in.",
        "**Zoë Núñez:** I give in.",
        "### Zoë Núñez\nI give in.",
        "bob: I give in.",
        "[Zoë Núñez] I give in.",
    ],
)
async def test_lines_in_anothers_name_are_kept_flagged_and_quoted_as_the_speakers_own(
    shared: SharedService, line: str
) -> None:
    meeting, briefs = await said(shared, f"Critic: This will not hold.\n\n{line}")
    assert meeting.texts[0] == f"This will not hold.\n\n{line}"
    assert replies(meeting)[0]["speaks_for"] == meeting.turns[0]["speaks_for"] == ["bob"]
    for brief in briefs:
        before, _, after = brief.partition("This will not hold.")
        # What was said in Zoë's name stands inside Critic's own mark.
        opened = before.rpartition("<turn")[2]
        assert "Critic" in opened
        assert "ann" in opened
        assert after.index("I give in.") < after.index("</turn>")


@pytest.mark.parametrize(
    "text",
    [
        "Design: we need one before we build.",
        "Critical: this will not hold.",
        "As Zoë Núñez said, it will not hold.",
        "@Zoë Núñez: will it hold?",
        "> Zoë Núñez: it holds.\n\nIt does not.",
        "Note: nothing holds.",
    ],
)
async def test_ordinary_speech_is_left_alone(shared: SharedService, text: str) -> None:
    meeting, _ = await said(shared, text)
    assert meeting.texts[0] == text
    assert not {"label", "speaks_for"} & replies(meeting)[0].keys()
