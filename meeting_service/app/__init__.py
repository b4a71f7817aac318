"""The composition root: the only place that names concrete stores and gateways."""

import importlib.util
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

import anyio
from anyio.abc import TaskStatus
from eventsourcing.persistence import PersistenceError
from litestar.types import ASGIApp
from msgspec import structs

from meeting_core.prompt import TokenCounter
from meeting_service.app.database import describe_database, open_recorder
from meeting_service.app.gateways import call_rules, open_gateways
from meeting_service.background_loops import BackgroundLoops
from meeting_service.command_handler import Meetings
from meeting_service.embedded_postgres import DataDirError, EmbeddedServerError, NoAccountError
from meeting_service.feed.feed import Feed
from meeting_service.http.application import application
from meeting_service.http.feed import FeedPolicy
from meeting_service.http.path_prefix import PathPrefix
from meeting_service.http.server import CannotListen, listening_socket, serving
from meeting_service.http.service_context import ServiceContext
from meeting_service.minutes_files import OutputFolder
from meeting_service.ports import Gateway
from meeting_service.runtime.gateway_client import GatewayClient
from meeting_service.runtime.rate_limiter import CallLimiter
from meeting_service.runtime.runner import RunnerDependencies
from meeting_service.runtime.running_policy import RunningPolicy
from meeting_service.runtime.supervisor import Supervisor
from meeting_service.settings import Settings, SettingsError
from meeting_service.store.postgres.migrate import MigrationError
from meeting_service.token_counters import open_counter

log = logging.getLogger(__name__)

LOGGERS_BELOW = ("httpcore2", "httpx2", "uvicorn")
"""Loggers of the libraries below the service. Below a warning, the HTTP client logs whole
answers, and so a key that a provider sends back.
"""

_CANNOT_START = (
    CannotListen,
    EmbeddedServerError,
    MigrationError,
    PersistenceError,
    SettingsError,
)
NO_GATEWAYS: Mapping[str, Gateway] = MappingProxyType({})
FAILED = 1
WRONGLY_SET = 2
WRONG_SETTINGS = (DataDirError, NoAccountError, SettingsError)
"""Errors of what was set, not of what was tried."""
INTERRUPTED = 130
DRAIN_SHARE = 0.8
"""The share of the time for stopping that meetings get; the rest is for what comes after them."""


