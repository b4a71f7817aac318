"""Keeps secrets, and what no log or terminal takes, out of the texts that leave a gateway."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote, unquote, urlsplit

MAX_DETAIL_CHARACTERS = 500
MIN_SECRET_CHARACTERS = 6

_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\",;]{4,}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_NAMES = re.compile(r"key|token|secret|sig|pass|code|auth", re.IGNORECASE)


def one_line(text: str, secrets: Sequence[str] = ()) -> str:
    """Make a text fit for an event, a log and a terminal: one bounded line without secrets."""
    # Secrets go first: a cut through the middle of one would leave its half unrecognised.
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    text = _BEARER.sub(r"\1 [secret]", text[: 8 * MAX_DETAIL_CHARACTERS])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(text) <= MAX_DETAIL_CHARACTERS:
        return text
    return text[: MAX_DETAIL_CHARACTERS - 3].rstrip() + "..."


def secrets_in(
    api_key: str, headers: Mapping[str, str], base_url: str, query: Mapping[str, str]
) -> tuple[str, ...]:
    """Return what may never be shown of a gateway's settings, longest first."""
    parts = urlsplit(base_url)
    asked = {**dict(parse_qsl(parts.query)), **query}
    hidden = [value for name, value in asked.items() if _SECRET_NAMES.search(name)]
    found = {api_key, *headers.values(), parts.password or "", *hidden}
    # Servers and proxies repeat an address as it came.
    found |= {quote(each, safe=safe) for each in found for safe in ("", "/")}
    found |= {unquote(parts.password or "")}
    return tuple(
        sorted((s for s in found if len(s) >= MIN_SECRET_CHARACTERS), key=len, reverse=True)
    )


def checked_header(setting: str, value: str, *, name: str) -> None:
    """Refuse a header that cannot be sent.

    Raises: `ValueError`, without the value, which may be a secret.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name[:60]!r} cannot be the name of an HTTP header")
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError(f"{setting} holds a character that cannot stand in an HTTP header")
