"""Why the local model cannot be used."""


class LocalModelError(Exception):
    """The local model cannot be installed or started. The text is one line that says what to do."""
