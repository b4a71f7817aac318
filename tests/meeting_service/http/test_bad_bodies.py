"""Bodies that must be refused: 400, naming the field, and nothing stored."""

import json
from typing import Any

import anyio
import pytest

from tests.meeting_service.http.service import BODY, assert_problem, count_events

pytestmark = pytest.mark.anyio

START = "/api/meetings/start"
GUEST = {"id": "guest", "name": "Gail"}


def participants(*participants: Any) -> dict[str, Any]:
    return {"participants": list(participants)}


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("participants", {"participants": None}),
    ("participants", {"participants": "planner"}),
    ("participants", {"participants": {"planner": 1}}),
    ("participants", participants()),
    ("participants", participants("planner")),
    ("participants", participants("planner", "planner")),
    ("participants", participants("planner", {**GUEST, "id": "planner"})),
    ("participants", participants(*({**GUEST, "id": f"guest-{n}"} for n in range(9)))),
    ("participants[1]", participants("planner", 3)),
    ("participants[1]", participants("planner", None)),
    ("participants[0]", participants(["planner"], "dev")),
    ("participants[1].id", participants("planner", {"name": "Gail"})),
    ("participants[1].name", participants("planner", {"id": "guest"})),
    ("participants[1].id", participants("planner", {**GUEST, "id": 7})),
    ("participants[1].id", participants("planner", {**GUEST, "id": ""})),
    ("participants[1].id", participants("planner", {**GUEST, "id": "no spaces"})),
    ("participants[1].id", participants("planner", {**GUEST, "id": "x" * 65})),
    ("participants[1].name", participants("planner", {**GUEST, "name": " "})),
    ("participants[1].name", participants("planner", {**GUEST, "name": "two\nlines"})),
    (
        "participants[1].instructions",
        participants("planner", {**GUEST, "instructions": "x" * 8_001}),
    ),
    ("participants[1].instructions", participants("planner", {**GUEST, "instructions": None})),
    ("participants[1].role", participants("planner", {**GUEST, "role": "a\0b"})),
    ("participants[1].gateway", participants("planner", {**GUEST, "gateway": "elsewhere"})),
    ("participants[1].colour", participants("planner", {**GUEST, "colour": "red"})),
    ("title", {"title": None}),
    ("title", {"title": 3}),
    ("title", {"title": ""}),
    ("title", {"title": "   "}),
    ("title", {"title": "x" * 201}),
    ("title", {"title": "two\nlines"}),
    ("title", {"title": "nul\0"}),
    ("goal", {"goal": ["Decide"]}),
    ("goal", {"goal": "x" * 4_001}),
    ("goal", {"goal": "half \ud800 a pair"}),
    ("room_id", {"room_id": 5}),
    ("room_id", {"room_id": ""}),
    ("room_id", {"room_id": "x" * 201}),
    ("project_id", {"project_id": False}),
    ("project_id", {"project_id": "a\0"}),
    ("num_rounds", {"num_rounds": "3"}),
    ("num_rounds", {"num_rounds": 3.0}),
    ("num_rounds", {"num_rounds": True}),
    ("num_rounds", {"num_rounds": None}),
    ("num_rounds", {"num_rounds": 0}),
    ("num_rounds", {"num_rounds": -1}),
    ("num_rounds", {"num_rounds": 6}),
    ("num_rounds", {"num_rounds": 10**30}),
    ("round_topics", {"num_rounds": 2, "round_topics": ["One"]}),
    ("round_topics", {"round_topics": []}),
    ("round_topics", {"round_topics": "One"}),
    ("round_topics[0]", {"round_topics": [""]}),
    ("round_topics[0]", {"round_topics": [" \t"]}),
    ("round_topics[0]", {"round_topics": ["x" * 501]}),
    ("round_topics[0]", {"round_topics": [1]}),
    ("round_topics[0]", {"round_topics": ["a\udfff"]}),
    ("max_tokens_per_turn", {"max_tokens_per_turn": 31}),
    ("max_tokens_per_turn", {"max_tokens_per_turn": 32_001}),
    ("max_tokens_per_turn", {"max_tokens_per_turn": "200"}),
    ("synthesis_max_tokens", {"synthesis_max_tokens": 0}),
    ("synthesis_max_tokens", {"synthesis_max_tokens": 500.5}),
    ("context_tokens", {"context_tokens": 255}),
    ("context_tokens", {"context_tokens": 1_000_001}),
    ("meeting_tokens", {"meeting_tokens": 100}),
    ("meeting_tokens", {"meeting_tokens": "100000"}),
    ("meeting_tokens", {"meeting_tokens": 1_000_000_001}),
    ("meeting_cost", {"meeting_cost": "1.5"}),
    ("meeting_cost", {"meeting_cost": True}),
    ("meeting_cost", {"meeting_cost": 0}),
    ("meeting_cost", {"meeting_cost": -1.5}),
    ("meeting_cost", {"meeting_cost": 2_000_000}),
    ("meeting_cost", {"meeting_cost": 10**400}),
    ("meeting_cost", {"meeting_cost": 1.5}),
    ("on_budget", {"on_budget": "stop"}),
    ("on_budget", {"on_budget": ""}),
    ("on_budget", {"on_budget": True}),
    ("min_tokens_per_turn", {"min_tokens_per_turn": 0}),
    ("min_tokens_per_turn", {"min_tokens_per_turn": 201}),
    ("min_tokens_per_turn", {"min_tokens_per_turn": 32.0}),
    ("digest_rounds", {"digest_rounds": "yes"}),
    ("digest_rounds", {"digest_rounds": 1}),
    ("synthesizer", {"synthesizer": "qa"}),
    ("synthesizer", {"synthesizer": ""}),
    ("synthesizer", {"synthesizer": ["dev"]}),
    ("participants[1].fallback_models", participants("planner", {**GUEST, "fallback_models": "m"})),
    (
        "participants[1].fallback_models",
        participants("planner", {**GUEST, "fallback_models": ["m"] * 9}),
    ),
    (
        "participants[1].fallback_models[0]",
        participants("planner", {**GUEST, "fallback_models": [1]}),
    ),
    (
        "participants[1].fallback_models[1]",
        participants("dev", {**GUEST, "fallback_models": ["m", ""]}),
    ),
    (
        "participants[1].fallback_models[0]",
        participants("dev", {**GUEST, "fallback_models": ["a\0"]}),
    ),
    ("document_context", {"document_context": {"text": "x"}}),
    ("document_context", {"document_context": "x" * 400_001}),
    ("document_context", {"document_context": "\0"}),
    ("parent_meeting_id", {"parent_meeting_id": "not an id"}),
    ("parent_meeting_id", {"parent_meeting_id": 1}),
    ("numrounds", {"numrounds": 3}),
    ("Title", {"Title": "Upper case"}),
    ("meeting_timeout_seconds", {"meeting_timeout_seconds": 10}),
]

