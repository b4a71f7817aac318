"""`POST /api/meetings/start`: what it takes, what it answers, what it refuses."""

import re
from pathlib import Path
from uuid import UUID, uuid4

import anyio
import pytest

from meeting_core import Limits
from meeting_service.settings import (
    AgentSettings,
    ModelPriceSettings,
    OpenAICompatibleGateway,
    PriceList,
    ScriptedGateway,
)
from tests.meeting_service.http import contract
from tests.meeting_service.http.service import (
    BODY,
    STALLED,
    assert_problem,
    count_events,
    served,
    settings_for,
)

pytestmark = pytest.mark.anyio

START = "/api/meetings/start"
GUEST = {"id": "guest", "name": "Gail Guest", "role": "Guest", "instructions": "Ask why."}
MODELS = {"big": (2.5, 10.0), "small": (0.25, 1.0), "unused": (1.0, 1.0)}
PRICES = PriceList(
    version="2026-11",
    models={
        name: ModelPriceSettings(prompt=prompt, completion=completion)
        for name, (prompt, completion) in MODELS.items()
    },
)


async def test_a_start_is_answered_at_once_with_every_field_of_the_contract(stalled):
    answer = await stalled.post(START, json=BODY)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    started = answer.json()
    assert started.keys() >= contract.STARTED
    assert UUID(started["id"]).version == 4
    assert started["title"] == "Team Meeting"
    assert started["state"] == "gathering"
    assert [
        participant.keys() >= contract.PARTICIPANT for participant in started["participants"]
    ] == [True, True]
    assert [
        (participant["agent_id"], participant["sort_order"])
        for participant in started["participants"]
    ] == [
        ("planner", 0),
        ("dev", 1),
    ]
    assert started["config"].keys() >= contract.CONFIG
    assert re.fullmatch(contract.TIME, started["created_at"])
    assert started["stream_url"] == f"/api/meetings/{started['id']}/events"


async def test_a_started_meeting_runs_to_its_end(client):
    status = await client.ended(await client.start())
    assert status["state"] == "complete"


async def test_what_is_left_out_has_its_default(client):
    answer = await client.post(START, json={"participants": ["planner", "dev"]})
    config = answer.json()["config"]
    assert config["num_rounds"] == 3
    assert config["round_topics"] == [
        "What have you been working on?",
        "What will you focus on next?",
        "Any blockers, risks or things you need help with?",
    ]
    assert (config["max_tokens_per_turn"], config["synthesis_max_tokens"]) == (200, 500)
    assert (config["context_tokens"], config["meeting_tokens"]) == (3_500, None)


async def test_null_is_the_same_as_leaving_a_field_out(client):
    nothing = dict.fromkeys(
        (
            "room_id",
            "project_id",
            "round_topics",
            "meeting_tokens",
            "meeting_cost",
            "on_budget",
            "min_tokens_per_turn",
            "digest_rounds",
            "synthesizer",
            "document_context",
            "parent_meeting_id",
        )
    )
    status = await client.ended(await client.start(**nothing))
    assert (status["room_id"], status["parent_meeting_id"]) == (None, None)


async def test_everything_asked_for_is_what_the_meeting_is_held_by(client):
    asked = {
        "title": "Sprint planning",
        "goal": "Choose",
        "room_id": "blue",
        "project_id": "atlas",
        "participants": ["dev", GUEST],
        "num_rounds": 2,
        "round_topics": ["First things", "Last things"],
        "max_tokens_per_turn": 150,
        "synthesis_max_tokens": 300,
        "context_tokens": 2_000,
        "meeting_tokens": 50_000,
        "on_budget": "pause",
        "min_tokens_per_turn": 50,
        "digest_rounds": True,
        "synthesizer": "guest",
        "document_context": "The release is on Friday.",
    }
    facts = await client.facts(await client.start(**asked))
    config = facts[0]["data"]["configuration"]
    for name in asked.keys() - {"participants"}:
        assert config[name] == asked[name], name
    assert [participant["agent_id"] for participant in config["participants"]] == ["dev", "guest"]
    guest = config["participants"][1]
    assert (guest["name"], guest["role"]) == ("Gail Guest", "Guest")
    assert (guest["instructions"], guest["gateway"]) == ("Ask why.", "scripted")


