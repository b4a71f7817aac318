"""The exit codes with their meanings, and the error that ends a command."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended, as the shell sees it."""

    COMPLETE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    CANCELLED = 5
    NOT_INSTALLED = 69
    INTERRUPTED = 130
    PIPE_CLOSED = 141


MEANINGS = {
    Exit.COMPLETE: "the meeting is complete, or the command did its work",
    Exit.FAILED: "the meeting failed, or the service or its database could not start",
    Exit.USAGE: "the command line, a setting, or what is set around the command is wrong",
    Exit.REFUSED: "the service refused the request (4xx)",
    Exit.UNREACHABLE: "the service cannot be reached, or is out of order (5xx)",
    Exit.CANCELLED: "the meeting was cancelled",
    Exit.NOT_INSTALLED: "the extra 'service' is not installed, which every command needs",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
    Exit.PIPE_CLOSED: "the reader of the output closed it",
}


class CommandError(Exception):
    """A command cannot go on; the text is one line that says why and what to do."""

    def __init__(self, text: str, code: Exit) -> None:
        super().__init__(text)
        self.code = code