WHOLES = [
    b"",
    b" ",
    b"null",
    b"[]",
    b'"start"',
    b"3",
    b"{",
    b'{"goal": "Decide"',
    b"{'goal': 'Decide'}",
    b'{"goal": "Decide"} x',
    b'{"goal": "bad \xff utf-8"}',
    b'\xef\xbb\xbf{"goal": "a byte order mark"}',
    b'{"num_rounds": NaN}',
    b'{"num_rounds": ' + b"1" * 5_000 + b"}",
    b'{"goal": "control \x01 character"}',
    b"[" * 200_000,
    b'{"a":' * 200_000,
]


async def test_every_bad_field_is_named_and_nothing_is_stored(client, database_url, subtests):
    assert len(CHANGES) >= 40
    for field, changes in CHANGES:
        with subtests.test(field=field, changes=str(changes)[:80]):
            content = json.dumps({**BODY, **changes}).encode()
            problem = assert_problem(await post(client, content), 400, f"{field}:")
            assert field in [each["field"] for each in problem["errors"]]
            assert all(each["detail"] for each in problem["errors"])
    assert await count_events(database_url) == 0


async def test_what_is_no_object_of_json_is_refused_as_a_whole(client, database_url, subtests):
    for content in WHOLES:
        with subtests.test(content=repr(content[:40])):
            problem = assert_problem(await post(client, content), 400, "body:")
            assert [each["field"] for each in problem["errors"]] == ["body"]
    assert await count_events(database_url) == 0


