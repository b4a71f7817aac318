"""Servers that do not know a part of our requests, through the whole service: learnt, once each."""

import json
import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.meeting_service.gateways.wire_peer import Script, error, event, stream
from tests.meeting_service.model_servers.refusing_peer import (
    KEY,
    Asked,
    held,
    hold,
    model_of,
    model_server,
    refuses,
    service,
    speaks_openai,
    two_participants,
)

pytestmark = pytest.mark.anyio

EXTRA = "Extra inputs are not permitted"


def extra(*place: str) -> dict[str, Any]:
    """Say as servers on pydantic do that a field is not known."""
    return {"detail": [{"type": "extra_forbidden", "loc": ["body", *place], "msg": EXTRA}]}


def has_system(asked: Asked) -> bool:
    return any(each["role"] == "system" for each in asked.body["messages"])


def knows_no_cap(asked: Asked) -> Script | None:
    if "max_completion_tokens" not in asked.body:
        return None
    return refuses(422, {"object": "error", "message": extra("max_completion_tokens")})


def knows_no_stream_options(asked: Asked) -> Script | None:
    if "stream_options" not in asked.body:
        return None
    return refuses(400, error("Unrecognized request argument supplied: stream_options"))


def knows_no_system_role(asked: Asked) -> Script | None:
    said = "Developer instruction is not enabled for models/gemma"
    return refuses(400, [error(said, code=400)]) if has_system(asked) else None


def says_so_in_its_stream(asked: Asked) -> Script | None:
    said = error("System role not supported", type="BadRequestError")
    return stream(event(**said)) if has_system(asked) else None


def does_not_stream(asked: Asked) -> Script | None:
    said = "Streaming is not supported for this model"
    return refuses(400, error(said)) if asked.body["stream"] else None


SERVERS = {
    'max_tokens_field = "max_tokens"': knows_no_cap,
    "stream_options = false": knows_no_stream_options,
    "system_role = false": knows_no_system_role,
    "system_role = false (in a stream)": says_so_in_its_stream,
    "streaming = false": does_not_stream,
}


@pytest.mark.parametrize("setting", SERVERS)
async def test_another_form_is_learnt_once_and_costs_nothing(
    tmp_path: Path, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = SERVERS[setting]

    def answer(asked: Asked) -> Script | None:
        return refusal(asked) if asked.method == "POST" else None

    async with (
        model_server(answer) as peer,
        service(speaks_openai(peer), tmp_path, max_attempts=1, log_level="warning") as client,
    ):
        meeting = await hold(client)
        first_calls = len(peer.calls)
        again = await hold(client)
    assert meeting.texts == ["Ann speaks.", "Bob speaks."] == again.texts
    # Outside `max_attempts`, which is 1 here.
    assert (meeting.faults, again.faults) == ([("unsupported", 0)], [])
    assert (first_calls, len(peer.calls)) == (4, 7)
    assert meeting.status["tokens"]["spent"] == 3 * 320
    assert meeting.status["outcome"]["degraded"] == []
    name = setting.partition(" (")[0]
    assert [name in each.getMessage() for each in caplog.records] == [True]
    assert name in meeting.failed[0]["detail"]
    assert KEY not in caplog.text


async def test_a_server_that_knows_none_of_it_is_asked_in_the_plainest_form(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = (knows_no_cap, knows_no_stream_options, knows_no_system_role, does_not_stream)

    def answer(asked: Asked) -> Script | None:
        if asked.method == "GET":
            return None
        return next((script for each in refusals if (script := each(asked))), None)

    meeting, peer = await held(answer, tmp_path, settings={"max_attempts": 1})
    assert meeting.faults == [("unsupported", 0)] * 4
    assert meeting.texts == ["Ann speaks.", "Bob speaks."]
    body = peer.calls[-1].body
    assert body.keys() == {"model", "messages", "max_tokens", "stream"}
    assert body["stream"] is False
    assert [each["role"] for each in body["messages"]] == ["user"]
    assert "You are Ann." in body["messages"][0]["content"]


async def test_what_is_learnt_is_of_one_model(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Script | None:
        is_old = asked.method == "POST" and model_of(asked) == "old"
        return knows_no_cap(asked) if is_old else None

    ann, bob = two_participants(model="old")
    meeting, peer = await held(answer, tmp_path, participants=[ann, {**bob, "model": "new"}])
    assert meeting.faults == [("unsupported", 0)]
    caps = [(model_of(call), "max_tokens" in call.body) for call in peer.calls]
    assert caps == [("old", False), ("old", True), ("new", False), ("old", True)]


async def test_meetings_that_begin_together_learn_from_one_refusal_each(tmp_path: Path) -> None:
    """Calls that were under way when another one learnt the form are sent again in it."""

    def answer(asked: Asked) -> Script | None:
        return knows_no_cap(asked) if asked.method == "POST" else None

    async with (
        model_server(answer) as peer,
        service(speaks_openai(peer), tmp_path, max_attempts=1) as client,
        anyio.create_task_group() as tasks,
    ):
        ended = []

        async def one_more() -> None:
            ended.append(await hold(client))

        for _ in range(8):
            tasks.start_soon(one_more)
    assert [each.texts for each in ended] == [["Ann speaks.", "Bob speaks."]] * 8
    assert {fault for each in ended for fault in each.faults} <= {("unsupported", 0)}


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (error("max_completion_tokens is too large: 200, maximum 100"), "max_tokens_per_turn"),
        (error("Unknown parameter: 'foo'."), "foo"),
        (error("Invalid value for stream_options: null"), "stream_options = false"),
    ],
)
async def test_a_refusal_that_goes_on_is_rejected_with_a_hint(
    tmp_path: Path, body: Any, hint: str
) -> None:
    def answer(asked: Asked) -> Script | None:
        return refuses(400, body) if asked.method == "POST" else None

    meeting, peer = await held(answer, tmp_path)
    assert meeting.skipped == ["rejected", "rejected"]
    assert hint in meeting.failed[-1]["detail"]
    # A lesson is tried once for the model, not once a turn.
    assert len(peer.calls) <= 5


async def test_a_server_that_takes_neither_name_of_the_cap_is_asked_twice(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Script | None:
        name = "max_tokens" if "max_tokens" in asked.body else "max_completion_tokens"
        return refuses(422, extra(name)) if asked.method == "POST" else None

    meeting, peer = await held(answer, tmp_path)
    assert [fault for fault, _ in meeting.faults[:3]] == ["unsupported", "rejected", "rejected"]
    assert len(peer.calls_of("round-1-ann")) == 2
    assert len(peer.calls_of("round-1-bob")) == 1
    assert "body.max_tokens: " + EXTRA in meeting.failed[1]["detail"]
    assert "check max_tokens_field" in meeting.failed[1]["detail"]


async def test_a_secret_in_a_refusal_is_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(asked: Asked) -> Script | None:
        if asked.method == "GET" or "stream_options" not in asked.body:
            return None
        return refuses(400, error(f"key {KEY}: stream_options is not supported"))

    meeting, _ = await held(answer, tmp_path)
    assert meeting.faults == [("unsupported", 0)]
    assert KEY not in json.dumps(meeting.facts) + caplog.text
