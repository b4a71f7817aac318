"""Ceilings hold though models do their worst and the process is killed with -9 again and again."""

import random
from collections import Counter
from typing import Any

import anyio
import pytest

from meeting_core import fold, rebuild_brief
from meeting_core.model import AttemptAbandoned, AttemptFailed, AttemptStarted
from tests.crash.world import World
from tests.ledger import assert_within_ceiling
from tests.meeting_core.choices import seeded
from tests.model_peer import MINUTES, Speech

pytestmark = pytest.mark.anyio

KILLS = 4
LATEST_CALL = 7
TIMEOUT_SECONDS = 10.0
SETTINGS = """\
max_attempts = 4

[prices]
version = "1"

[prices.models."peer"]
prompt = 1.5
completion = 6.0
"""
MEETINGS: list[dict[str, object]] = [
    {"meeting_tokens": 5_000},
    {"meeting_tokens": 6_000, "on_budget": "fail"},
    {"meeting_tokens": 8_000, "digest_rounds": True},
    {"meeting_tokens": 30_000, "max_tokens_per_turn": 64},
    {"meeting_cost": 0.012},
    {"meeting_cost": 0.02, "digest_rounds": True},
    {"meeting_cost": 0.1, "meeting_tokens": 20_000},
    {"meeting_tokens": 60_000, "digest_rounds": True, "num_rounds": 3},
]


class WorstModel:
    """Answers each call in a way of its own, the same whenever it is asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.met: Counter[str] = Counter()

    def __call__(self, call_key: str, body: dict[str, Any]) -> Speech:
        self.calls += 1
        draw = seeded(self.calls)
        cap = int(body["max_completion_tokens"])
        text = f"{MINUTES if '/synthesis/' in call_key else f'I say, in {call_key}:'}\n"
        long_text = text + "word " * (3 * cap)
        prompt = sum(len(message["content"]) for message in body["messages"]) // 4
        answers = {
            "keeps to the rules": Speech(text, (prompt, cap)),
            "passes its cap": Speech(long_text, (prompt, 4 * cap), "length"),
            "reports nothing": Speech(long_text, None, "length"),
            "reports ten times the truth": Speech(text, (10 * prompt, 10 * cap)),
            "reports zero": Speech(text, (0, 0)),
            "fails after billing": Speech(text, (prompt, cap), "content_filter"),
            "answers nothing": Speech("", (prompt, cap) if draw(2) else None),
            "fails": Speech("", status=500),
            "asks to wait": Speech("", status=429, retry_after_seconds=0.1),
            "is unreachable": Speech("", status=503),
        }
        name = "keeps to the rules" if draw(2) else tuple(answers)[draw(len(answers))]
        self.met[name] += 1
        return answers[name]


async def kill_at_call(world: World, number: int) -> None:
    """Kill the service when the model is asked for that time from now, or when nobody asks."""
    fatal = len(world.peer.seen) + number
    is_due = anyio.Event()

    async def kill(call_key: str) -> None:
        await world.check_intent(call_key)
        if len(world.peer.seen) >= fatal and not is_due.is_set():
            world.service.kill()
            is_due.set()

    world.peer.before_reply = kill
    with anyio.move_on_after(TIMEOUT_SECONDS):
        await is_due.wait()
    world.service.kill()
    await world.service.ended()
    world.peer.before_reply = world.check_intent


async def test_ceilings_hold_under_kills_and_the_worst_of_models(world: World) -> None:
    chance = random.Random(11)
    model = world.peer.answer = WorstModel()
    world.service = world.new_service(SETTINGS)
    await world.service.start()
    held = anyio.Event()
    world.peer.before_reply = lambda _: held.wait()
    meeting_ids = [await world.convene(**fields) for fields in MEETINGS]
    for _ in range(KILLS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill_at_call, world, chance.randint(1, LATEST_CALL))
            held.set()
        await world.service.start()
    lost, failed = 0, 0
    for meeting_id in meeting_ids:
        await world.ended(meeting_id)
        history = await world.history(meeting_id)
        assert fold(history).has_ended
        spent = assert_within_ceiling(history)
        assert spent.tokens > 0
        facts = [event.fact for event in history]
        lost += sum(isinstance(fact, AttemptAbandoned) for fact in facts)
        failed += sum(isinstance(fact, AttemptFailed) for fact in facts)
        for fact in facts:
            if isinstance(fact, AttemptStarted):
                assert rebuild_brief(history, fact).digest == fact.digest
    assert lost >= KILLS
    assert failed > 0
    assert len(model.met) >= 8, model.met