async def test_a_missing_field_is_named(client):
    assert_problem(await post(client, b"{}"), 400, "participants: is missing")


async def test_everything_wrong_is_told_at_once(client):
    body = {"num_rounds": "3", "title": 1, "mood": "good", "goal": "\0"}
    problem = assert_problem(await post(client, json.dumps(body).encode()), 400)
    fields = {each["field"] for each in problem["errors"]}
    assert fields == {"num_rounds", "title", "mood", "goal", "participants"}
    core = {**BODY, "num_rounds": 9, "max_tokens_per_turn": 1}
    problem = assert_problem(await post(client, json.dumps(core).encode()), 400)
    assert {each["field"] for each in problem["errors"]} == {"num_rounds", "max_tokens_per_turn"}


async def test_a_million_wrong_things_are_refused_at_once_in_a_few_words(client, subtests):
    for field, body in (
        ("x0", {f"x{n}": n for n in range(200_000)}),
        ("participants", {**BODY, "participants": ["a"] * 1_000_000}),
        ("round_topics", {**BODY, "round_topics": [""] * 1_000_000}),
        ("participants[0]", {**BODY, "participants": ["a"] * 1_000}),
        ("participants[0]", {**BODY, "participants": [["x"] * 1_000_000]}),
    ):
        with subtests.test(field=field):
            content = json.dumps(body).encode()
            with anyio.fail_after(2):
                answer = await post(client, content)
            assert answer.status_code in (400, 404)
            assert field in [each["field"] for each in answer.json()["errors"]]
            assert len(answer.content) < 20_000


async def test_an_unknown_field_is_told_with_the_one_that_was_meant(client):
    body = {**BODY, "num_round": 3}
    assert_problem(
        await post(client, json.dumps(body).encode()), 400, "num_round:", "did you mean num_rounds?"
    )


async def test_a_word_that_is_none_of_those_taken_is_refused_with_them(client):
    body = json.dumps({**BODY, "on_budget": "stop"}).encode()
    assert_problem(await post(client, body), 400, "on_budget: must be one of wrap_up, pause, fail")


async def test_a_refusal_survives_the_strangest_names(client, subtests):
    for name in ("\ud800", "\0", "x" * 10_000, "", "`", "a`b", "\u202e", '"', "__proto__"):
        with subtests.test(name=ascii(name[:10])):
            for body in ({**BODY, name: 1}, {**BODY, **participants("dev", {**GUEST, name: 1})}):
                answer = await post(client, json.dumps(body).encode())
                assert_problem(answer, 400)
                assert len(answer.content) < 2_000


async def test_of_a_key_written_twice_the_last_counts(client):
    content = b'{"participants": ["planner"], "num_rounds": 1, "participants": ["planner", "dev"]}'
    assert (await post(client, content)).status_code == 201


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", ";"]
)
async def test_a_body_of_another_type_is_415(client, database_url, media_type):
    content = json.dumps(BODY).encode()
    assert_problem(await post(client, content, media_type), 415, "application/json")
    assert await count_events(database_url) == 0


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=1"]
)
async def test_the_type_of_a_body_may_have_parameters_and_capitals(client, media_type):
    content = json.dumps(BODY).encode()
    assert (await post(client, content, media_type)).status_code == 201


async def test_a_body_larger_than_any_meeting_is_413(client, database_url):
    content = json.dumps({**BODY, "document_context": "x" * 8_000_000}).encode()
    assert_problem(await post(client, content), 413)

    async def chunks():
        for start in range(0, len(content), 1_000_000):
            yield content[start : start + 1_000_000]

    assert_problem(await post(client, chunks()), 413)
    assert await count_events(database_url) == 0


async def test_the_largest_document_there_may_be_fits_however_it_is_written(client):
    document = "\U0001f600" * 400_000
    escaped = json.dumps({**BODY, "document_context": document}).encode()
    assert len(escaped) > 4_800_000
    assert (await post(client, escaped)).status_code == 201
    plain = json.dumps({**BODY, "document_context": document}, ensure_ascii=False).encode()
    assert (await post(client, plain)).status_code == 201


async def post(client: Any, content: Any, media_type: str = "application/json") -> Any:
    headers = {"content-type": media_type} if media_type else {}
    return await client.post(START, content=content, headers=headers)
