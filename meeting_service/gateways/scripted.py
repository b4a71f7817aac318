"""A gateway without a model: deterministic replies, delays and faults, for demos and tests."""

import os
import re
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import assert_never

import anyio
from msgspec.structs import replace

from meeting_core.model import ReportedUsage
from meeting_core.prompt import estimate_tokens
from meeting_service.gateways.bounded_text import BoundedText
from meeting_service.gateways.script_file import (
    Call,
    FaultKind,
    PlannedFault,
    PlannedReply,
    Script,
)
from meeting_service.gateways.scripted_speech import (
    chosen,
    read_scene,
    share,
    synthesis_text,
    turn_text,
)
from meeting_service.ports import (
    ContextTooLong,
    Empty,
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    RateLimited,
    Refused,
    Rejected,
    TimedOut,
    Truncated,
    Unavailable,
    Unsupported,
)

CHARACTERS_PER_TOKEN = 4
MAX_BYTES_PER_CHARACTER = 4
"""In UTF-8."""
RANDOM_KINDS: tuple[FaultKind, ...] = (
    "rate_limited",
    "unavailable",
    "timed_out",
    "truncated",
    "empty",
)
_CLASSES: dict[FaultKind, type[GatewayFault]] = {
    "rate_limited": RateLimited,
    "unavailable": Unavailable,
    "timed_out": TimedOut,
    "stalled": TimedOut,
    "context_too_long": ContextTooLong,
    "refused": Refused,
    "rejected": Rejected,
    "truncated": Truncated,
    "empty": Empty,
    "unsupported": Unsupported,
}
_WORD = re.compile(r"\s*\S+\s*")
_CALL_KEY = re.compile(r"(?:round-(?P<round>\d+)-(?P<agent>[^/]+)|synthesis)/(?P<attempt>\d+)\Z")


