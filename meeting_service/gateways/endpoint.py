"""Addresses of model servers: as they are set, as they are asked, and as they are shown."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

MAX_PLACE_CHARACTERS = 200


def place_of(base_url: str) -> str:
    """Return the address of a gateway without the credentials it may hold.

    Raises: `ValueError` if it is not an HTTP address.
    """
    parts = urlsplit(base_url)
    is_http = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    if not is_http or not base_url.isprintable() or " " in base_url:
        raise ValueError("base_url must be an address such as http://127.0.0.1:8000/v1")
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    return place[:MAX_PLACE_CHARACTERS]


def endpoint(base_url: str, path: str, query: Mapping[str, str]) -> str:
    """Return the address of one resource of a server.

    A base address that is set with the path already, or with a part of it, is taken as meant. Its
    query (`?api-version=...`) is kept; what `query` sets goes before it.
    """
    parts = urlsplit(base_url)
    base = parts.path.rstrip("/")
    overlap = next((path[:end] for end in _ends(path) if base.endswith(path[:end])), "")
    asked = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **query}
    whole = base + path[len(overlap) :]
    return urlunsplit((parts.scheme, parts.netloc, whole, urlencode(asked), ""))


def _ends(path: str) -> list[int]:
    """Return where a path may be cut between two segments, the longest part first."""
    return [n for n in range(len(path), 0, -1) if n == len(path) or path[n] == "/"]
