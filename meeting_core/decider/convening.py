"""Convening: every rule that a configuration must pass, and the documents cut to their share.

Long because the rules of one value stand in one place.
"""

import re
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from meeting_core.budget.allowance import synthesis_share, synthesis_share_micros
from meeting_core.errors import AlreadyConvened, InvalidConfiguration, Problem
from meeting_core.model.accounting import ModelProfile, price_of
from meeting_core.model.commands import Convene
from meeting_core.model.configuration import (
    DEFAULT_TOPICS,
    MAX_COST,
    MAX_FALLBACK_MODELS,
    MAX_REPLY_BYTES,
    MIN_CONTEXT,
    MIN_REPLY_BYTES,
    MIN_USEFUL_CAP,
    Configuration,
    Limits,
)
from meeting_core.model.events import Convened, Fact
from meeting_core.model.meeting import Meeting
from meeting_core.model.prices import PriceTable
from meeting_core.model.token_factors import (
    UNKNOWN_MODEL,
    ModelFactors,
    TokenFactors,
    bounded,
    highest,
    weighted,
)
from meeting_core.model.values import Participant, clean_text, is_storable
from meeting_core.prompt.prompt_parts import (
    document_scripts,
    document_tokens,
    fixed_scripts,
    fixed_tokens,
)
from meeting_core.prompt.scripts import weighing
from meeting_core.prompt.tokens import TokenCounter, cut_to_tokens, estimate_tokens

DOCUMENT_SHARE = 0.4
MINUTES_SHARE = 0.2

_AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def convene(meeting: Meeting | None, command: Convene, count: TokenCounter) -> tuple[Fact, ...]:
    if meeting is not None:
        raise AlreadyConvened(f"meeting {meeting.id} is convened already")
    checked = _checked(command.configuration, command.limits)
    factors = _starting_factors(checked, command.token_factors, count)
    config = _fitted(checked, highest(tuple(each.factors for each in factors)), count)
    return (
        Convened(
            config,
            command.request_digest,
            document_tokens(config, count),
            document_scripts(config, count),
            factors,
        ),
    )


def _starting_factors(
    config: Configuration, known: tuple[ModelFactors, ...], count: TokenCounter
) -> tuple[ModelFactors, ...]:
    """Return with which factors the models of a meeting begin: what is known, or what is safe.

    An exact counter needs none for a model of which nothing is known.
    """
    by_model = {each.model: bounded(each.factors) for each in known}
    models = dict.fromkeys(
        model for each in config.participants for model in (each.model, *each.fallback_models)
    )
    is_exact = count is not estimate_tokens
    return tuple(
        ModelFactors(model, by_model.get(model, UNKNOWN_MODEL))
        for model in models
        if model in by_model or not is_exact
    )


def _fitted(config: Configuration, factors: TokenFactors, count: TokenCounter) -> Configuration:
    """Cut the quoted documents to their share of the context, as a model with these factors counts.

    Raises: `InvalidConfiguration` when what every brief must hold leaves no room for a meeting.
    """
    bare = replace(config, document_context="", parent_minutes="")
    taken = weighted(fixed_tokens(bare, count), fixed_scripts(bare, count), factors)
    needed = taken + config.max_tokens_per_turn
    if config.context_tokens < needed:
        detail = (
            f"is {config.context_tokens}; goal, topics and instructions take {taken} and one turn "
            f"up to {config.max_tokens_per_turn}, so at least {needed} are needed"
        )
        raise InvalidConfiguration((Problem("context_tokens", detail),))
    room, weigh = config.context_tokens - needed, weighing(count, factors)
    fitted = replace(
        config,
        document_context=cut_to_tokens(config.document_context, int(room * DOCUMENT_SHARE), weigh),
        parent_minutes=cut_to_tokens(config.parent_minutes, int(room * MINUTES_SHARE), weigh),
    )
    quoted_tokens = weighted(
        document_tokens(fitted, count), document_scripts(fitted, count), factors
    )
    turn = taken + quoted_tokens + fitted.min_tokens_per_turn
    if fitted.meeting_tokens is not None:
        _check_tokens(fitted, fitted.meeting_tokens, turn)
    if fitted.meeting_cost is not None:
        _check_cost(fitted, fitted.meeting_cost, turn)
    return fitted


def _check_tokens(config: Configuration, ceiling: int, turn: int) -> None:
    """Refuse a ceiling that cannot pay the synthesis and one round of short turns.

    Units: `turn` is what every turn takes, in tokens.
    """
    min_tokens = synthesis_share(config) + len(config.participants) * turn
    if ceiling < min_tokens:
        detail = (
            f"is {ceiling}; the synthesis's share and one round of short turns, with "
            f"what every brief holds, take {min_tokens}"
        )
        raise InvalidConfiguration((Problem("meeting_tokens", detail),))


