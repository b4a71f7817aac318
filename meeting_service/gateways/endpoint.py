"""Addresses of model servers: as they are set, as they are asked, and as they are shown."""

from collections.abc import Mapping
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from meeting_service.settings.http_addresses import http_address_problem, without_secrets

MAX_PLACE_CHARACTERS = 200

_RESOURCES = ("/chat/completions", "/chat", "/messages", "/models")
"""What an address is often copied with, out of a page of documentation."""


def place_of(base_url: str) -> str:
    """Return the address of a gateway without the credentials it may hold.

    Raises: `ValueError` if it is not an HTTP address.
    """
    if http_address_problem(base_url) or not base_url.isprintable() or " " in base_url:
        raise ValueError("base_url must be an address such as http://127.0.0.1:8000/v1")
    return without_secrets(base_url).rstrip("/")[:MAX_PLACE_CHARACTERS]


def endpoint(base_url: str, path: str, query: Mapping[str, str]) -> str:
    """Return the address of one resource of a server.

    A base address that is set with the path of an answer already, or with a part of it, is taken as
    meant. Its query (`?api-version=...`) is kept as it is; what `query` sets goes before it.
    """
    parts = urlsplit(base_url)
    base = parts.path.rstrip("/")
    for resource in _RESOURCES:
        base = base.removesuffix(resource).rstrip("/")
    overlap = next((path[:end] for end in _ends(path) if base.endswith(path[:end])), "")
    whole = base + path[len(overlap) :]
    kept = [each for each in parts.query.split("&") if each and _name_of(each) not in query]
    asked = "&".join([*kept, *([urlencode(query)] if query else [])])
    return urlunsplit((parts.scheme, parts.netloc, whole, asked, ""))


def _name_of(parameter: str) -> str:
    return unquote_plus(parameter.partition("=")[0])


def _ends(path: str) -> list[int]:
    """Return where a path may be cut between two segments, the longest part first."""
    return [n for n in range(len(path), 0, -1) if n == len(path) or path[n] == "/"]
