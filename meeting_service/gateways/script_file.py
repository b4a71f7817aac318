"""Reads a script for the scripted gateway: what to reply, and which calls to fail.

A file, TOML or JSON by its ending, holds `replies` and `faults`, each a list. An entry may name
the calls it is for: `task` ("turn" or "synthesis"), `agent`, `round`, `attempt`; what it leaves
out matches every call.

    replies = ["a text for the first call that no other entry is for", "one for the second"]

    [[replies]]
    agent = "dev"
    round = 2
    text = "I will rehearse the migration."

    [[faults]]
    agent = "dev"
    round = 2
    attempt = 1
    kind = "unavailable"
    retry_after_seconds = 1

TOML cannot mix texts and tables in one list written in two ways; use `[[replies]]` throughout
there, or one inline list.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from meeting_core.model import FaultClass, ReportedUsage
from meeting_service.text_input import UnreadableText, read_text

Read = TypeVar("Read")
FaultKind: TypeAlias = Literal[
    "rate_limited",
    "unavailable",
    "timed_out",
    "context_too_long",
    "refused",
    "rejected",
    "truncated",
    "empty",
    "unsupported",
    "stalled",
]
"""The classes of faults, and `stalled`: no answer at all until the call's time is over."""

_Ordinal: TypeAlias = Annotated[int, Meta(ge=1)]
_Count: TypeAlias = Annotated[int, Meta(ge=0)]
_FAULT_KEY = re.compile(
    r"(?:round-(?P<round>\d+)-(?P<agent>[^/]+)|synthesis)(?:/(?P<attempt>\d+))?"
)
_PROBLEM = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<key>.*)`)?", re.DOTALL)


class ScriptError(ValueError):
    """A script cannot be used; the text is one line that names the file and the key."""


class Call(Struct, frozen=True):
    """A call, as its key names it. `round_num` is 0 for a synthesis."""

    task: Literal["turn", "synthesis"]
    agent: str
    round_num: int
    attempt: int


class _Selecting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls an entry is for."""

    task: Literal["turn", "synthesis"] | None = None
    agent: str | None = None
    round: _Ordinal | None = None
    attempt: _Ordinal | None = None

    @property
    def is_for_any(self) -> bool:
        return (self.task, self.agent, self.round, self.attempt) == (None, None, None, None)

    def matches(self, call: Call) -> bool:
        return (
            self.task in {None, call.task}
            and self.agent in {None, call.agent}
            and self.round in {None, call.round_num}
            and self.attempt in {None, call.attempt}
        )


class PlannedReply(_Selecting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text to answer with.

    Units: tokens. The counts of prompt and completion are made up from the texts where they are
    left out, and missing where `unreported` names them. `ignores_cap` lets the text be longer than
    the call allows, as a provider that breaks its word would. `thought` is what the model thought
    before the text; its tokens are reported beside the completion only as `reasoning_tokens` says.
    """

    text: str
    finish_reason: str = "stop"
    ignores_cap: bool = False
    thought: str = ""
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    total_tokens: _Count | None = None
    reasoning_tokens: _Count = 0
    unreported: tuple[Literal["prompt", "completion"], ...] = ()


class PlannedFault(_Selecting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that fails.

    Units: seconds, words, tokens. `after_words` of the reply, and thoughts of
    `after_thought_tokens`, come before the fault; token counts, if given, are reported with it.
    `reached` false says that the provider never saw the call, `is_unreachable` that none can.
    """

    kind: FaultKind
    retry_after_seconds: Annotated[float, Meta(ge=0)] | None = None
    after_words: _Count = 0
    after_thought_tokens: _Count = 0
    reached: bool = True
    is_unreachable: bool = False
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    reasoning_tokens: _Count = 0

    @property
    def usage(self) -> ReportedUsage | None:
        if not (self.prompt_tokens or self.completion_tokens or self.reasoning_tokens):
            return None
        return ReportedUsage(
            self.prompt_tokens, self.completion_tokens, reasoning_tokens=self.reasoning_tokens
        )


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """What to reply, and which calls to fail. A bare text is a reply for any call."""

    replies: tuple[str | PlannedReply, ...] = ()
    faults: tuple[PlannedFault, ...] = ()

    @property
    def planned_replies(self) -> tuple[PlannedReply, ...]:
        return tuple(PlannedReply(text=r) if isinstance(r, str) else r for r in self.replies)


def load_script(path: Path) -> Script:
    """Return the script in a file.

    Raises: `ScriptError`.
    """
    try:
        content = read_text(path)
    except OSError as error:
        raise ScriptError(f"{path}: cannot be read: {error.strerror}") from error
    except UnreadableText as error:
        raise ScriptError(f"{path}: {error}") from error
    try:
        raw = tomllib.loads(content) if path.suffix == ".toml" else msgspec.json.decode(content)
    except (tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        raise ScriptError(f"{path}: {error}") from error
    return _read(raw, Script, str(path))


def faults_by_task(faults: Mapping[str, FaultClass]) -> tuple[PlannedFault, ...]:
    """Plan faults by task: `round-1-dev`, `synthesis`, or `round-1-dev/1` for one attempt of it.

    Raises: `ScriptError`.
    """
    return tuple(_fault_at(key, kind) for key, kind in faults.items())


def _fault_at(key: str, kind: FaultClass) -> PlannedFault:
    match = _FAULT_KEY.fullmatch(key)
    if match is None:
        raise ScriptError(f"faults: {key!r} is no call; write round-1-dev, synthesis or .../1")
    fault: dict[str, Any] = {"kind": kind.value}
    if match["attempt"]:
        fault["attempt"] = int(match["attempt"])
    if match["agent"]:
        fault |= {"task": "turn", "agent": match["agent"], "round": int(match["round"])}
    else:
        fault["task"] = "synthesis"
    return _read(fault, PlannedFault, f"faults: {key!r}")


def _read(raw: object, shape: type[Read], source: str) -> Read:
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        match = _PROBLEM.fullmatch(str(error))
        key = match["key"] if match else None
        reason = match["reason"] if match else str(error)
        raise ScriptError(f"{source}: {key + ': ' if key else ''}{reason}") from error
