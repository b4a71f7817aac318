"""When an answer is over: finish reasons in every piece, none at all, breaks, silence."""

from pathlib import Path

import pytest

from tests.meeting_service.gateways.wire_peer import (
    DONE,
    END,
    Drops,
    Hangs,
    Script,
    chunked,
    counts,
    ends,
    head,
    says,
    stream,
)
from tests.meeting_service.model_servers.meetings import FIRST, SECOND, hold, spoken

pytestmark = pytest.mark.anyio

FIRST_HALF, SECOND_HALF = "First half, ", "second half."
WHOLE = FIRST_HALF + SECOND_HALF


def piece(text: str, reason: object) -> str:
    """A piece of the text with a finish reason in it."""
    return says(text).replace("}}]", f'}}, "finish_reason": {reason}}}]')


@pytest.mark.parametrize(
    "script",
    [
        stream(piece(FIRST_HALF, '"stop"'), piece(SECOND_HALF, '"stop"'), counts(9, 6), DONE),
        stream(piece(FIRST_HALF, '"null"'), piece(SECOND_HALF, '"stop"'), counts(9, 6), DONE),
        stream(piece(FIRST_HALF, '""'), piece(SECOND_HALF, '""'), ends("stop"), counts(9, 6)),
        stream(says(FIRST_HALF), ends("stop"), says(SECOND_HALF), ends("stop"), counts(9, 6)),
        stream(says(FIRST_HALF), says(SECOND_HALF), DONE),
        stream(says(FIRST_HALF), says(SECOND_HALF), ends("FINISH_REASON_UNSPECIFIED"), DONE),
    ],
    ids=["stop", "null", "empty", "stop alone", "no reason", "unspecified"],
)
async def test_both_halves_are_the_turn(database_url: str, tmp_path: Path, script: Script) -> None:
    held = await hold(database_url, tmp_path, {FIRST: script})
    held.assert_whole(WHOLE)
    assert held.reply["finish_reason"] == "stop"
    # The last one may be lost to the whole turn that comes right behind it.
    assert held.deltas in {FIRST_HALF, WHOLE}


@pytest.mark.parametrize(
    "script",
    [
        [head(), chunked(piece(FIRST_HALF, '"stop"')), Drops()],
        [head(), chunked(says(FIRST_HALF) + ends("stop")), Drops()],
        stream(piece(FIRST_HALF, '"null"')),
        stream(says(FIRST_HALF)),
        [head(), chunked(piece(FIRST_HALF, '"stop"') + piece(SECOND_HALF, "null")), END],
    ],
    ids=["reset", "reset after the reason", "the text null", "no reason", "a reason taken back"],
)
async def test_half_an_answer_is_asked_for_again(
    database_url: str, tmp_path: Path, script: Script
) -> None:
    held = await hold(database_url, tmp_path, {FIRST: script, SECOND: spoken(WHOLE)})
    assert held.outcomes == ["failed:truncated", "completed"]
    assert held.turn["response"] == WHOLE
    assert held.calls[0]["charged_tokens"] == held.calls[0]["reserved_tokens"] > 0


async def test_a_finish_reason_and_then_silence_is_the_end(
    database_url: str, tmp_path: Path
) -> None:
    script = [head(), chunked(says(WHOLE) + ends("stop")), Hangs()]
    held = await hold(database_url, tmp_path, {FIRST: script}, idle_timeout_seconds=0.1)
    held.assert_whole(WHOLE)


async def test_silence_is_no_end_where_every_piece_has_a_reason(
    database_url: str, tmp_path: Path
) -> None:
    script = [head(), chunked(piece(FIRST_HALF, '"stop"')), Hangs()]
    held = await hold(
        database_url, tmp_path, {FIRST: script, SECOND: spoken(WHOLE)}, idle_timeout_seconds=0.1
    )
    assert held.outcomes == ["failed:timed_out", "completed"]
    assert held.turn["response"] == WHOLE


async def test_a_server_may_be_held_to_its_finish_reasons(
    database_url: str, tmp_path: Path
) -> None:
    answers = {FIRST: stream(says(FIRST_HALF), DONE), SECOND: spoken(WHOLE)}
    held = await hold(database_url, tmp_path, answers, requires_finish_reason=True)
    assert held.outcomes == ["failed:truncated", "completed"]