def _check_cost(config: Configuration, ceiling: float, turn: int) -> None:
    """Refuse a ceiling in money that cannot pay for the same."""
    prices = {each.agent_id: price_of(config, each.model) for each in config.participants}
    author = prices[config.synthesizer or config.participants[0].agent_id]
    min_output = config.min_tokens_per_turn
    min_micros = (
        synthesis_share_micros(config, ModelProfile(author.model)) if author is not None else 0
    )
    min_micros += sum(
        price.micros(turn - min_output, min_output) for price in prices.values() if price
    )
    if int(ceiling * 1_000_000) < min_micros:
        detail = (
            f"is {ceiling:g}; the synthesis's share and one round of short turns cost "
            f"{min_micros / 1_000_000:g}"
        )
        raise InvalidConfiguration((Problem("meeting_cost", detail),))


def default_topics(num_rounds: int) -> tuple[str, ...]:
    """Return a topic for every round: the three usual ones, then `Round n`."""
    return tuple(
        DEFAULT_TOPICS[n - 1] if n <= len(DEFAULT_TOPICS) else f"Round {n}"
        for n in range(1, num_rounds + 1)
    )


def _checked(config: Configuration, limits: Limits) -> Configuration:
    """Return the configuration with its topics filled in; raise `InvalidConfiguration` naming every
    field that is wrong.
    """
    problems = tuple(_problems(config, limits))
    if problems:
        raise InvalidConfiguration(problems)
    if config.round_topics:
        return config
    return replace(config, round_topics=default_topics(config.num_rounds))


def _problems(config: Configuration, limits: Limits) -> Iterator[Problem]:
    yield from _text_problems(config, limits)
    yield from _participant_problems(config, limits)
    yield from _number_problems(config, limits)
    yield from _price_problems(config)
    yield from _topic_problems(config, limits)
    yield from _timeout_problems(config, limits)


def _text(
    field: str, text: str, max_characters: int, *, one_line: bool = False, is_shown: bool = True
) -> Iterable[Problem]:
    if text.isprintable() and len(text) <= max_characters:
        return ()  # a printable text has none of these faults
    return _text_faults(field, text, max_characters, one_line=one_line, is_shown=is_shown)


def _text_faults(
    field: str, text: str, max_characters: int, *, one_line: bool, is_shown: bool
) -> Iterator[Problem]:
    if not is_storable(text):
        yield Problem(field, "contains a NUL character or a lone surrogate; remove it")
    elif is_shown and clean_text(text)[1]:
        yield Problem(field, "contains a control character; remove it")
    if len(text) > max_characters:
        yield Problem(
            field, f"is {len(text)} characters long; at most {max_characters} are allowed"
        )
    if one_line and len(text.splitlines()) > 1:
        yield Problem(field, "must be a single line")


def _text_problems(config: Configuration, limits: Limits) -> Iterator[Problem]:
    yield from _text("title", config.title, limits.max_title_characters, one_line=True)
    if not config.title.strip():
        yield Problem("title", "must not be empty")
    yield from _text("goal", config.goal, limits.max_goal_characters)
    for field, ident in (("room_id", config.room_id), ("project_id", config.project_id)):
        if ident is not None:
            yield from _text(field, ident, limits.max_title_characters, one_line=True)
            if not ident.strip():
                yield Problem(field, "must not be empty; leave it out instead")
    for field, text in (
        ("document_context", config.document_context),
        ("parent_minutes", config.parent_minutes),
    ):
        yield from _text(field, text, limits.max_document_characters, is_shown=False)


def _participant_problems(config: Configuration, limits: Limits) -> Iterator[Problem]:
    count = len(config.participants)
    if not 2 <= count <= limits.max_participants:
        yield Problem(
            "participants", f"has {count}; a meeting takes 2 to {limits.max_participants}"
        )
    agents = [participant.agent_id for participant in config.participants]
    for agent_id in dict.fromkeys(agents):
        if (times := agents.count(agent_id)) > 1:
            yield Problem("participants", f"names {agent_id!r} {times} times; each may sit once")
    for index, participant in enumerate(config.participants):
        at = f"participants[{index}]"
        if not _AGENT_ID.fullmatch(participant.agent_id):
            yield Problem(
                f"{at}.id",
                "must be 1 to 64 letters, digits, '_', '.' or '-', and begin with no mark",
            )
        short = limits.max_title_characters
        yield from _text(f"{at}.name", participant.name, short, one_line=True)
        if not participant.name.strip():
            yield Problem(f"{at}.name", "must not be empty")
        yield from _text(f"{at}.role", participant.role, short, one_line=True)
        max_characters = limits.max_instructions_characters
        yield from _text(f"{at}.instructions", participant.instructions, max_characters)
        yield from _text(f"{at}.model", participant.model, short, one_line=True)
        yield from _text(f"{at}.gateway", participant.gateway, short, one_line=True)
        yield from _fallback_problems(at, participant, limits)
    if config.synthesizer is not None and config.synthesizer not in agents:
        yield Problem("synthesizer", f"is {config.synthesizer!r}, who is no participant")


