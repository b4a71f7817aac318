"""The command line as a whole, and the exit code for every error of a command."""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from meeting_service.cli import meeting_commands, service_commands
from meeting_service.cli import simulate_command as simulation
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
    """Run one command and return its exit code; an error is one line on stderr."""
    # On a terminal that cannot show a character, a question mark, not a traceback.
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
        # Python flushes once more at exit, and would report the broken pipe then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE_CLOSED
    except Exception as error:
        single = _single(error)
        code = _exit_code_of(single)
        if code is None:
            raise
        return _fail(str(single), code)
    return result if isinstance(result, int) else Exit.COMPLETE


def _single(error: Exception) -> Exception:
    """Return the error inside exception groups that hold only that one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _exit_code_of(error: Exception) -> Exit | None:
    """Return the exit code of an error whose text is enough, or None for any other."""
    if isinstance(error, CommandError):
        return error.code
    from meeting_service.settings import SettingsError

    if isinstance(error, SettingsError):
        return Exit.USAGE
    from eventsourcing.persistence import PersistenceError

    from meeting_service.embedded_postgres import DataDirError, EmbeddedServerError, NoAccountError
    from meeting_service.store.postgres.migrate import MigrationError

    if isinstance(error, DataDirError | NoAccountError):
        return Exit.USAGE
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
