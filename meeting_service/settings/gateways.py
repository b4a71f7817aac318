"""The settings of gateways, one struct for each kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from meeting_core.model import FaultClass

# A day is the longest useful wait; the bound also refuses infinity.
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86_400)]
Delay: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
TokenFactor: TypeAlias = Annotated[float, Meta(ge=0.5, le=3)]


class Secret(str):
    """A text whose `repr` hides it, so that no traceback and no log of settings shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class CallBounds(Struct, frozen=True, kw_only=True):
    """Limits on the calls to a gateway of any kind."""

    max_calls_at_once: Annotated[
        Count | None,
        Meta(description="Calls under way at once, of one process; more wait. Else no bound."),
    ] = None
    max_calls_per_minute: Annotated[
        Count | None,
        Meta(
            description="Calls that start in any minute, of one process; more wait. Else no bound."
        ),
    ] = None


class ScriptedGateway(CallBounds, frozen=True, kw_only=True):
    """Deterministic replies without a network, for demos and tests."""

    kind: ClassVar[str] = "scripted"
    seed: Annotated[int, Meta(description="Chooses the replies; the same seed, the same text.")] = 0
    replies_file: Annotated[
        Path | None,
        Meta(description="TOML or JSON file with replies and faults; else replies are made up."),
    ] = None
    delay_seconds: Annotated[Delay, Meta(description="Wait before each reply begins.")] = 0.0
    chunk_delay_seconds: Annotated[
        Delay, Meta(description="Wait before each piece of a reply.")
    ] = 0.0
    faults: Annotated[
        Mapping[str, FaultClass],
        Meta(
            description="Calls that fail, and how: `round-1-dev` for every attempt of that turn, "
            "`round-1-dev/1` for its first one, `synthesis` for the closing call."
        ),
    ] = {}
    fault_probability: Annotated[
        float, Meta(description="Share of all calls that fail, chosen by the seed.", ge=0, le=1)
    ] = 0.0
    words_per_delta: Annotated[
        int, Meta(description="Words in each piece of a reply; 0 sends it whole.", ge=0)
    ] = 1
    reports_usage: Annotated[
        bool, Meta(description="Whether replies tell how many tokens they took.")
    ] = True
    unreachable_file: Annotated[
        Path | None,
        Meta(description="While there is a file at this path, the gateway plays an outage."),
    ] = None


class RemoteGateway(CallBounds, frozen=True, kw_only=True):
    """The settings that all gateways to a server have."""

    api_key_env: Annotated[
        str | None, Meta(description="Environment variable that holds the API key.")
    ] = None
    api_key_file: Annotated[
        Path | None, Meta(description="File that holds the API key, if no variable does.")
    ] = None
    model: Annotated[str, Meta(description="Model of the agents that name none.")] = ""
    extra_body: Annotated[
        Mapping[str, Any], Meta(description="Fields added to every request's body.")
    ] = {}
    headers: Annotated[
        Mapping[str, Secret], Meta(description="Headers added to every request.")
    ] = {}
    query: Annotated[
        Mapping[str, Secret],
        Meta(description="Added to every address, such as `api-version`; none of it is shown."),
    ] = {}
    auth_header: Annotated[
        str,
        Meta(
            description="Header that carries the API key alone, such as `api-key`; left out, the "
            "one that the API has for it."
        ),
    ] = ""
    ca_file: Annotated[
        Path | None,
        Meta(description="Certificates (PEM) trusted beside the machine's, for a CA of your own."),
    ] = None
    reasoning: Annotated[
        Literal["drop", "keep"],
        Meta(
            description="What becomes of a model's thoughts, which are never quoted: only their "
            "token count is kept (`drop`), or their text in the history too (`keep`)."
        ),
    ] = "drop"
    prompt_opens_thought: Annotated[
        bool,
        Meta(
            description="Whether the models' prompt opens their thought, so that only its closing "
            "tag comes; else the first two calls to each show it, and their deltas that thought."
        ),
    ] = False
    connect_timeout_seconds: Annotated[
        Seconds, Meta(description="How long connecting may take.")
    ] = 10.0
    first_token_timeout_seconds: Annotated[
        Seconds,
        Meta(
            description="Wait for the first token, a thought's too; a slow local model with a long "
            "brief may need 120 and a longer `turn_timeout_seconds`."
        ),
    ] = 25.0
    idle_timeout_seconds: Annotated[
        Seconds, Meta(description="Longest silence within an answer.")
    ] = 15.0
    token_factor: Annotated[
        TokenFactor | None,
        Meta(
            description="Tokens that the models count for one of our estimate (0.5 to 3), until "
            "more is known; else a safe start for each script."
        ),
    ] = None
    tokenize_url: Annotated[
        str | None,
        Meta(
            description="Address that counts tokens, as llama.cpp and vLLM have: `.../tokenize`. "
            "Short texts are counted there once for each model."
        ),
    ] = None
    max_connections: Annotated[Count, Meta(description="Connections open at once.")] = 256
    proxy: Annotated[
        Secret,
        Meta(
            description="Proxy of the calls: `http://`, `https://` or `socks5://` with host and "
            "port; or `none`; or `environment`: what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and "
            "`NO_PROXY` say, and none for a server on this machine."
        ),
    ] = Secret("environment")
    api_key: Secret | None = None
    """Never read from the file: filled from `api_key_env` or `api_key_file`."""


class OpenAICompatibleGateway(RemoteGateway, frozen=True, kw_only=True):
    """A server that speaks OpenAI's chat completions."""

    kind: ClassVar[str] = "openai_compatible"
    base_url: Annotated[
        str, Meta(description="Address of the server, without `/chat/completions`.")
    ]
    max_tokens_field: Annotated[
        Literal["max_tokens", "max_completion_tokens"],
        Meta(description="Name under which the server takes the output cap."),
    ] = "max_completion_tokens"
    stream_options: Annotated[
        bool, Meta(description="Whether to ask for usage in streams; some servers refuse it.")
    ] = True
    system_role: Annotated[
        bool,
        Meta(
            description="Whether the model takes a system message; else its text goes before the "
            "user's."
        ),
    ] = True
    streaming: Annotated[
        bool, Meta(description="Whether the server can stream; else answers come whole.")
    ] = True
    requires_finish_reason: Annotated[
        bool,
        Meta(
            description="Whether a stream that ends by `[DONE]` without a finish reason counts as "
            "broken off; else it counts as whole."
        ),
    ] = False
    call_key_in_metadata: Annotated[
        bool, Meta(description="Whether to send the attempt's name in `metadata.call_key`.")
    ] = False


class AnthropicGateway(RemoteGateway, frozen=True, kw_only=True):
    """Anthropic's messages, or a server that speaks them."""

    kind: ClassVar[str] = "anthropic"
    base_url: Annotated[str, Meta(description="Address of the server, without `/v1/messages`.")] = (
        "https://api.anthropic.com"
    )


class CustomGateway(CallBounds, frozen=True, kw_only=True):
    """A gateway of the program that starts the service; `meetings serve` has none."""

    kind: ClassVar[str] = "custom"


GatewaySettings: TypeAlias = (
    ScriptedGateway | OpenAICompatibleGateway | AnthropicGateway | CustomGateway
)
GATEWAY_KINDS: dict[str, type[GatewaySettings]] = {
    kind.kind: kind
    for kind in (ScriptedGateway, OpenAICompatibleGateway, AnthropicGateway, CustomGateway)
}
