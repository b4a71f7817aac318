"""A PostgreSQL server for one data folder, started and stopped by the processes that use it.

The programs come from a wheel. Nothing here knows what the databases are for.
"""

from meeting_service.embedded_postgres.embedded_server import EmbeddedServer
from meeting_service.embedded_postgres.errors import (
    DataDirError,
    EmbeddedServerError,
    NoAccountError,
    UnsupportedPlatformError,
)
from meeting_service.embedded_postgres.state_dir import user_state_dir

__all__ = [
    "DataDirError",
    "EmbeddedServer",
    "EmbeddedServerError",
    "NoAccountError",
    "UnsupportedPlatformError",
    "user_state_dir",
]
