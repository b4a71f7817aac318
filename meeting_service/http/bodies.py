"""Bodies of requests: their fields, types, defaults and meaning."""

from hashlib import sha256
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import fields

from meeting_core.model import (
    DEFAULT_TITLE,
    MAX_FALLBACK_MODELS,
    MIN_CONTEXT,
    MIN_USEFUL_CAP,
    Configuration,
    Limits,
    OnBudget,
    SpeakingOrder,
)

BYTES_PER_CHARACTER = 12
"""The size of a character that is escaped as two surrogates."""

_DEFAULTS = Configuration(participants=())


def _about(text: str, **bounds: int) -> Meta:
    """Document a field; the core checks its bounds, which an operator may widen."""
    return Meta(description=text, extra_json_schema=dict(bounds))


# Its defaults are left out of a request's digest, so that a field added later changes none.
class ParticipantBody(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A participant that is not in the directory, or differs from it."""

    id: Annotated[str, _about("Letters, digits, `_`, `.` and `-`, 64 at most.")]
    name: Annotated[str, _about("Name shown to people and to the other agents.")]
    role: Annotated[str, _about("What the participant is, in a few words.")] = ""
    instructions: Annotated[str, _about("How it is to think and speak.")] = ""
    model: Annotated[str, _about("Model; the gateway's if left out.")] = ""
    gateway: Annotated[str, _about("Configured gateway; the default one if left out.")] = ""
    fallback_models: Annotated[
        tuple[str, ...],
        _about(
            "Models to go on to, in this order, when the provider rejects one, or, for that turn, "
            "does not serve it at present."
        ),
    ] = ()


class StartBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /api/meetings/start`; null is the same as leaving a field out.

    Units: tokens.
    """

    participants: Annotated[
        tuple[str | ParticipantBody, ...],
        _about(
            "2 to 8, in the first round's speaking order: ids from the directory, or objects.",
            minItems=2,
        ),
    ]
    title: Annotated[str, _about("A single line, 200 characters at most.", minLength=1)] = (
        DEFAULT_TITLE
    )
    goal: Annotated[str, _about("What the meeting is to achieve.")] = ""
    room_id: Annotated[str | None, _about("A room holds one live meeting.")] = None
    project_id: Annotated[str | None, _about("The project it belongs to.")] = None
    num_rounds: Annotated[int, _about("1 to 5.", minimum=1)] = _DEFAULTS.num_rounds
    round_topics: Annotated[
        tuple[str, ...] | None, _about("One for each round; the usual ones if left out.")
    ] = None
    order: Annotated[
        SpeakingOrder,
        _about(
            "How the speaking order of each round is made: as the participants are listed, or with "
            "the first speaker moving on by one each round."
        ),
    ] = _DEFAULTS.order
    max_tokens_per_turn: Annotated[
        int, _about("Most tokens of one turn.", minimum=MIN_USEFUL_CAP)
    ] = _DEFAULTS.max_tokens_per_turn
    synthesis_max_tokens: Annotated[
        int, _about("Most tokens of the closing text.", minimum=MIN_USEFUL_CAP)
    ] = _DEFAULTS.synthesis_max_tokens
    context_tokens: Annotated[
        int, _about("Most tokens an agent is shown for a turn.", minimum=MIN_CONTEXT)
    ] = _DEFAULTS.context_tokens
    meeting_tokens: Annotated[
        int | None, _about("Most tokens the whole meeting may spend; no ceiling if left out.")
    ] = None
    meeting_cost: Annotated[
        float | None,
        _about(
            "Most money the whole meeting may spend, in the currency of the operator's prices; "
            "every model it may use must have one. No ceiling if left out."
        ),
    ] = None
    on_budget: Annotated[
        OnBudget | None,
        _about(
            "What happens when no further turn can be paid for: the minutes are written, the "
            "meeting waits for a higher budget, or it fails. The operator's choice if left out."
        ),
    ] = None
    min_tokens_per_turn: Annotated[
        int | None,
        _about("Least tokens worth a turn; the operator's choice if left out.", minimum=1),
    ] = None
    digest_rounds: Annotated[
        bool | None,
        _about(
            "Whether closed rounds are digested for later briefs; the operator's choice if left "
            "out."
        ),
    ] = None
    synthesizer: Annotated[
        str | None,
        _about("The participant who writes the minutes, by its id; the first if left out."),
    ] = None
    document_context: Annotated[
        str | None, _about("A text put before the meeting, cut to its budget, quoted as data.")
    ] = None
    parent_meeting_id: Annotated[
        UUID | None, _about("A complete meeting whose minutes this one builds on.")
    ] = None

    @property
    def digest(self) -> str:
        """The SHA-256 of the request, whatever its spelling.

        Fields that equal their default are left out, so that a field added later changes no digest.
        """
        requested = {
            known.name: getattr(self, known.name)
            for known in fields(type(self))
            if getattr(self, known.name) != known.default
        }
        return sha256(msgspec.json.encode(requested, order="sorted")).hexdigest()


class CancelBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/meetings/{id}/cancel`; it may be left out."""

    reason: Annotated[str, _about("Why, for the history and the feed.")] = ""


class PauseBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/meetings/{id}/pause` and `resume`; it may be left out."""

    reason: Annotated[str, _about("Why; the history keeps it with a pause.")] = ""


class WrapUpBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/meetings/{id}/wrap-up`: none, or an empty object."""


class RemarkBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/meetings/{id}/remarks`."""

    author: Annotated[str, _about("Who says it.")]
    text: Annotated[str, _about("What is said; later speakers are shown it.")]


class BudgetBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/meetings/{id}/budget`: one new ceiling or both.

    Null keeps a ceiling as it is.
    """

    meeting_tokens: Annotated[
        int | None, _about("Most tokens the whole meeting may spend from now on.", minimum=1)
    ] = None
    meeting_cost: Annotated[
        float | None, _about("Most money it may spend, in the currency of its prices.")
    ] = None


def largest_body_bytes(limits: Limits) -> int:
    """Return the size of the largest meeting's body, all in escapes.

    Units: bytes.
    """
    names = 5 + MAX_FALLBACK_MODELS
    participant = limits.max_instructions_characters + names * limits.max_title_characters
    characters = (
        limits.max_document_characters
        + limits.max_goal_characters
        + limits.max_rounds * limits.max_topic_characters
        + (limits.max_participants + 1) * participant
    )
    return BYTES_PER_CHARACTER * characters