async def test_an_object_may_sit_in_for_an_agent_of_the_directory(client):
    started = (
        await client.post(START, json={**BODY, "participants": ["dev", {**GUEST, "id": "planner"}]})
    ).json()
    assert [participant["name"] for participant in started["participants"]] == [
        "Devi Developer",
        "Gail Guest",
    ]


async def test_the_operator_sets_attempts_and_timeouts(database_url: str, tmp_path: Path) -> None:
    times = {
        "attempt_timeout_seconds": 15.0,
        "turn_timeout_seconds": 20.0,
        "synthesis_timeout_seconds": 30.0,
        "gateway_reconnect_timeout_seconds": 5.0,
    }
    settings = settings_for(
        database_url, tmp_path, max_attempts=2, meeting_timeout_seconds=600.0, **times
    )
    async with served(settings) as client:
        config = (await client.post(START, json=BODY)).json()["config"]
        assert config["max_attempts"] == 2
        assert config["meeting_timeout_seconds"] == 600.0
        assert {name: config[name] for name in times} == times


async def test_the_operators_budget_policy_holds_where_a_start_says_nothing(
    database_url: str, tmp_path: Path
) -> None:
    policy = {"on_budget": "fail", "min_tokens_per_turn": 64, "digest_rounds": True}
    async with served(settings_for(database_url, tmp_path, **policy)) as client:
        config = (await client.post(START, json=BODY)).json()["config"]
        assert {name: config[name] for name in policy} == policy
        own = {"on_budget": "wrap_up", "min_tokens_per_turn": 40, "digest_rounds": False}
        config = (await client.post(START, json={**BODY, **own})).json()["config"]
        assert {name: config[name] for name in own} == own
        short = {**BODY, "max_tokens_per_turn": 50}
        config = (await client.post(START, json=short)).json()["config"]
        assert config["min_tokens_per_turn"] == 50


async def test_a_meeting_keeps_the_prices_of_the_models_that_may_speak(
    database_url: str, tmp_path: Path
) -> None:
    agents = {"ada": AgentSettings(model="big", fallback_models=("small",)), "bob": AgentSettings()}
    settings = settings_for(database_url, tmp_path, agents=agents, prices=PRICES)
    async with served(settings) as client:
        body = {**BODY, "participants": ["ada", {**GUEST, "model": "small"}]}
        config = (await client.post(START, json={**body, "meeting_cost": 2})).json()["config"]
        assert config["meeting_cost"] == 2.0
        assert config["prices"] == {
            "version": "2026-11",
            "currency": "USD",
            "models": [
                {"model": "big", "prompt": 2.5, "completion": 10.0},
                {"model": "small", "prompt": 0.25, "completion": 1.0},
            ],
        }
        assert (await client.post(START, json=body)).json()["config"]["prices"]["models"]
        unpriced = {**BODY, "participants": ["ada", "bob"], "meeting_cost": 2}
        problem = assert_problem(
            await client.post(START, json=unpriced), 400, "meeting_cost", "participants[1]"
        )
        assert [each["field"] for each in problem["errors"]] == ["meeting_cost"]


async def test_the_fallback_models_of_a_participant_are_kept(
    database_url: str, tmp_path: Path
) -> None:
    agents = {"ada": AgentSettings(model="big", fallback_models=("small",))}
    async with served(settings_for(database_url, tmp_path, agents=agents)) as client:
        guest = {**GUEST, "fallback_models": ["m2", "m3"]}
        facts = await client.facts(await client.start(participants=["ada", guest]))
        ada, gail = facts[0]["data"]["configuration"]["participants"]
        assert (ada["fallback_models"], gail["fallback_models"]) == (["small"], ["m2", "m3"])


async def test_a_meeting_too_long_for_the_operators_time_is_refused_by_what_a_client_can_change(
    database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path, meeting_timeout_seconds=300.0)
    async with served(settings) as client:
        answer = await client.post(START, json={**BODY, "num_rounds": 3})
        problem = assert_problem(answer, 400, "num_rounds", "300")
        assert [each["field"] for each in problem["errors"]] == ["num_rounds"]


async def test_the_operators_limits_count(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, tmp_path, limits=Limits(max_rounds=7, max_participants=2))
    async with served(settings) as client:
        assert (await client.post(START, json={**BODY, "num_rounds": 7})).status_code == 201
        three = {**BODY, "participants": ["planner", "dev", "qa"]}
        assert_problem(await client.post(START, json=three), 400, "participants")


