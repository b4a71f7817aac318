"""What a meeting is convened with, and the bounds an operator sets on it."""

from meeting_core.model.prices import PriceTable
from meeting_core.model.values import (
    AgentId,
    MeetingId,
    OnBudget,
    Participant,
    SpeakingOrder,
    Value,
)

DEFAULT_TITLE = "Team Meeting"
DEFAULT_TOPICS = (
    "What have you been working on?",
    "What will you focus on next?",
    "Any blockers, risks or things you need help with?",
)
MIN_USEFUL_CAP = 32
MIN_CONTEXT = 256
MAX_FALLBACK_MODELS = 8
MAX_COST = 1_000_000.0

MIN_REPLY_BYTES = 1_024
MAX_REPLY_BYTES = 16_777_216
DEFAULT_REPLY_BYTES = 65_536
REPLY_BYTES_PER_TOKEN = 8


class Limits(Value, frozen=True):
    """Upper bounds an operator sets on what may be asked for.

    Units: counts, characters, tokens or seconds, as each name says.
    """

    max_participants: int = 8
    max_rounds: int = 5
    max_topic_characters: int = 500
    max_title_characters: int = 200
    max_goal_characters: int = 4_000
    max_instructions_characters: int = 8_000
    max_document_characters: int = 400_000
    max_tokens_per_turn: int = 32_000
    max_context_tokens: int = 1_000_000
    max_meeting_tokens: int = 1_000_000_000
    max_timeout_seconds: float = 86_400.0


# Stored with its defaults: a default that changes later must not change meetings of the past.
class Configuration(Value, frozen=True, kw_only=True):
    """Everything a meeting is held by; fixed from the moment it is convened.

    Units: tokens, bytes and seconds, as the names say; `meeting_cost` is in the currency of
    `prices`. `turn_timeout_seconds` covers every attempt of one turn and the waits that a provider
    asks for, but no wait for a call slot; `attempt_timeout_seconds` covers one attempt: left out,
    only the turn's time bounds it. An attempt with less than `min_attempt_seconds` of its task's
    time left does not begin. `max_reply_bytes` bounds what is kept of a reply: left out, the
    greater of 64 KiB and 8 bytes for each token of the attempt's cap. Shape: `order` says how the
    speaking order of each round is made: as the participants are listed (`seat`), or with the first
    speaker moving on by one each round (`rotate`). The first participant writes the minutes unless
    a `synthesizer` is named; the others follow in their order when that fails.
    """

    participants: tuple[Participant, ...]
    title: str = DEFAULT_TITLE
    goal: str = ""
    room_id: str | None = None
    project_id: str | None = None
    parent_meeting_id: MeetingId | None = None
    parent_minutes: str = ""
    document_context: str = ""
    num_rounds: int = 3
    round_topics: tuple[str, ...] = ()
    order: SpeakingOrder = "seat"
    max_tokens_per_turn: int = 200
    synthesis_max_tokens: int = 500
    context_tokens: int = 3_500
    meeting_tokens: int | None = None
    meeting_cost: float | None = None
    prices: PriceTable | None = None
    min_tokens_per_turn: int = MIN_USEFUL_CAP
    on_budget: OnBudget = "wrap_up"
    digest_rounds: bool = False
    synthesizer: AgentId | None = None
    max_attempts: int = 3
    attempt_timeout_seconds: float | None = None
    min_attempt_seconds: float = 2.0
    gateway_reconnect_timeout_seconds: float = 60.0
    turn_timeout_seconds: float = 60.0
    synthesis_timeout_seconds: float = 120.0
    meeting_timeout_seconds: float = 3_600.0
    max_reply_bytes: int | None = None
