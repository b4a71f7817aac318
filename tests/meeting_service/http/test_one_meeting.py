"""Status, output and cancel of one meeting."""

import re
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from meeting_core.model import FaultClass
from meeting_service.settings import ScriptedGateway
from tests.meeting_service.http import contract
from tests.meeting_service.http.service import (
    BODY,
    PROBLEM,
    TIMEOUT_SECONDS,
    assert_problem,
    served,
    settings_for,
)

pytestmark = pytest.mark.anyio

COMMANDS = ("cancel", "pause", "resume", "wrap-up")
TIMES = ("created_at", "started_at", "completed_at", "cancelled_at")


async def test_the_speaking_order_of_a_round_is_the_starts_choice(client):
    answer = await client.post(
        "/api/meetings/start", json={**BODY, "order": "rotate", "num_rounds": 2}
    )
    status = await client.ended(answer.json()["id"])
    assert (answer.json()["config"]["order"], status["order"]) == ("rotate", "rotate")
    spoke = [[turn["agent_id"] for turn in held["turns"]] for held in status["rounds"]]
    assert spoke == [["planner", "dev"], ["dev", "planner"]]
    assert status["allowed_actions"] == []


async def test_the_status_of_a_complete_meeting_has_every_field_of_the_contract(client):
    asked = {"title": "Sync", "room_id": "blue", "project_id": "atlas", "num_rounds": 2}
    status = await client.ended(await client.start(**asked, meeting_tokens=60_000))
    assert status.keys() >= contract.STATUS
    assert all(participant.keys() >= contract.PARTICIPANT for participant in status["participants"])
    assert all(held.keys() >= contract.ROUND for held in status["rounds"])
    turns = [turn for held in status["rounds"] for turn in held["turns"]]
    assert all(turn.keys() >= contract.TURN for turn in turns)
    assert status["tokens"].keys() >= contract.TOKENS
    assert {name: status[name] for name in ("title", "goal", "room_id", "project_id")} == {
        "title": "Sync",
        "goal": "Decide",
        "room_id": "blue",
        "project_id": "atlas",
    }
    assert status["state"] == "complete"
    assert (status["current_round"], status["current_turn"]) == (2, 0)
    assert (status["total_rounds"], status["total_participants"]) == (2, 2)
    assert status["progress_pct"] == 100
    assert [held["status"] for held in status["rounds"]] == ["complete", "complete"]
    assert [turn["agent_id"] for turn in turns] == ["planner", "dev"] * 2
    assert all(turn["response"] and turn["skipped_reason"] is None for turn in turns)
    assert all(turn["usage_source"] == "reported" for turn in turns)
    assert status["output_md"].startswith("# Sync\n")
    saved = await anyio.Path(status["output_path"]).read_text()
    assert saved == status["output_md"]
    assert status["outcome"] == {
        "ended_by": "agenda",
        "degraded": [],
        "author": "planner",
        "silent": [],
        "partial_rounds": [],
        "silent_rounds": [],
        "overrun_tokens": 0,
    }
    assert not any(turn["is_cut"] for turn in turns)
    assert [held["digest"] for held in status["rounds"]] == [None, None]
    assert status["waiting"] is None
    assert status["spending"] == {
        "useful_tokens": status["tokens"]["spent"],
        "wasted_tokens": 0,
        "by_source": {"reported": status["tokens"]["spent"], "estimated": 0, "unknown": 0},
    }
    assert (status["error_message"], status["cancelled_at"]) == (None, None)
    spent = sum(turn["prompt_tokens"] + turn["response_tokens"] for turn in turns)
    assert 0 < spent < status["tokens"]["spent"]
    assert status["tokens"]["reserved"] == 0
    assert status["tokens"]["left"] == 60_000 - status["tokens"]["spent"]
    assert status["tokens"]["cost"] is None
    assert all(re.fullmatch(contract.TIME, status[name]) for name in TIMES[:3])
    assert status["created_at"] <= status["started_at"] <= status["completed_at"]
    assert status["version"] == len(await client.facts(status["id"]))


async def test_the_status_of_a_live_meeting_says_whose_turn_it_is(stalled):
    status = await stalled.status(await stalled.start(num_rounds=2))
    assert status["state"] == "round_1"
    assert (status["current_round"], status["current_turn"]) == (1, 1)
    assert status["current_agent_id"] == "planner"
    assert [held["status"] for held in status["rounds"]] == ["in_progress", "pending"]
    assert status["rounds"][0]["topic"] == "What have you been working on?"
    assert status["tokens"]["reserved"] > 0
    assert status["tokens"]["left"] is None
    assert (status["output_md"], status["output_path"], status["outcome"]) == (None, None, None)
    assert (status["completed_at"], status["cancelled_at"]) == (None, None)


