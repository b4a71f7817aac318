"""The console script `meetings`, and `python -m meeting_service`."""

import sys
from typing import NoReturn

from meeting_service.cli.exit_codes import Exit

SERVICE_MODULES = frozenset(
    {
        "alembic",
        "anyio",
        "asyncpg",
        "cyclopts",
        "httptools",
        "httpx2",
        "litestar",
        "rich",
        "sqlalchemy",
        "stamina",
        "uvicorn",
        "uvloop",
    }
)
"""What `pip install ai-meetings` leaves to its extra `service`."""


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    try:
        from meeting_service.cli.application import run

        code = run(sys.argv[1:])
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in SERVICE_MODULES:
            raise
        print(
            f"meetings: the command needs the extra 'service' ({name} is missing):"
            " pip install 'ai-meetings[service]'",
            file=sys.stderr,
        )
        code = Exit.NOT_INSTALLED
    sys.exit(code)


if __name__ == "__main__":
    main()