async def test_an_unknown_agent_is_404_and_named(client, database_url):
    body = {**BODY, "participants": ["planner", "nobody", "no-one"]}
    problem = assert_problem(
        await client.post(START, json=body), 404, "participants[1]", "nobody", "no-one", "planner"
    )
    assert [each["field"] for each in problem["errors"]] == ["participants[1]", "participants[2]"]
    assert await count_events(database_url) == 0


async def test_an_object_needs_a_gateway_that_is_there_and_a_model(
    database_url: str, tmp_path: Path
) -> None:
    gateways = {
        "scripted": ScriptedGateway(),
        "remote": OpenAICompatibleGateway(base_url="http://127.0.0.1:9/v1"),
    }
    settings = settings_for(database_url, tmp_path, gateways=gateways, default_gateway="scripted")
    async with served(settings) as client:
        for changes, field in (
            ({"gateway": "elsewhere"}, "participants[1].gateway"),
            ({"gateway": "remote"}, "participants[1].model"),
        ):
            body = {**BODY, "participants": ["dev", {**GUEST, **changes}]}
            problem = assert_problem(await client.post(START, json=body), 400, field)
            assert problem["errors"][0]["field"] == field


async def test_the_minutes_of_the_parent_become_context(client):
    parent = await client.start(goal="Prepare")
    await client.ended(parent)
    child = await client.start(parent_meeting_id=parent)
    config = (await client.facts(child))[0]["data"]["configuration"]
    assert config["parent_meeting_id"] == parent
    assert config["parent_minutes"].startswith("# Team Meeting")
    assert (await client.ended(child))["parent_meeting_id"] == parent


async def test_a_parent_must_be_there_and_complete(stalled):
    unknown = str(uuid4())
    body = {**BODY, "parent_meeting_id": unknown}
    assert_problem(await stalled.post(START, json=body), 404, "parent_meeting_id", unknown)
    live = await stalled.start()
    body = {**BODY, "parent_meeting_id": live}
    assert_problem(await stalled.post(START, json=body), 409, "parent_meeting_id", "round_1")


async def test_a_room_holds_one_live_meeting(stalled):
    holder = await stalled.start(room_id="blue")
    refused = await stalled.post(START, json={**BODY, "room_id": "blue"})
    problem = assert_problem(refused, 409, "blue", holder)
    assert problem["meeting_id"] == holder
    await stalled.start(room_id="green")
    await stalled.start()
    await stalled.post(f"/api/meetings/{holder}/cancel")
    await stalled.start(room_id="blue")


async def test_of_many_that_want_a_room_at_once_one_gets_it(stalled):
    statuses: list[int] = []

    async def start() -> None:
        answer = await stalled.post(START, json={**BODY, "room_id": "blue"})
        statuses.append(answer.status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(start)
    assert sorted(statuses) == [201, *[409] * 19]


async def test_more_meetings_than_the_service_takes_are_429(
    database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path, gateways=STALLED, max_live_meetings=2)
    async with served(settings) as client:
        first = await client.start()
        await client.start()
        refused = await client.post(START, json=BODY)
        assert_problem(refused, 429, "2 meetings")
        assert int(refused.headers["retry-after"]) > 0
        await client.post(f"/api/meetings/{first}/cancel")
        await client.start()


async def test_a_directory_of_ones_own_is_what_meetings_choose_from(
    database_url: str, tmp_path: Path
) -> None:
    agents = {
        "ada": AgentSettings(name="Ada", role="Analyst", instructions="Count.", model="m1"),
        "bob": AgentSettings(),
    }
    async with served(settings_for(database_url, tmp_path, agents=agents)) as client:
        assert (await client.get("/api/agents")).json() == {
            "agents": [
                {
                    "id": "ada",
                    "name": "Ada",
                    "role": "Analyst",
                    "gateway": "scripted",
                    "model": "m1",
                },
                {"id": "bob", "name": "bob", "role": "", "gateway": "scripted", "model": ""},
            ]
        }
        assert await client.start(participants=["bob", "ada"])
        assert_problem(await client.post(START, json=BODY), 404, "planner")
