"""Addresses of HTTP servers: what is wrong with one, and how one is shown."""

import re
from urllib.parse import urlsplit


def http_address_problem(url: str) -> str | None:
    """Return what is wrong with an address, without the address itself; None if nothing is."""
    expected = "must begin with http:// or https:// and name a host"
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return expected
    except ValueError:
        return expected
    try:
        is_port = parts.port != 0
    except ValueError:
        is_port = False
    return None if is_port else "has a wrong port; a port is a number from 1 to 65535"


def without_secrets(url: str) -> str:
    """Return an address without user, password, query and fragment, even if it is a wrong one."""
    scheme = re.match(r"[A-Za-z]*://", url)
    start = scheme[0] if scheme else ""
    rest = url.removeprefix(start)
    if http_address_problem(url) is not None:
        # A password that is not encoded may hold any of the characters that end a host.
        rest = rest.rpartition("@")[2]
    place, slash, path = re.split("[?#]", rest)[0].partition("/")
    return f"{start}{place.rpartition('@')[2]}{slash}{path}"
