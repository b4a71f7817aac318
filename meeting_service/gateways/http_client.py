"""The HTTP client of one gateway: its certificates, its proxy, its connections."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from meeting_service.certificates import trusted_certificates

# The HTTP client takes a fifth of a second to import, which a command that calls no model must not
# pay.
if TYPE_CHECKING:
    import ssl

    import httpx2

KEPT_OPEN_SECONDS = 4.0
"""How long a connection that nobody uses stays open: less than most servers keep theirs, of which
many close it after 5 s, for a call that meets the closing has to be taken for one that failed.
"""


def new_client(
    *,
    connect_timeout_seconds: float,
    max_connections: int,
    ca_file: Path | None = None,
    proxy: str | None = None,
) -> "httpx2.AsyncClient":
    """Return a client that asks what it is told to ask, and takes nothing from the environment.

    Raises: `ValueError` when what names certificates holds none, or the proxy is no address.
    """
    import httpx2

    return httpx2.AsyncClient(
        verify=_trust() if ca_file is None else _trust_in(ca_file),
        proxy=proxy,
        # The call's own deadline covers everything else.
        timeout=httpx2.Timeout(None, connect=connect_timeout_seconds),
        limits=httpx2.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max(1, max_connections // 4),
            keepalive_expiry=KEPT_OPEN_SECONDS,
        ),
        # Following would make two requests of one call, and send the key elsewhere.
        follow_redirects=False,
        trust_env=False,
    )


@cache
def _trust() -> "ssl.SSLContext":
    """Read the trusted certificates once; it takes a tenth of a second."""
    return trusted_certificates(os.environ)


def _trust_in(ca_file: Path) -> "ssl.SSLContext":
    """Trust a certificate authority of one's own beside those of the machine."""
    import ssl

    context = trusted_certificates(os.environ)
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError as error:
        raise ValueError(f"ca_file {ca_file} holds no certificate in PEM") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(f"ca_file {ca_file} cannot be used: {reason}") from error
    return context
