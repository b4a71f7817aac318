"""Run the whole service with a gateway of your own, to a model that no adapter here speaks to.

    python examples/custom_gateway.py [DATABASE_URL]

The settings name the gateway with `kind = "custom"`, so that agents may speak through it and its
calls are bounded as any others; the program gives it when it starts the service. A gateway makes
one request a call, reports the text as it comes, and raises a `GatewayFault` when it fails: the
core decides what follows from each class of fault. `tests/contracts/gateway_cases.py` says what
else a gateway must do.
"""

import sys
from collections.abc import Callable

import anyio

from meeting_core import ReportedUsage
from meeting_service.app import serve
from meeting_service.ports import GatewayReply, GatewayRequest, TimedOut, Unavailable
from meeting_service.settings import CustomGateway, DatabaseUrl, Settings


class EchoModel:
    """Stands for a model behind a protocol of its own: it repeats the last line it is shown."""

    is_up = True

    async def stream(self, prompt: str) -> list[str]:
        await anyio.sleep(0.01)
        if not self.is_up:
            raise ConnectionError("the model does not answer")
        return [f"{word} " for word in prompt.splitlines()[-1].split()]


class EchoGateway:
    """Adapter to the model: a `meeting_service.ports.Gateway`."""

    def __init__(self, model: EchoModel) -> None:
        self._model = model

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        """Make one call, and report the text as it comes."""
        prompt = "\n".join(message.content for message in request.messages)
        try:
            with anyio.fail_after(request.timeout_seconds):
                words = await self._model.stream(prompt)
        except TimeoutError:
            raise TimedOut(f"no answer within {request.timeout_seconds:g} s") from None
        except OSError as error:
            raise Unavailable(str(error), is_unreachable=True) from error
        said = words[: request.output_tokens]
        for word in said:
            on_delta(word)
        usage = ReportedUsage(len(prompt.split()), len(said))
        reason = "stop" if len(said) == len(words) else "length"
        return GatewayReply("".join(said), reason, model="echo", usage=usage)

    async def probe(self) -> None:
        """Return when the model can be reached; the meetings that wait for it go on then."""
        if not self._model.is_up:
            raise Unavailable("the model does not answer", is_unreachable=True)

    async def aclose(self) -> None:
        """Close what is open; here, nothing."""


def main(database_url: str | None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    settings = Settings(
        port=0,
        database_url=DatabaseUrl(database_url) if database_url else None,
        gateways={"echo": CustomGateway(max_calls_at_once=8)},
        default_gateway="echo",
    )
    return serve(settings, on_ready=announce, gateways={"echo": EchoGateway(EchoModel())})


def announce(url: str, database: str) -> None:
    """Print where the service is, and where its meetings are kept."""
    print(f"meetings are served at {url} (database: {database})", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