async def test_the_status_of_a_failed_meeting_says_why(database_url: str, tmp_path: Path) -> None:
    faults = {f"round-1-{agent}": FaultClass.REJECTED for agent in ("planner", "dev")}
    settings = settings_for(
        database_url, tmp_path, gateways={"scripted": ScriptedGateway(faults=faults)}
    )
    async with served(settings) as client:
        status = await client.ended(await client.start())
        assert status["state"] == "error"
        assert status["error_reason"] == "nobody_spoke"
        assert status["error_message"].startswith("nobody_spoke: rejected")
        turn = status["rounds"][0]["turns"][0]
        assert (turn["response"], turn["skipped_reason"]) == (None, "rejected")
        assert status["rounds"][0]["status"] == "skipped"
        assert (status["current_turn"], status["completed_at"]) == (0, None)
        answer = await client.get(f"/api/meetings/{status['id']}/output")
        assert_problem(answer, 409, "error")


async def test_the_output_is_there_when_the_meeting_is_complete(client):
    meeting_id = await client.start(goal="Write it down")
    status = await client.ended(meeting_id)
    output = (await client.get(f"/api/meetings/{meeting_id}/output")).json()
    assert output.keys() >= contract.OUTPUT
    assert output == {name: status[name] for name in ("id", "output_md", "output_path", "outcome")}


async def test_a_live_meeting_has_no_output_yet(stalled):
    answer = await stalled.get(f"/api/meetings/{await stalled.start()}/output")
    assert_problem(answer, 409, "round_1")


async def test_a_cancel_aborts_the_call_under_way_and_keeps_what_is_finished(stalled):
    meeting_id = await stalled.start()
    with anyio.fail_after(1):
        answer = await stalled.post(f"/api/meetings/{meeting_id}/cancel")
        status = await stalled.ended(meeting_id)
    assert answer.status_code == 200
    cancelled = answer.json()
    assert cancelled.keys() >= contract.CANCELLED
    assert (cancelled["id"], cancelled["state"]) == (meeting_id, "cancelled")
    assert re.fullmatch(contract.TIME, cancelled["cancelled_at"])
    assert (status["state"], status["cancelled_at"]) == ("cancelled", cancelled["cancelled_at"])
    assert (status["completed_at"], status["current_turn"]) == (None, 0)
    assert status["rounds"][0]["status"] == "skipped"
    assert status["tokens"]["reserved"] == 0
    assert status["tokens"]["spent"] > 0
    with anyio.fail_after(TIMEOUT_SECONDS):
        while (await stalled.get("/health/live")).json()["running_meetings"]:
            await anyio.lowlevel.checkpoint()


async def test_a_repeated_cancel_is_answered_with_the_same_bytes(stalled):
    path = f"/api/meetings/{await stalled.start()}/cancel"
    first = await stalled.post(path)
    again = await stalled.post(path)
    assert (again.status_code, again.content) == (200, first.content)


async def test_cancels_at_once_are_all_answered_alike(stalled):
    path = f"/api/meetings/{await stalled.start()}/cancel"
    answers = []

    async def cancel() -> None:
        answers.append(await stalled.post(path))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(cancel)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


async def test_a_meeting_that_ended_otherwise_is_not_cancelled(client):
    meeting_id = await client.start()
    await client.ended(meeting_id)
    assert_problem(await client.post(f"/api/meetings/{meeting_id}/cancel"), 409, "complete")
    assert (await client.status(meeting_id))["state"] == "complete"


async def test_the_reason_of_a_cancel_is_kept(stalled):
    meeting_id = await stalled.start()
    await stalled.post(f"/api/meetings/{meeting_id}/cancel", json={"reason": "too early"})
    last = (await stalled.facts(meeting_id))[-1]
    assert (last["name"], last["data"]) == ("meeting.cancelled.v1", {"reason": "too early"})
    assert last["actor"] == "http"


async def test_a_cancel_with_a_bad_body_cancels_nothing(stalled):
    meeting_id = await stalled.start()
    path = f"/api/meetings/{meeting_id}/cancel"
    assert_problem(await stalled.post(path, json={"reason": 1}), 400, "reason:")
    assert_problem(await stalled.post(path, json={"reason": "a\0"}), 400, "reason:")
    assert_problem(await stalled.post(path, json={"why": "x"}), 400, "why:")
    assert_problem(await stalled.post(path, content=b"reason=x"), 415)
    assert (await stalled.status(meeting_id))["state"] == "round_1"


async def test_a_meeting_that_is_not_there_is_404(client, subtests):
    for meeting_id in (str(uuid4()), "history", "1", "%00", "a" * 500, "%2e%2e", "%ff"):
        for part in ("status", "spending", "output", "history", *COMMANDS):
            with subtests.test(meeting_id=meeting_id, part=part):
                method = "POST" if part in COMMANDS else "GET"
                answer = await client.request(method, f"/api/meetings/{meeting_id}/{part}")
                assert answer.status_code == 404
                assert answer.json()["detail"]
                assert answer.headers["content-type"] == PROBLEM


async def test_every_turn_of_a_running_meeting_shows_at_once(client):
    meeting_id = await client.start(**{**BODY, "participants": ["qa", "dev", "planner"]})
    await client.wait_for(meeting_id, "meeting-turn")
    assert (await client.status(meeting_id))["rounds"][0]["turns"]
