"""Tells the text of an answer to a listener, whose own bugs are no faults of the gateway."""

from collections.abc import Callable


class ListenerFailed(Exception):
    """The listener of a call failed: an error of its own, not one of the call's."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def notify(on_delta: Callable[[str], None], text: str) -> None:
    """Notify a listener of more text.

    Raises: `ListenerFailed` with whatever it raises.
    """
    try:
        on_delta(text)
    except Exception as error:
        raise ListenerFailed(error) from error
