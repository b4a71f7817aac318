"""What servers report of tokens, through the whole service: what a call is charged, and why."""

from typing import Any

import pytest

from tests.meeting_service.gateways.wire_peer import DONE, Script, ends, event, says, stream
from tests.meeting_service.model_servers.refusing_peer import (
    Asked,
    SharedService,
    at_first,
    speaks,
    task_of,
)

pytestmark = pytest.mark.anyio

SHORT = "We agree, and go on."
TEXT = "We agree on this and on that, and go on. " * 4
REASONED = {
    "prompt_tokens": 100,
    "completion_tokens": 10,
    "total_tokens": 2_110,
    "completion_tokens_details": {"reasoning_tokens": 2_000},
}


def charged(usage: dict[str, Any]) -> int:
    return int(usage["prompt_tokens"] + usage["completion_tokens"])


@pytest.mark.parametrize(
    ("usage", "tokens", "reasoning"),
    [
        (REASONED, 2_110, 2_000),
        # The total alone tells of the thoughts.
        (
            {"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 940},
            940,
            600,
        ),
        # The thoughts are counted within what was written.
        (
            {
                "prompt_tokens": 300,
                "completion_tokens": 640,
                "total_tokens": 940,
                "completion_tokens_details": {"reasoning_tokens": 600},
            },
            940,
            600,
        ),
        # Beside it, and no total: the greater of what can be meant.
        (
            {"prompt_tokens": 300, "completion_tokens": 40, "reasoning_tokens": 600},
            940,
            600,
        ),
        ({"input_tokens": 300, "output_tokens": 40}, 340, 0),
        ({"prompt_tokens": 300.0, "completion_tokens": 39.5}, 340, 0),
        # A total that is less than its parts is no total.
        ({"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 310}, 340, 0),
    ],
)
async def test_all_that_a_provider_counts_is_charged(
    shared: SharedService, usage: dict[str, Any], tokens: int, reasoning: int
) -> None:
    meeting, _ = await shared.held(at_first(speaks(TEXT, **usage)))
    first = meeting.usages[0]
    assert (charged(first), first["source"]) == (tokens, "reported")
    assert first.get("reasoning_tokens", 0) == reasoning
    assert meeting.status["tokens"]["spent"] == tokens + 2 * 320
    assert meeting.texts[0] == TEXT.strip()


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 300, "completion_tokens": 0},
        {"prompt_tokens": 300},
        {"prompt_tokens": 300, "completion_tokens": None},
        {"prompt_tokens": 300, "completion_tokens": "40"},
        {"prompt_tokens": 300, "completion_tokens": -1, "total_tokens": 300},
    ],
)
async def test_what_cannot_be_true_is_estimated_and_said_to_be(
    shared: SharedService, usage: dict[str, Any]
) -> None:
    meeting, _ = await shared.held(at_first(speaks(TEXT, **usage)))
    first = meeting.usages[0]
    assert (first["prompt_tokens"], first["source"]) == (300, "partly_reported")
    assert 30 <= first["completion_tokens"] <= 120
    assert meeting.turns[0]["usage_source"] == "partly_reported"


@pytest.mark.parametrize(
    "script",
    [
        stream(
            says(SHORT),
            event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": REASONED}]),
            DONE,
        ),
        stream(says(SHORT), ends(x_groq={"id": "r", "usage": REASONED}), DONE),
        stream(says(SHORT), ends(usage=REASONED)),
        stream(
            says(SHORT[:9], usage={**REASONED, "completion_tokens": 1, "total_tokens": 101}),
            says(SHORT[9:], usage={**REASONED, "completion_tokens": 5, "total_tokens": 105}),
            ends(usage=REASONED),
            DONE,
        ),
        stream(
            says(SHORT),
            ends(usage={"prompt_tokens": 100}),
            event(choices=[], usage={k: v for k, v in REASONED.items() if k != "prompt_tokens"}),
            DONE,
        ),
        stream(says(SHORT), ends(), event(choices=[], usage=REASONED), event(usage=None), DONE),
    ],
    ids=["choices[0]", "x_groq", "with the end", "cumulative", "in halves", "null at last"],
)
async def test_a_report_may_stand_in_many_places(shared: SharedService, script: Script) -> None:
    meeting, _ = await shared.held(at_first(script))
    assert meeting.usages[0] == {
        "prompt_tokens": 100,
        "completion_tokens": 2_010,
        "source": "reported",
        "reasoning_tokens": 2_000,
    }


async def test_thoughts_are_charged_beside_a_text_of_a_few_words(shared: SharedService) -> None:
    meeting, _ = await shared.held(at_first(speaks(SHORT, **REASONED)))
    assert meeting.usages[0] == {
        "prompt_tokens": 100,
        "completion_tokens": 2_010,
        "source": "reported",
        "reasoning_tokens": 2_000,
    }
    assert meeting.status["tokens"]["spent"] == 2_110 + 2 * 320


async def test_nothing_reported_is_estimated(shared: SharedService) -> None:
    meeting, _ = await shared.held(at_first(speaks(TEXT)))
    assert meeting.usages[0]["source"] == "estimated"
    assert meeting.turns[0]["usage_source"] == "estimated"


async def test_what_passes_a_ceiling_is_charged_told_and_learnt(shared: SharedService) -> None:
    def answer(asked: Asked) -> Script | None:
        return speaks(SHORT, **REASONED) if task_of(asked) == "round-1-ann" else None

    meeting, peer = await shared.held(answer, meeting_tokens=6_000)
    started = [fact["data"] for fact in meeting.facts if "attempt_started" in fact["name"]]
    first = started[0]["reserved"]
    passed = 2_110 - first["prompt_tokens"] - first["output_tokens"]
    assert meeting.status["outcome"]["overrun_tokens"] == passed
    # Beside the minutes, what is left would not do for another call of this kind.
    assert started[-1]["task"] == {"type": "synthesis"}
    assert started[-1]["reserved"]["beyond_cap_tokens"] == 2_000
    assert peer.calls_of("round-1-bob") == []
    assert meeting.status["tokens"]["spent"] == 2_110 + 320
