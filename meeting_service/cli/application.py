"""The whole command line, and what becomes of every error a command may end with."""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from meeting_service.cli import meeting_commands, service_commands, simulation
from meeting_service.cli.exit_codes import MEANINGS, CommandError, Exit

EXIT_CODES = "\n".join(
    ["Exit codes:", *(f"  {code.value:>3}  {text}" for code, text in MEANINGS.items())]
)


def command_line() -> App:
    """Build the command line."""
    app = App(
        name="meetings",
        help="Hold structured meetings of AI agents: durable, and within a token budget.",
        help_epilogue=EXIT_CODES,
        # Markdown would cost --help a fifth of its time.
        help_format="plaintext",
        version=_version,
        # No --no-watch, no --empty-topic.
        default_parameter=Parameter(negative=(), show_default=False),
        suppress_keyboard_interrupt=False,
    )
    service_commands.register(app)
    meeting_commands.register(app)
    simulation.register(app)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code; whatever goes wrong is one line on stderr."""
    # A terminal that cannot show a letter shows a question mark, and no traceback.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        result = command_line()(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(f"{error} Try: meetings --help", Exit.USAGE)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Python flushes once more on the way out, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE_CLOSED
    except Exception as error:
        single = _single(error)
        code = _known(single)
        if code is None:
            raise
        return _fail(str(single), code)
    return result if isinstance(result, int) else Exit.COMPLETE


def _single(error: Exception) -> Exception:
    """Take an error out of the groups of the tasks that it passed on its way."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _known(error: Exception) -> Exit | None:
    """Give the code of the errors that tell all there is to know in their text."""
    if isinstance(error, CommandError):
        return error.code
    from meeting_service.settings import SettingsError

    if isinstance(error, SettingsError):
        return Exit.USAGE
    from eventsourcing.persistence import PersistenceError

    from meeting_service.embedded_postgres import EmbeddedServerError
    from meeting_service.store.postgres.schema import MigrationError

    if isinstance(error, EmbeddedServerError | MigrationError | PersistenceError):
        return Exit.FAILED
    return None


def _fail(text: str, code: Exit) -> int:
    # Newlines from a database's message would make several lines of it.
    print(f"meetings: {' '.join(text.split())}", file=sys.stderr)
    return code


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ai-meetings")
    except PackageNotFoundError:
        return "unknown: run from a folder, not installed"
