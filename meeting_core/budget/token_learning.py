"""What the reports of a meeting's calls say about how its models count, script by script.

Nothing here is called while a meeting runs: it is for what is kept between meetings. The result is
recorded in the next `Convened`, so that replay never computes it. Source: ADR 0020.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct

from meeting_core.model.accounting import MAX_BELIEVED_RATIO
from meeting_core.model.events import (
    AttemptFailed,
    AttemptStarted,
    Convened,
    MeetingEvent,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
    TurnCompleted,
)
from meeting_core.model.token_factors import (
    UNCALIBRATED,
    UNKNOWN_MODEL,
    ScriptTokens,
    TokenFactors,
    bounded,
    values_of,
    weighted,
)
from meeting_core.model.values import Usage

MIN_CALLS = 2
MIN_TOKENS = 200
"""How much of a script a meeting must have shown, by our estimate, to say something about it."""

MARGIN = 1.1
"""What is learnt is kept this much above what was seen: languages of one script differ."""

FALL = 2 / 3
MAX_RISE = 1.5
MAX_FALL = 1 / 4
"""Of what one meeting teaches, a lower factor counts for two thirds, and bounds hold either way."""

LOWEST = TokenFactors(
    base=850,
    latin=1_300,
    cyrillic=1_100,
    alphabet=420,
    asian=550,
    hangul=550,
    devanagari=300,
    other=UNKNOWN_MODEL.other,
)
"""The lowest factors that are kept, about what the languages of a script need that a vocabulary of
200,000 words knows least: a meeting in another language of the script must begin safe. Latin has
languages of all kinds, and texts that are no language, such as code; so it hardly falls.
"""

_MAX_DEVIATION = 2.5
"""A report further from the median of its meeting than this is taken for a mistake."""

_NOISE = 0.05
_SPREAD_IF_KNOWN = 0.15
_SPREADS = (0.25, *[0.8] * 7)
"""How far the factors of an unknown model may be from the expected ones: English varies little."""

_SAFETY_OF_START = 1.15

Matrix: TypeAlias = list[list[float]]


class CountedCall(Struct, frozen=True):
    """The estimate of one call's prompt, its parts by script, and what the provider reported.

    Units: tokens.
    """

    tokens: int
    scripts: ScriptTokens
    reported: int


class LearntFactors(Struct, frozen=True):
    """What is kept of a model. `scripts` names the factors that a report or a count stands behind.

    The others are those of an unknown model.
    """

    factors: TokenFactors = UNKNOWN_MODEL
    scripts: tuple[str, ...] = ()

    def over(self, start: TokenFactors) -> TokenFactors:
        """Return the factors to begin with: what was learnt, and `start` for the rest."""
        names = TokenFactors.__struct_fields__
        return TokenFactors(
            *[getattr(self.factors if name in self.scripts else start, name) for name in names]
        )


NOTHING_LEARNT = LearntFactors()


def counted_calls(history: Iterable[MeetingEvent]) -> dict[tuple[str, str], list[CountedCall]]:
    """Return the calls of a meeting whose prompts were reported, by gateway and model."""
    calls: dict[tuple[str, str], list[CountedCall]] = {}
    gateways: dict[str, str] = {}
    started: AttemptStarted | None = None
    for event in history:
        match fact := event.fact:
            case Convened():
                gateways = {each.agent_id: each.gateway for each in fact.configuration.participants}
            case AttemptStarted():
                started = fact
            case (
                AttemptFailed()
                | TurnCompleted()
                | RoundDigested()
                | SynthesisDrafted()
                | SynthesisCompleted()
            ):
                usage = _usage(fact)
                if started is not None and usage is not None and usage.source == "reported":
                    shown = started.manifest
                    call = CountedCall(shown.tokens, shown.scripts, usage.prompt_tokens)
                    key = gateways.get(started.agent_id, ""), started.model
                    calls.setdefault(key, []).append(call)
                started = None
            case _:
                pass
    return calls


def _usage(
    fact: AttemptFailed | TurnCompleted | RoundDigested | SynthesisDrafted | SynthesisCompleted,
) -> Usage | None:
    if isinstance(fact, AttemptFailed):
        return fact.usage
    return None if fact.reply is None else fact.reply.usage


def learnt_from(known: LearntFactors, calls: Sequence[CountedCall]) -> LearntFactors:
    """Return what is known of a model after a meeting with these calls.

    Invariant: no factor falls below a quarter or rises above one and a half of what it was, and
    too few calls, or too little of a script, change nothing.
    """
    believed = _believed(known, calls)
    if len(believed) < MIN_CALLS:
        return known
    names = TokenFactors.__struct_fields__
    shown = [_parts(call) for call in believed]
    seen = _solved(known, believed)
    factors, scripts = values_of(known.factors), list(known.scripts)
    lowest = values_of(LOWEST)
    for index, name in enumerate(names):
        if sum(parts[index] for parts in shown) < MIN_TOKENS:
            continue
        before, after = factors[index], MARGIN * UNCALIBRATED * seen[index]
        if after < before:
            fallen = max(before + FALL * (after - before), MAX_FALL * before)
            after = max(fallen, min(before, lowest[index]))
        factors[index] = round(min(after, MAX_RISE * before))
        if name not in scripts:
            scripts.append(name)
    return LearntFactors(bounded(TokenFactors(*factors)), tuple(scripts))


def _believed(known: LearntFactors, calls: Sequence[CountedCall]) -> list[CountedCall]:
    """Return the calls without those whose reports cannot be true, or are far from the others'."""
    ratios = [
        (call.reported / max(weighted(call.tokens, call.scripts, known.factors), 1), call)
        for call in calls
    ]
    possible = [
        (ratio, call)
        for ratio, call in ratios
        if 1 / MAX_BELIEVED_RATIO <= ratio <= MAX_BELIEVED_RATIO
    ]
    if not possible:
        return []
    middle = sorted([ratio for ratio, _ in possible])[len(possible) // 2]
    return [
        call
        for ratio, call in possible
        if middle / _MAX_DEVIATION <= ratio <= middle * _MAX_DEVIATION
    ]


def _parts(call: CountedCall) -> list[int]:
    """Return the parts of an estimate in the order of the factors, the rest of it first."""
    scripts = values_of(call.scripts)
    return [max(call.tokens - sum(scripts), 0), *scripts]


def _solved(known: LearntFactors, calls: Sequence[CountedCall]) -> list[float]:
    """Return the factors that explain the reports best and are near to what is known.

    Least squares of the relative errors, held to what is known: a script that was hardly shown
    stays where it was.
    """
    size = len(TokenFactors.__struct_fields__)
    matrix: Matrix = [[0.0] * size for _ in range(size)]
    right = [0.0] * size
    for index, (name, factor) in enumerate(
        zip(TokenFactors.__struct_fields__, values_of(known.factors), strict=True)
    ):
        is_known = name in known.scripts
        safety = MARGIN if is_known else _SAFETY_OF_START
        expected = factor / UNCALIBRATED / safety
        spread = expected * (_SPREAD_IF_KNOWN if is_known else _SPREADS[index])
        matrix[index][index] = 1 / spread**2
        right[index] = expected / spread**2
    for call in calls:
        parts = [each / call.reported / _NOISE for each in _parts(call)]
        for row in range(size):
            right[row] += parts[row] / _NOISE
            for column in range(size):
                matrix[row][column] += parts[row] * parts[column]
    return _solution(matrix, right)


def _solution(matrix: Matrix, right: list[float]) -> list[float]:
    """Solve a symmetric positive system by elimination; it needs no pivots."""
    size = len(right)
    for pivot in range(size):
        for row in range(pivot + 1, size):
            share = matrix[row][pivot] / matrix[pivot][pivot]
            for column in range(pivot, size):
                matrix[row][column] -= share * matrix[pivot][column]
            right[row] -= share * right[pivot]
    found = [0.0] * size
    for row in reversed(range(size)):
        rest = sum(matrix[row][column] * found[column] for column in range(row + 1, size))
        found[row] = (right[row] - rest) / matrix[row][row]
    return found
