"""The settings: each with its type, default, bounds and meaning.

Long because all of them stand here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr, replace

from meeting_core.model import (
    MAX_REPLY_BYTES,
    MIN_REPLY_BYTES,
    Limits,
    OnBudget,
    Participant,
    PriceTable,
)
from meeting_service.settings.gateways import (
    Count,
    Delay,
    GatewaySettings,
    RemoteGateway,
    ScriptedGateway,
    Seconds,
)
from meeting_service.settings.price_list import PriceList

DEFAULT_FILE = Path("meetings.toml")


class SettingsError(Exception):
    """A setting is wrong; the text is one line that says where, what and what to do."""


class DatabaseUrl(str):
    """A PostgreSQL URL whose `repr` hides the password."""

    __slots__ = ()

    @property
    def redacted(self) -> str:
        """Return the URL without its secrets, even where they are not encoded as they should be."""
        scheme, separator, rest = self.partition("://")
        account, at, place = rest.rpartition("@")
        user, colon, _ = account.partition(":")
        shown = f"{user}:***" if colon else user
        # A query may carry a password too, and so may what only looks like a place.
        place, query, _ = place.partition("?")
        return f"{scheme}{separator}{shown}{at}{place}" + ("?***" if query else "")

    def __repr__(self) -> str:
        return repr(self.redacted)


class AgentSettings(Struct, frozen=True, kw_only=True):
    """One agent of the directory."""

    name: Annotated[str, Meta(description="Name shown to people; the id if left out.")] = ""
    role: Annotated[str, Meta(description="What the agent is, in a few words.")] = ""
    instructions: Annotated[str, Meta(description="How the agent is to think and speak.")] = ""
    gateway: Annotated[
        str, Meta(description="Gateway it speaks through; `default_gateway` if left out.")
    ] = ""
    model: Annotated[str, Meta(description="Model; the gateway's if left out.")] = ""
    fallback_models: Annotated[
        tuple[str, ...],
        Meta(
            description="Models to go on to, in this order, when the provider rejects one, or, for "
            "that turn, does not serve it at present."
        ),
    ] = ()


DEFAULT_AGENTS: dict[str, AgentSettings] = {
    "planner": AgentSettings(
        name="Pat Planner",
        role="Product planner",
        instructions="Keep the goal in sight: scope, order of work, dates, who waits for whom.",
    ),
    "dev": AgentSettings(
        name="Devi Developer",
        role="Software developer",
        instructions="Say what it takes to build, what is risky, and what the simplest way is.",
    ),
    "design": AgentSettings(
        name="Dana Designer",
        role="Product designer",
        instructions="Speak for the people who will use it: what they see, miss and misunderstand.",
    ),
    "qa": AgentSettings(
        name="Quinn Tester",
        role="Quality engineer",
        instructions="Ask how it fails, how we would notice, and what proves that it is done.",
    ),
}


class Settings(Struct, frozen=True, kw_only=True):
    """Every setting, with its default.

    Units: those in the names. Shape: `gateways` and `agents` are keyed by their ids.
    """

    database_url: Annotated[
        DatabaseUrl | None,
        Meta(description="PostgreSQL server (`postgresql://...`); left out, an embedded one runs."),
    ] = None
    direct_database_url: Annotated[
        DatabaseUrl | None,
        Meta(
            description="The same database without a pooler, where `database_url` leads through "
            "one in transaction mode: for appends, notifications, leases and the schema."
        ),
    ] = None
    data_dir: Annotated[
        Path | None,
        Meta(description="Folder of the embedded database; left out, in the user's state folder."),
    ] = None
    output_dir: Annotated[Path, Meta(description="Folder that minutes are written to.")] = Path(
        "minutes"
    )
    host: Annotated[str, Meta(description="Address the service listens on.", min_length=1)] = (
        "127.0.0.1"
    )
    port: Annotated[
        int, Meta(description="Port the service listens on; 0 picks a free one.", ge=0, le=65_535)
    ] = 8080
    url: Annotated[
        str | None,
        Meta(description="Where client commands find the service; left out, at `host` and `port`."),
    ] = None
    root_path: Annotated[
        str,
        Meta(
            description="Path prefix under which a proxy offers the service (`/meetings`), whether "
            "or not it strips it; links in answers begin with it."
        ),
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses and networks of proxies whose `X-Forwarded-Prefix` is believed; "
            "in the environment, separated by commas."
        ),
    ] = ()
    recovery: Annotated[
        Literal["resume", "fail"],
        Meta(description="What happens on start to meetings that a dead process left unfinished."),
    ] = "resume"
    max_live_meetings: Annotated[
        Count, Meta(description="Meetings that may be under way at once; more are refused (429).")
    ] = 1_000
    max_calls_at_once: Annotated[
        Count | None,
        Meta(
            description="Calls to models under way at once, of one process and all its gateways "
            "together; more wait. Else no bound."
        ),
    ] = None
    lease_seconds: Annotated[
        float,
        Meta(
            description="How long a silent process keeps its meetings from others.",
            ge=1,
            le=86_400,
        ),
    ] = 4.0
    drain_seconds: Annotated[Delay, Meta(description="How long the service may take to stop.")] = (
        10.0
    )
    max_attempts: Annotated[
        int, Meta(description="Calls to a gateway for one turn, the first included.", ge=1, le=10)
    ] = 3
    attempt_timeout_seconds: Annotated[
        Seconds | None,
        Meta(
            description="One call for a turn or a digest; left out, only the turn's time bounds it."
        ),
    ] = None
    min_attempt_seconds: Annotated[
        Delay,
        Meta(description="An attempt with less than this left of its turn's time does not begin."),
    ] = 2.0
    max_reply_bytes: Annotated[
        Annotated[int, Meta(ge=MIN_REPLY_BYTES, le=MAX_REPLY_BYTES)] | None,
        Meta(
            description="Text kept of one reply, as UTF-8; the rest is cut off. Left out, the "
            "greater of 64 KiB and 8 bytes for each token of the reply's cap."
        ),
    ] = None
    turn_timeout_seconds: Annotated[
        Seconds,
        Meta(
            description="One turn, with every attempt of it and every wait that a provider asks "
            "for; a wait for a call slot is not counted."
        ),
    ] = 60.0
    synthesis_timeout_seconds: Annotated[
        Seconds, Meta(description="The closing call, with the same attempts and waits.")
    ] = 120.0
    meeting_timeout_seconds: Annotated[Seconds, Meta(description="A whole meeting.")] = 3_600.0
    gateway_reconnect_timeout_seconds: Annotated[
        Seconds,
        Meta(description="How long a meeting waits for an unreachable gateway before it gives up."),
    ] = 60.0
    missing_gateway_timeout_seconds: Annotated[
        Seconds,
        Meta(
            description="How long a meeting waits for a gateway that no running process has "
            "before it fails; only time in which some process runs without it counts."
        ),
    ] = 86_400.0
    on_budget: Annotated[
        OnBudget,
        Meta(
            description="What a meeting does when it can pay for no further turn, unless its start "
            "says otherwise: write the minutes, wait for a higher budget, or fail."
        ),
    ] = "wrap_up"
    min_tokens_per_turn: Annotated[
        Count,
        Meta(
            description="Least tokens worth a turn, unless a meeting's start says otherwise: "
            "what pays for less counts as no budget."
        ),
    ] = 32
    digest_rounds: Annotated[
        bool,
        Meta(
            description="Whether each closed round is digested for later briefs, which takes one "
            "more call a round, unless a meeting's start says otherwise."
        ),
    ] = False
    token_counter: Annotated[
        Literal["estimate", "tiktoken"],
        Meta(description="How tokens are counted: by an estimate, or by a true vocabulary."),
    ] = "estimate"  # noqa: S105  # these tokens are no secrets
    token_vocabulary: Annotated[
        str, Meta(description="Vocabulary that tiktoken counts by; its file must be here already.")
    ] = "o200k_base"  # noqa: S105
    ping_seconds: Annotated[
        float, Meta(description="Longest silence on a feed; it may be 15 at most.", gt=0, le=15)
    ] = 15.0
    send_timeout_seconds: Annotated[
        Seconds, Meta(description="How long a feed waits for a client that does not read.")
    ] = 30.0
    poll_seconds: Annotated[
        Seconds, Meta(description="How often to look for events when no notification comes.")
    ] = 1.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severity logged.")
    ] = "info"
    default_gateway: Annotated[
        str,
        Meta(description="Gateway of agents that name none; left out, the only one configured."),
    ] = ""
    limits: Limits = Limits()
    prices: PriceList | None = None
    gateways: Mapping[str, GatewaySettings] = field(
        default_factory=lambda: {"scripted": ScriptedGateway()}
    )
    agents: Mapping[str, AgentSettings] = field(default_factory=lambda: dict(DEFAULT_AGENTS))

    def __post_init__(self) -> None:
        if not self.default_gateway and len(self.gateways) == 1:
            force_setattr(self, "default_gateway", next(iter(self.gateways)))

    @property
    def participants(self) -> tuple[Participant, ...]:
        """The agents as participants, each with its gateway and model filled in."""
        return tuple(
            self.with_defaults(
                Participant(
                    agent_id=agent_id,
                    name=agent.name or agent_id,
                    role=agent.role,
                    instructions=agent.instructions,
                    model=agent.model,
                    gateway=agent.gateway,
                    fallback_models=agent.fallback_models,
                )
            )
            for agent_id, agent in self.agents.items()
        )

    def with_defaults(self, participant: Participant) -> Participant:
        """Return a participant with its gateway and model filled in.

        An unknown gateway is kept, for the caller to refuse.
        """
        name = participant.gateway or self.default_gateway
        gateway = self.gateways.get(name)
        model = gateway.model if isinstance(gateway, RemoteGateway) else ""
        return replace(participant, model=participant.model or model, gateway=name)

    @property
    def price_table(self) -> PriceTable | None:
        """The prices as the core takes them, or None if there are none."""
        return None if self.prices is None else self.prices.table

    @property
    def service_url(self) -> str:
        """The address at which client commands find the service."""
        if self.url is not None:
            return self.url.rstrip("/")
        # Listening on every address, the service is reached through the loopback one.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port or 8080}"
