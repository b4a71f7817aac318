"""The console script `meetings`, and `python -m meeting_service`."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    from meeting_service.cli.application import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
