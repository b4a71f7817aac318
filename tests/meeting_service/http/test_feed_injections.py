"""The bytes of real feeds of meetings in which everything said and configured is hostile."""

import json
import re
from uuid import UUID

import httpx2
import pytest
from msgspec.structs import replace

from tests.injections import INJECTIONS, configured_with, held_with
from tests.meeting_service.http.feed_server import events_of, feed_server

pytestmark = pytest.mark.anyio

BLOCK = re.compile(rb"id: (\d+)\nevent: (meeting-[a-z-]+)\ndata: (\{[^\r\n]*\})")
KINDS = {"meeting-started": 1, "meeting-turn-start": 4, "meeting-turn": 4, "meeting-complete": 1}


async def test_every_block_of_a_hostile_feed_is_one_event_of_ours():
    async with feed_server() as server:
        for number, injection in enumerate(INJECTIONS):
            meeting_id = UUID(int=9_000 + number)
            config = configured_with(injection.text)
            events = held_with(config, injection.text, injection.text)[0].events
            await server.world.store(
                *(replace(event, originator_id=meeting_id) for event in events)
            )
            body = (await server.client.get(events_of(meeting_id))).content
            opening, *blocks = body.removesuffix(b"\n\n").split(b"\n\n")
            assert opening == b": feed\nretry: 2000"
            found = [BLOCK.fullmatch(block) for block in blocks]
            assert None not in found, injection.name
            names = [match[2].decode() for match in found if match]
            assert {name: names.count(name) for name in KINDS} == KINDS
            assert b"\r" not in body
            response = httpx2.Response(
                200,
                headers={"content-type": "text/event-stream"},
                content=body,
                request=httpx2.Request("GET", "http://meetings.example"),
            )
            # The client hands out blocks without data too, which a browser drops.
            read = [event for event in httpx2.EventSource(response) if event.data]
            assert [(event.id.encode(), event.event) for event in read] == [
                (match[1], match[2].decode()) for match in found if match
            ]
            for event in read:
                data = json.loads(event.data)
                assert (data["meeting_id"], data["version"]) == (str(meeting_id), int(event.id))