def _fallback_problems(at: str, participant: Participant, limits: Limits) -> Iterator[Problem]:
    for n, model in enumerate(participant.fallback_models):
        field = f"{at}.fallback_models[{n}]"
        yield from _text(field, model, limits.max_title_characters, one_line=True)
        if not model.strip():
            yield Problem(field, "must not be empty")
    if len(participant.fallback_models) > MAX_FALLBACK_MODELS:
        problem = f"names more than {MAX_FALLBACK_MODELS} models"
        yield Problem(f"{at}.fallback_models", problem)


def _number_problems(config: Configuration, limits: Limits) -> Iterator[Problem]:
    cap = limits.max_tokens_per_turn
    ranges: list[tuple[str, int, int]] = [
        ("num_rounds", 1, limits.max_rounds),
        ("max_tokens_per_turn", MIN_USEFUL_CAP, cap),
        ("synthesis_max_tokens", MIN_USEFUL_CAP, cap),
        ("context_tokens", MIN_CONTEXT, limits.max_context_tokens),
        ("min_tokens_per_turn", 1, cap),
        ("max_attempts", 1, 10),
        ("max_reply_bytes", MIN_REPLY_BYTES, MAX_REPLY_BYTES),
    ]
    for field, minimum, maximum in ranges:
        value = getattr(config, field)
        if value is not None and not minimum <= value <= maximum:
            yield Problem(field, f"is {value}; it must be between {minimum} and {maximum}")
    turn_cap = config.max_tokens_per_turn
    if MIN_USEFUL_CAP <= turn_cap < config.min_tokens_per_turn <= cap:
        detail = f"is {config.min_tokens_per_turn}, above max_tokens_per_turn, {turn_cap}"
        yield Problem("min_tokens_per_turn", detail)
    if config.meeting_tokens is not None:
        min_tokens = config.context_tokens + config.synthesis_max_tokens + MIN_CONTEXT
        if not min_tokens <= config.meeting_tokens <= limits.max_meeting_tokens:
            yield Problem(
                "meeting_tokens",
                f"is {config.meeting_tokens}; it must be between {min_tokens} (the synthesis's "
                f"context_tokens and synthesis_max_tokens, and one short turn) and "
                f"{limits.max_meeting_tokens}",
            )


def _price_problems(config: Configuration) -> Iterator[Problem]:
    if config.meeting_cost is None:
        return
    if not 0 < config.meeting_cost <= MAX_COST:
        yield Problem(
            "meeting_cost", f"is {config.meeting_cost:g}; it must be above 0, at most {MAX_COST:g}"
        )
    prices = config.prices or PriceTable("none")
    for index, participant in enumerate(config.participants):
        for model in (participant.model, *participant.fallback_models):
            if prices.of(model) is None:
                yield Problem(
                    "meeting_cost",
                    f"cannot be kept: participants[{index}] speaks through the model {model!r}, "
                    "which has no price",
                )


def _topic_problems(config: Configuration, limits: Limits) -> Iterator[Problem]:
    topics = config.round_topics
    if topics and len(topics) != config.num_rounds:
        yield Problem("round_topics", f"has {len(topics)} topics for {config.num_rounds} rounds")
    for index, topic in enumerate(topics):
        field = f"round_topics[{index}]"
        yield from _text(field, topic, limits.max_topic_characters)
        if not topic.strip():
            yield Problem(field, "must not be empty")


def _timeout_problems(config: Configuration, limits: Limits) -> Iterator[Problem]:
    max_seconds = limits.max_timeout_seconds
    names = (
        "attempt_timeout_seconds",
        "turn_timeout_seconds",
        "synthesis_timeout_seconds",
        "meeting_timeout_seconds",
        "gateway_reconnect_timeout_seconds",
    )
    given = {name: getattr(config, name) for name in names}
    wrong = [
        name for name, value in given.items() if value is not None and not 0 < value <= max_seconds
    ]
    for name in wrong:
        yield Problem(
            name, f"is {getattr(config, name)}; it must be above 0, at most {max_seconds:g}"
        )
    min_seconds = config.min_attempt_seconds
    if not 0 <= min_seconds <= max_seconds:
        yield Problem(
            "min_attempt_seconds", f"is {min_seconds}; it must be between 0 and {max_seconds:g}"
        )
    digests = config.num_rounds - 1 if config.digest_rounds else 0
    turns = config.num_rounds * len(config.participants) + digests
    needed = turns * config.turn_timeout_seconds + config.synthesis_timeout_seconds
    attempt, turn = config.attempt_timeout_seconds, config.turn_timeout_seconds
    if not wrong and attempt is not None and attempt > turn:
        detail = (
            f"is {attempt:g}, longer than a whole turn may take (turn_timeout_seconds): {turn:g}"
        )
        yield Problem("attempt_timeout_seconds", detail)
    if not wrong and needed > config.meeting_timeout_seconds:
        yield Problem(
            "meeting_timeout_seconds",
            f"is {config.meeting_timeout_seconds:g}, but {turns} turns of "
            f"{config.turn_timeout_seconds:g} s and a synthesis of "
            f"{config.synthesis_timeout_seconds:g} s may take {needed:g} s",
        )
