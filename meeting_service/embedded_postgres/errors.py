"""Why the embedded server cannot serve. The text is one line; the application adds its settings.

EmbeddedServerError
  UnsupportedPlatformError    another server is needed
  DataDirError                another data folder, or another server, is needed
  NoAccountError              another user, or another server, is needed
"""


class EmbeddedServerError(Exception):
    """The embedded server cannot serve."""


class UnsupportedPlatformError(EmbeddedServerError):
    """There are no programs for this machine, or no user to run them as."""


class DataDirError(EmbeddedServerError):
    """The data folder cannot be used, or belongs to another major version of PostgreSQL."""


class NoAccountError(EmbeddedServerError):
    """The user of this process is not known to the system, as PostgreSQL wants it to be."""
