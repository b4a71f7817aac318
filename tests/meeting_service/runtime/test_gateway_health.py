"""A gateway that does not serve one of its models, and one that serves none: who waits for what."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import anyio
import pytest

from meeting_service.ports import (
    ContextTooLong,
    Empty,
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    ModelUnavailable,
    RateLimited,
    Rejected,
    TimedOut,
    Truncated,
    Unavailable,
)
from meeting_service.runtime.gateway_client import GatewayClient
from meeting_service.runtime.gateway_health import PROBE_COUNTS_SECONDS
from meeting_service.runtime.gateway_probe import MAX_PROBE_SECONDS
from meeting_service.runtime.model_outcomes import ANSWER_COUNTS_SECONDS, AVOIDED_SECONDS
from tests.virtual_time import BACKEND

pytestmark = pytest.mark.anyio

FIRST, SECOND = uuid4(), uuid4()
WHILE_AVOIDED = AVOIDED_SECONDS / 2


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return BACKEND


def down(detail: str = "answered 503") -> Unavailable:
    return Unavailable(detail, is_unreachable=True)


def unserved(detail: str = "answered 503: no available channel for model X") -> Unavailable:
    return Unavailable(detail, is_unreachable=True, names_model=True)


class Provider:
    """A gateway whose models fail as they are told to, and that answers probes unless told not to.

    Shape: `max_probes` is how many probes were under way at once.
    """

    def __init__(self, **faults: Callable[[], GatewayFault]) -> None:
        self.faults = faults
        self.calls: Counter[str] = Counter()
        self.probe_fault: GatewayFault | None = None
        self.probes = self.max_probes = self._probes_under_way = 0
        self.probe_seconds = 0.01
        self.call_seconds = 0.01

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        self.calls[request.model] += 1
        await anyio.sleep(self.call_seconds)
        if request.model in self.faults:
            fault = self.faults[request.model]()
            raise fault
        return GatewayReply("yes", "stop")

    async def probe(self) -> None:
        self.probes += 1
        self._probes_under_way += 1
        self.max_probes = max(self.max_probes, self._probes_under_way)
        try:
            await anyio.sleep(self.probe_seconds)
        finally:
            self._probes_under_way -= 1
        if self.probe_fault is not None:
            raise self.probe_fault

    async def aclose(self) -> None: ...


async def call(client: GatewayClient, model: str, meeting_id: object = FIRST) -> str:
    """Make one call; return what became of it."""
    request = GatewayRequest((), 10, model, 3.0, f"{meeting_id}/round-1-ann/1")
    try:
        await client.call("main", request, lambda _: None)
    except ModelUnavailable as fault:
        # It would be waited for.
        if fault.is_unreachable:
            return "both"
        return "model" if fault.reached else "model, not asked"
    except Unavailable as fault:
        if not fault.is_unreachable:
            return "fault"
        return "gateway, not asked" if "not asked" in fault.detail else "gateway"
    except GatewayFault:
        return "fault"
    return "answer"


async def test_a_model_that_is_named_is_not_waited_for_and_the_others_go_on() -> None:
    provider = Provider(x=unserved)
    client = GatewayClient({"main": provider})
    assert await call(client, "x") == "model"
    assert await call(client, "y", SECOND) == "answer"
    began = anyio.current_time()
    await client.wait_until_reachable("main", FIRST)
    assert anyio.current_time() == began
    assert provider.probes == 0


async def test_two_models_that_are_named_are_both_not_waited_for() -> None:
    client = GatewayClient({"main": Provider(x=unserved, y=unserved)})
    assert [await call(client, model) for model in ("x", "y", "z")] == ["model", "model", "answer"]


async def test_the_first_failure_of_a_gateways_only_model_is_the_gateways() -> None:
    provider = Provider(x=down)
    client = GatewayClient({"main": provider})
    assert await call(client, "x") == "gateway"
    assert await call(client, "y", SECOND) == "gateway, not asked"
    assert provider.probes == 0  # its answer would not change that


async def test_a_meeting_asks_a_server_that_answers_for_another_model_at_once() -> None:
    provider = Provider(x=down)
    client = GatewayClient({"main": provider})
    assert await call(client, "x") == "gateway"
    assert await call(client, "z", SECOND) == "gateway, not asked"
    assert await call(client, "y") == "answer"
    assert await call(client, "z", SECOND) == "answer"


async def test_when_the_other_models_fail_too_the_gateway_is_unreachable() -> None:
    provider = Provider(x=down, y=down, z=down)
    client = GatewayClient({"main": provider})
    assert [await call(client, model) for model in "xyz"] == ["gateway"] * 3
    assert [await call(client, model) for model in "zz"] == ["gateway, not asked"] * 2
    assert await call(client, "v", SECOND) == "gateway, not asked"


async def test_what_could_not_be_connected_to_is_asked_for_no_other_model() -> None:
    provider = Provider(x=lambda: Unavailable("refused", reached=False, is_unreachable=True))
    client = GatewayClient({"main": provider})
    assert await call(client, "x") == "gateway"
    assert await call(client, "y") == "gateway, not asked"


async def test_a_model_that_fails_while_another_answers_is_the_models() -> None:
    provider = Provider(x=down)
    client = GatewayClient({"main": provider})
    assert await call(client, "y") == "answer"
    assert await call(client, "x") == "model"
    assert await call(client, "y", SECOND) == "answer"
    assert provider.probes == 1


async def test_a_gateway_whose_probe_fails_is_unreachable_though_another_model_answered() -> None:
    provider = Provider(x=down)
    provider.probe_fault = down()
    client = GatewayClient({"main": provider})
    assert await call(client, "y") == "answer"
    assert await call(client, "x") == "gateway"
    assert await call(client, "y", SECOND) == "gateway, not asked"


async def test_a_probe_that_gives_no_answer_has_failed() -> None:
    provider = Provider(x=down)
    provider.probe_seconds = 1_000.0
    client = GatewayClient({"main": provider})
    assert await call(client, "y") == "answer"
    began = anyio.current_time()
    assert await call(client, "x") == "gateway"
    assert anyio.current_time() - began == pytest.approx(MAX_PROBE_SECONDS + 0.01)


@pytest.mark.parametrize(("seconds", "expected"), [(29.9, "model"), (40.0, "gateway")])
async def test_how_long_ago_another_model_answered(seconds: float, expected: str) -> None:
    client = GatewayClient({"main": Provider(x=down)})
    assert await call(client, "y") == "answer"
    await anyio.sleep(seconds)
    assert await call(client, "x") == expected
    assert ANSWER_COUNTS_SECONDS == 30.0


async def test_models_that_all_fail_are_the_gateways_whatever_its_probe_says() -> None:
    provider = Provider(x=down)
    client = GatewayClient({"main": provider})
    assert await call(client, "y") == "answer"
    assert await call(client, "x") == "model"
    provider.faults["y"] = down
    assert await call(client, "y") == "gateway"
    assert await call(client, "z", SECOND) == "gateway, not asked"


async def test_models_that_fail_at_the_same_time_do_not_acquit_their_gateway() -> None:
    provider = Provider()
    client = GatewayClient({"main": provider})
    for model in ("x", "y"):
        assert await call(client, model) == "answer"
    provider.faults = {"x": down, "y": down}
    seen: list[str] = []

    async def one(model: str) -> None:
        seen.append(await call(client, model))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, "x")
        tasks.start_soon(one, "y")
    assert seen == ["gateway", "gateway"]


async def test_what_could_not_be_connected_to_is_the_gateways() -> None:
    provider = Provider(x=lambda: Unavailable("refused", reached=False, is_unreachable=True))
    client = GatewayClient({"main": provider})
    assert await call(client, "y") == "answer"
    assert await call(client, "x") == "gateway"
    assert provider.probes == 0


async def test_fifty_that_fail_at_once_are_judged_by_one_probe_and_ask_no_more_at_once() -> None:
    provider = Provider(x=down)
    provider.probe_seconds = PROBE_COUNTS_SECONDS / 2
    client = GatewayClient({"main": provider})
    assert await call(client, "y") == "answer"
    seen: Counter[str] = Counter()

    async def meeting() -> None:
        meeting_id = uuid4()
        seen[await call(client, "x", meeting_id)] += 1
        await anyio.sleep(WHILE_AVOIDED)
        seen[await call(client, "x", meeting_id)] += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(meeting)
    assert (provider.probes, provider.max_probes) == (1, 1)
    assert seen == {"model": 50, "model, not asked": 50}
    assert provider.calls["x"] == 50
    assert await call(client, "y") == "answer"


async def test_a_meetings_own_next_attempt_is_always_asked() -> None:
    provider = Provider(x=unserved)
    client = GatewayClient({"main": provider})
    for _ in range(3):
        assert await call(client, "x") == "model"
        await anyio.sleep(0.5)  # the shortest wait before an attempt
    del provider.faults["x"]
    assert await call(client, "x") == "answer"


async def test_a_model_that_answers_again_is_avoided_no_more() -> None:
    provider = Provider(x=unserved)
    client = GatewayClient({"main": provider})
    provider.call_seconds = WHILE_AVOIDED
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, client, "x")
        await anyio.sleep(WHILE_AVOIDED / 2)
        del provider.faults["x"]
        provider.call_seconds = 0.01
        tasks.start_soon(call, client, "x")
    assert await call(client, "x") == "answer"


async def test_the_log_says_once_which_model_is_not_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = GatewayClient({"main": Provider(x=unserved)})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await call(client, "x") == "model"
            await anyio.sleep(1)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == (
        "gateway main is reachable and does not serve model 'x' at present: "
        "answered 503: no available channel for model X"
    )


ANSWERS = [
    Empty("nothing"),
    Unavailable("broke off", is_unreachable=True, tokens_seen=150),
    Unavailable("overloaded", is_unreachable=True, names_model=True, tokens_seen=1),
    TimedOut("late", tokens_seen=3),
    Truncated("broke off", tokens_seen=3),
]


@pytest.mark.parametrize("fault", ANSWERS, ids=repr)
async def test_a_model_of_which_something_was_seen_has_answered(fault: GatewayFault) -> None:
    provider = Provider(y=lambda: fault, x=down)
    client = GatewayClient({"main": provider})
    await call(client, "y")
    assert await call(client, "z", SECOND) == "answer"
    client = GatewayClient({"main": provider})
    await call(client, "y")
    assert await call(client, "x") == "model"


NO_ANSWERS = [
    RateLimited("later"),
    Rejected("no such model"),
    ContextTooLong("too long"),
    Truncated("broke off before a word"),
    TimedOut("late"),
    Unavailable("answered 500"),
]


@pytest.mark.parametrize("fault", NO_ANSWERS, ids=repr)
async def test_any_other_fault_acquits_no_gateway_and_is_none_of_it(fault: GatewayFault) -> None:
    provider = Provider(y=lambda: fault, x=down)
    client = GatewayClient({"main": provider})
    assert await call(client, "y") == "fault"
    assert await call(client, "z", SECOND) == "answer"
    client = GatewayClient({"main": provider})
    assert await call(client, "y") == "fault"
    assert await call(client, "x") == "gateway"


async def test_a_model_named_by_any_answer_that_it_is_unavailable_is_not_served() -> None:
    fault = Unavailable("answered 500: model x is overloaded", names_model=True)
    client = GatewayClient({"main": Provider(x=lambda: fault)})
    assert await call(client, "x") == "model"


async def test_a_model_that_is_not_served_does_not_end_the_outage_of_the_others() -> None:
    provider = Provider(x=down, y=unserved)
    client = GatewayClient({"main": provider})
    assert await call(client, "x") == "gateway"
    await client.wait_until_reachable("main", FIRST)
    assert await call(client, "y", FIRST) == "model"
    assert await call(client, "z", SECOND) == "gateway, not asked"
    provider.faults.clear()
    await client.wait_until_reachable("main", SECOND)
    assert await call(client, "x", SECOND) == "answer"
    assert await call(client, "z", FIRST) == "answer"


async def test_an_answer_after_an_outage_shows_which_model_it_was() -> None:
    """The model found first took its gateway with it; the next that waits shows that it answers."""
    provider = Provider(x=down)
    client = GatewayClient({"main": provider})
    assert await call(client, "x", FIRST) == "gateway"
    ends: list[tuple[str, float]] = []

    async def wait_and_call(model: str, meeting_id: object) -> None:
        while True:
            await client.wait_until_reachable("main", meeting_id)  # type: ignore[arg-type]
            end = await call(client, model, meeting_id)
            if not end.startswith("gateway"):
                ends.append((f"{model}: {end}", anyio.current_time() - began))
                return

    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_and_call, "x", FIRST)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(wait_and_call, "y", SECOND)
    assert sorted(name for name, _ in ends) == ["x: model", "y: answer"]
    assert max(seconds for _, seconds in ends) < 3


async def test_a_gateway_that_answers_probes_and_no_calls_is_called_after_its_pauses() -> None:
    provider = Provider(x=down, y=down)
    client = GatewayClient({"main": provider})
    with anyio.move_on_after(60):
        async with anyio.create_task_group() as tasks:

            async def go_on(model: str, meeting_id: object) -> None:
                while True:
                    await call(client, model, meeting_id)
                    await client.wait_until_reachable("main", meeting_id)  # type: ignore[arg-type]

            for model in "xy" * 10:
                tasks.start_soon(go_on, model, uuid4())
    assert provider.calls.total() <= 20 + 15  # those under way when it failed, and the trials
    assert provider.max_probes == 1
