"""The OpenAPI document and the page made of it."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from meeting_service.http.application import describe
from meeting_service.http.openapi_page import render_page
from meeting_service.http.problems import PROBLEM_TYPES

DOCUMENT = describe()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]


def test_every_call_of_the_contract_is_described() -> None:
    assert sorted(name for name, _ in OPERATIONS) == [
        "GET /api/agents",
        "GET /api/events",
        "GET /api/meetings",
        "GET /api/meetings/history",
        "GET /api/meetings/{meeting_id}/events",
        "GET /api/meetings/{meeting_id}/history",
        "GET /api/meetings/{meeting_id}/output",
        "GET /api/meetings/{meeting_id}/spending",
        "GET /api/meetings/{meeting_id}/status",
        "GET /api/quarantine",
        "GET /health/live",
        "GET /health/ready",
        "POST /api/meetings/start",
        "POST /api/meetings/{meeting_id}/budget",
        "POST /api/meetings/{meeting_id}/cancel",
        "POST /api/meetings/{meeting_id}/pause",
        "POST /api/meetings/{meeting_id}/release",
        "POST /api/meetings/{meeting_id}/remarks",
        "POST /api/meetings/{meeting_id}/resume",
        "POST /api/meetings/{meeting_id}/wrap-up",
    ]


def test_describing_twice_gives_the_same() -> None:
    assert describe() == DOCUMENT


def test_bodies_refuse_unknown_fields_and_say_so() -> None:
    bodies = ("StartBody", "ParticipantBody", "CancelBody", "PauseBody", "WrapUpBody", "BudgetBody")
    bodies = (*bodies, "RemarkBody")
    for name in bodies:
        assert SCHEMAS[name]["additionalProperties"] is False
    assert SCHEMAS["StartBody"]["required"] == ["participants"]


def test_every_error_is_described_as_a_problem_document() -> None:
    problem = {"$ref": "#/components/schemas/ProblemDocument"}
    for name, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert answer["content"] == {"application/problem+json": {"schema": problem}}, name
    statuses = {name: set(operation["responses"]) for name, operation in OPERATIONS}
    assert statuses["POST /api/meetings/start"] == {
        *("201", "400", "404", "409", "413", "415", "422", "429", "503")
    }
    assert statuses["GET /api/meetings/{meeting_id}/events"] == {"200", "204", "400", "404", "503"}
    assert statuses["GET /api/meetings/{meeting_id}/output"] == {"200", "404", "409", "503"}


def test_every_reference_leads_somewhere_and_every_shape_is_referred_to() -> None:
    prefix = "#/components/schemas/"
    referred = set(re.findall(rf'"{prefix}(\w+)"', json.dumps(DOCUMENT)))
    assert referred == set(SCHEMAS)


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert all(operation["description"] for _, operation in OPERATIONS)


class Links(HTMLParser):
    """Finds what a page refers to and what it can be referred by."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given: dict[str, Any] = dict(attrs)
        assert not given.keys() & {"src", "onclick", "onload", "style"}
        if "id" in given:
            self.ids.append(given["id"])
        if "href" in given:
            self.links.add(given["href"])


def test_the_page_needs_nothing_from_elsewhere_and_all_its_links_lead_somewhere() -> None:
    page = render_page(DOCUMENT)
    links = Links()
    links.feed(page)
    assert not links.tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert len(set(links.ids)) == len(links.ids)
    inside = {link.removeprefix("#") for link in links.links if link.startswith("#")}
    assert inside <= set(links.ids)
    assert {link for link in links.links if not link.startswith("#")} == {"/openapi.json"}


def test_every_type_of_problem_has_its_place_on_the_page() -> None:
    links = Links()
    links.feed(render_page(DOCUMENT))
    for kind in PROBLEM_TYPES:
        path, _, anchor = kind.uri.partition("#")
        assert path == "/docs"
        assert anchor in links.ids


def test_the_page_escapes_what_it_shows() -> None:
    document = json.loads(json.dumps(DOCUMENT))
    document["info"]["title"] = "<script>"
    assert "<script>" not in render_page(document)


@pytest.mark.anyio
async def test_a_running_service_serves_both(client):
    answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT
    page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == render_page(DOCUMENT)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