class Scripted:
    """A gateway that makes its replies up, or takes them from a script.

    Made-up replies depend on the seed, the task and the brief only, so a restart repeats them.
    Replies of the script that are for any call are taken in the order of calls, from the first
    again after the last. Units: seconds, words. With `words_per_delta` 0 a reply comes in one
    piece. `fault_probability` makes that share of all calls fail, chosen by seed and call key.
    While there is an `unreachable_file`, the gateway is unreachable.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        script: Script | None = None,
        faults: Sequence[PlannedFault] = (),
        fault_probability: float = 0.0,
        delay_seconds: float = 0.0,
        chunk_delay_seconds: float = 0.0,
        words_per_delta: int = 1,
        reports_usage: bool = True,
        unreachable_file: Path | None = None,
    ) -> None:
        script = script or Script()
        replies = script.planned_replies
        self._seed = seed
        self._replies = tuple(reply for reply in replies if not reply.is_for_any)
        self._in_order = tuple(reply for reply in replies if reply.is_for_any)
        self._taken = 0
        self._faults = (*faults, *script.faults)
        self._fault_probability = fault_probability
        self._delay_seconds = delay_seconds
        self._chunk_delay_seconds = chunk_delay_seconds
        self._words_per_delta = words_per_delta
        self._reports_usage = reports_usage
        self._unreachable_file = unreachable_file

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        """Make one call, and pass the text to `on_delta` as it comes.

        Raises: a `GatewayFault`, and nothing else.
        """
        call = _call_of(request)
        with anyio.move_on_after(request.timeout_seconds):
            # Also without a delay, so that a cancellation or a timeout can take effect.
            await anyio.sleep(self._delay_seconds)
            self._check_reachable()
            if (fault := self._fault_for(call, request)) is not None:
                await self._fail(fault, call, request, on_delta)
            reply = self._reply(call, request)
            await self._speak(reply.text, on_delta)
            return reply
        raise TimedOut(f"scripted: no complete answer within {request.timeout_seconds:g} s")

    async def probe(self) -> None:
        """Return, unless an outage is being played.

        Raises: `Unavailable`.
        """
        await anyio.lowlevel.checkpoint()
        self._check_reachable()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""

    def _check_reachable(self) -> None:
        # Unlike a path's own, this `exists` raises nothing if the folder may not be read.
        if self._unreachable_file is not None and os.path.exists(self._unreachable_file):
            detail = (
                f"scripted: unreachable, as long as there is a file {self._unreachable_file.name}"
            )
            raise Unavailable(detail, reached=False, is_unreachable=True)

    def _fault_for(self, call: Call, request: GatewayRequest) -> PlannedFault | None:
        for fault in self._faults:
            if fault.matches(call):
                return fault
        key = f"{self._seed}/fault/{request.call_key}"
        if self._fault_probability and share(key) < self._fault_probability:
            return PlannedFault(kind=chosen(RANDOM_KINDS, f"{key}/kind"))
        return None

    async def _fail(
        self,
        fault: PlannedFault,
        call: Call,
        request: GatewayRequest,
        on_delta: Callable[[str], None],
    ) -> None:
        tokens_seen = fault.after_thought_tokens
        if fault.after_words:
            planned = next((reply.text for reply in self._replies if reply.matches(call)), None)
            words = _WORD.findall(planned or self._made_up(call, request))
            said = "".join(words[: fault.after_words])
            said = BoundedText(request.max_reply_bytes).add(said)
            tokens_seen += estimate_tokens(said)
            await self._speak(said, on_delta)
        if fault.kind == "stalled":
            await anyio.sleep_forever()
        raise _CLASSES[fault.kind](
            f"scripted: {fault.kind.replace('_', ' ')}, as planned for {_named(call)}",
            retry_after_seconds=fault.retry_after_seconds,
            usage=fault.usage if self._reports_usage else None,
            reached=fault.reached,
            is_unreachable=fault.is_unreachable,
            tokens_seen=tokens_seen,
        )

    def _reply(self, call: Call, request: GatewayRequest) -> GatewayReply:
        planned = self._planned(call)
        if planned is None:
            planned = PlannedReply(text=self._made_up(call, request))
        text, finish_reason = planned.text, planned.finish_reason
        if not planned.ignores_cap:
            text = _within(text, request.output_tokens)
            finish_reason = finish_reason if text == planned.text else "length"
        if not text.strip():
            raise Empty(f"scripted: an empty reply, as planned for {_named(call)}")
        usage = self._usage(planned, text, request) if self._reports_usage else None
        kept = text
        if MAX_BYTES_PER_CHARACTER * len(text) > request.max_reply_bytes:
            kept = BoundedText(request.max_reply_bytes).add(text)
        return GatewayReply(
            kept,
            finish_reason,
            request.model or "scripted",
            usage,
            planned.thought,
            estimate_tokens(planned.thought),
            is_truncated=kept != text,
        )

    def _planned(self, call: Call) -> PlannedReply | None:
        for reply in self._replies:
            if reply.matches(call):
                return reply
        if not self._in_order:
            return None
        self._taken += 1
        return self._in_order[(self._taken - 1) % len(self._in_order)]

    def _made_up(self, call: Call, request: GatewayRequest) -> str:
        scene = read_scene(request.messages, call.agent, call.round_num)
        match call.task:
            case "turn":
                return turn_text(scene, self._seed, f"round-{call.round_num}-{call.agent}")
            case "synthesis":
                return synthesis_text(scene, self._seed, request.output_tokens)
            case _:
                assert_never(call.task)

    def _usage(self, planned: PlannedReply, text: str, request: GatewayRequest) -> ReportedUsage:
        prompt: int | None
        completion: int | None
        prompt, completion = planned.prompt_tokens, planned.completion_tokens
        if prompt is None:
            characters = sum(len(message.content) for message in request.messages)
            prompt = max(1, characters // CHARACTERS_PER_TOKEN)
        if completion is None:
            completion = max(1, ceil(len(text) / CHARACTERS_PER_TOKEN))
            if not planned.ignores_cap:
                completion = min(completion, request.output_tokens)
        return ReportedUsage(
            None if "prompt" in planned.unreported else prompt,
            None if "completion" in planned.unreported else completion,
            planned.total_tokens,
            planned.reasoning_tokens,
        )

    async def _speak(self, text: str, on_delta: Callable[[str], None]) -> None:
        size = self._words_per_delta
        if not size:
            on_delta(text)
            return
        words = _WORD.findall(text) or [text]
        for start in range(0, len(words), size):
            if start and self._chunk_delay_seconds:
                await anyio.sleep(self._chunk_delay_seconds)
            on_delta("".join(words[start : start + size]))


def _within(text: str, output_tokens: int) -> str:
    """Cut a text where a model would run into its cap, between words if it can be."""
    while (tokens := estimate_tokens(text)) > output_tokens and len(text) > 1:
        kept = text[: len(text) * output_tokens // tokens]
        text = kept[: max(kept.rfind(" "), 0)] or kept[:-1] or text[:1]
    return text


def _call_of(request: GatewayRequest) -> Call:
    call = read_call(request.call_key)
    if call.task == "turn":
        return call
    # Only the brief names the author of the minutes.
    return replace(call, agent=read_scene(request.messages, "", 0).speaker.agent_id)


def read_call(call_key: str) -> Call:
    """Return the call that a key names; an unknown key is a first turn without an agent."""
    match = _CALL_KEY.search(call_key)
    if match is None:
        return Call("turn", "", 1, 1)
    if match["agent"] is None:
        return Call("synthesis", "", 0, int(match["attempt"]))
    return Call("turn", match["agent"], int(match["round"]), int(match["attempt"]))


def _named(call: Call) -> str:
    if call.task == "synthesis":
        return f"{call.agent} in the synthesis, attempt {call.attempt}"
    return f"{call.agent or 'no agent'} in round {call.round_num}, attempt {call.attempt}"
