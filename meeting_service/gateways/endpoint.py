"""Addresses of model servers: as they are set, as they are asked, and as they are shown."""

from collections.abc import Mapping
from urllib.parse import SplitResult, unquote_plus, urlencode, urlsplit, urlunsplit

MAX_PLACE_CHARACTERS = 200

_RESOURCES = ("/chat/completions", "/chat", "/messages", "/models")
"""What an address is often copied with, out of a page of documentation."""


def place_of(base_url: str) -> str:
    """Return the address of a gateway without the credentials it may hold.

    Raises: `ValueError` if it is not an HTTP address.
    """
    parts = _parts(base_url)
    if parts is None or not base_url.isprintable() or " " in base_url:
        raise ValueError("base_url must be an address such as http://127.0.0.1:8000/v1")
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    return place[:MAX_PLACE_CHARACTERS]


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


def _parts(base_url: str) -> SplitResult | None:
    try:
        parts = urlsplit(base_url)
        is_http = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_http else None


def _name_of(parameter: str) -> str:
    return unquote_plus(parameter.partition("=")[0])


def _ends(path: str) -> list[int]:
    """Return where a path may be cut between two segments, the longest part first."""
    return [n for n in range(len(path), 0, -1) if n == len(path) or path[n] == "/"]