def serve(
    settings: Settings,
    *,
    on_ready: Callable[[str, str], None],
    gateways: Mapping[str, Gateway] = NO_GATEWAYS,
) -> int:
    """Run the service until SIGTERM or SIGINT; return the exit code.

    `on_ready` is called with the address, and the name of the database, once requests are
    answered. `gateways` are those of kind `custom`, by their names in the settings. What keeps the
    service from starting is one line on stderr.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    has_uvloop = importlib.util.find_spec("uvloop") is not None
    try:
        return anyio.run(
            _serve, settings, on_ready, gateways, backend_options={"use_uvloop": has_uvloop}
        )
    except _CANNOT_START as error:
        print(f"meetings: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONGLY_SET if isinstance(error, WRONG_SETTINGS) else FAILED


@asynccontextmanager
async def running(
    settings: Settings, *, gateways: Mapping[str, Gateway] = NO_GATEWAYS
) -> AsyncIterator[str]:
    """Run the service as long as the context lasts; give its address.

    `gateways` are those of kind `custom`, by their names in the settings.

    Raises: `CannotListen`, `EmbeddedServerError`, `MigrationError`, or the store's error.
    """
    with _single_error(), _logging_at(settings.log_level):
        save = _output_folder(settings).save
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(listening_socket(settings.host, settings.port))
            loops = BackgroundLoops()
            recorder = await stack.enter_async_context(open_recorder(settings, loops))
            directory = await stack.enter_async_context(open_gateways(settings.gateways, gateways))
            count = _token_counter(settings)
            meetings = Meetings(recorder, partial(datetime.now, UTC), count=count)
            feed = Feed(meetings, poll_seconds=settings.poll_seconds, loops=loops)
            limiter = CallLimiter(settings.max_calls_at_once, call_rules(settings.gateways))
            client = GatewayClient(directory, limiter)
            deps = RunnerDependencies(meetings, client, save, feed.emit_delta)
            supervisor = Supervisor(
                deps,
                _running_policy(settings),
                loops,
                feed.warnings.on_gateway_wait,
                feed.warnings.on_quarantine,
            )
            context = ServiceContext(meetings, supervisor, settings, loops)
            policy = FeedPolicy(settings.ping_seconds, settings.send_timeout_seconds)
            app: ASGIApp = application(context, feed, policy)
            if settings.root_path or settings.trusted_proxies:
                app = PathPrefix(app, settings.root_path, settings.trusted_proxies)
            grace_seconds = (1 - DRAIN_SHARE) * settings.drain_seconds
            await stack.enter_async_context(feed.following())
            await stack.enter_async_context(
                serving(app, [listener], grace_seconds=grace_seconds, root_path=settings.root_path)
            )
            await stack.enter_async_context(supervisor.supervising())
            context.is_open = True
            try:
                port = listener.getsockname()[1]
                yield structs.replace(settings, port=port, url=None).service_url
            finally:
                # While meetings come to rest, requests are still answered, and streams end.
                context.is_open = False
                feed.drain()


async def _serve(
    settings: Settings,
    on_ready: Callable[[str, str], None],
    gateways: Mapping[str, Gateway],
) -> int:
    stopping = _Stopping(settings.drain_seconds)
    with _single_error():
        async with anyio.create_task_group() as tasks:
            await tasks.start(stopping.on_signal)
            with stopping.start:
                async with running(settings, gateways=gateways) as url:
                    stopping.is_started = True
                    on_ready(url, describe_database(settings))
                    await stopping.asked.wait()
            tasks.cancel_scope.cancel()
    return stopping.code


class _Stopping:
    """Waits for a signal: one that comes before the start is over calls that off."""

    def __init__(self, drain_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self.asked = anyio.Event()
        self.start = anyio.CancelScope()
        self.is_started = False
        self.code = 0

    async def on_signal(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for received in signals:
                if self.asked.is_set():
                    log.warning("already stopping, within %g s", self._drain_seconds)
                    continue
                log.info("stopping on %s", signal.Signals(received).name)
                self.code = INTERRUPTED if received == signal.SIGINT else 0
                self.asked.set()
                if not self.is_started:
                    self.start.cancel()


def _token_counter(settings: Settings) -> TokenCounter:
    try:
        return open_counter(settings.token_counter, settings.token_vocabulary)
    except ValueError as error:
        raise SettingsError(f"token_counter: {error}") from error


def _output_folder(settings: Settings) -> OutputFolder:
    """Return the folder of the minutes, which is found unusable now, not when the first end."""
    folder = OutputFolder(settings.output_dir)
    try:
        folder.check_writable()
    except OSError as error:
        raise SettingsError(
            f"output_dir: minutes cannot be saved in {settings.output_dir}: {error.strerror} "
            f"({error.filename}); name another folder with --output-dir, or output_dir in the file"
        ) from error
    return folder


def _running_policy(settings: Settings) -> RunningPolicy:
    return RunningPolicy(
        recovery=settings.recovery,
        lease_seconds=settings.lease_seconds,
        poll_seconds=min(settings.poll_seconds, RunningPolicy().poll_seconds),
        drain_seconds=DRAIN_SHARE * settings.drain_seconds,
        missing_gateway_timeout_seconds=settings.missing_gateway_timeout_seconds,
        max_live_meetings=settings.max_live_meetings,
    )


@contextmanager
def _single_error() -> Iterator[None]:
    """Let an error out as what it is, not inside the groups of the tasks it passed on its way."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


@contextmanager
def _logging_at(level: str) -> Iterator[None]:
    """Log the service from this severity on; what lies below it only from warnings on."""
    ours = logging.getLogger("meeting_service")
    levels = {ours: logging.getLevelNamesMapping()[level.upper()]}
    for name in LOGGERS_BELOW:
        levels[logging.getLogger(name)] = max(levels[ours], logging.WARNING)
    before = {logger: logger.level for logger in levels}
    for logger, severity in levels.items():
        logger.setLevel(severity)
    try:
        yield
    finally:
        for logger, severity in before.items():
            logger.setLevel(severity)
