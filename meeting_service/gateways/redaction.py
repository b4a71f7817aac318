"""Keeps secrets, and what no log or terminal takes, out of the texts that leave a gateway."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote, unquote, urlsplit

MAX_DETAIL_CHARACTERS = 500
MIN_SECRET_CHARACTERS = 6
MIN_CUT_SECRET_CHARACTERS = 12
MIN_SHOWN_CHARACTERS = 8
"""So many letters from the head of a longer secret are kept back too, where it is cut short."""

_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\",;]{4,}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_NAMES = re.compile(r"key|token|secret|sig|pass|code|auth", re.IGNORECASE)
# A letter as it may be written: by its number in JSON, in an address or in HTML, or as it is.
_LETTER = re.compile(
    r"\\+u([0-9a-f]{4})|\\+u\{([0-9a-f]{1,6})\}|\\+x([0-9a-f]{2})|%(?:25)*([0-9a-f]{2})|&#x([0-9a-f]{2,6});"
    r"|&#(\d{2,7});|\\+([nrt])|\\*(.)",
    re.IGNORECASE | re.DOTALL,
)
_MAX_LETTER = 0x10FFFF


def one_line(text: str, secrets: Sequence[str] = ()) -> str:
    """Make a text fit for an event, a log and a terminal: one bounded line without secrets."""
    # Secrets go first: a cut through the middle of one would leave its half unrecognised.
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    text = _without_spelt(text[: 8 * MAX_DETAIL_CHARACTERS], secrets)
    text = _BEARER.sub(r"\1 [secret]", text)
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
    # The key in `Bearer sk-...` may be repeated alone.
    bare = [
        value.partition(" ")[2] for name, value in headers.items() if _SECRET_NAMES.search(name)
    ]
    found = {api_key, *headers.values(), parts.password or "", *hidden, *bare}
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


def _without_spelt(text: str, secrets: Sequence[str]) -> str:
    """Return a text without secrets that are spelt otherwise, broken by blanks, or cut short."""
    sought = [found for each in secrets if (found := _letters(each)[0])]
    if not sought:
        return text
    letters, places = _letters(text)
    shown, kept_to, at = "", 0, 0
    while at < len(letters):
        length = max(_shared(letters, at, each) for each in sought)
        if not length:
            at += 1
            continue
        shown += text[kept_to : places[at][0]] + "[secret]"
        at += length
        kept_to = places[at - 1][1]
    return shown + text[kept_to:]


def _shared(letters: str, at: int, secret: str) -> int:
    """Return how many letters of a secret stand at a place; 0 if they are too few to tell."""
    is_long = len(secret) >= MIN_CUT_SECRET_CHARACTERS and "://" not in secret
    min_letters = MIN_SHOWN_CHARACTERS if is_long else len(secret)
    if not letters.startswith(secret[:min_letters], at):
        return 0
    end = at + min_letters
    for letter in secret[min_letters:]:
        if not letters.startswith(letter, end):
            break
        end += 1
    return end - at


def _letters(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the letters that a text means, small and without blanks, and where each stands."""
    letters, places = [], []
    for found in _LETTER.finditer(text):
        *in_hex, in_decimal, is_blank, plain = found.groups()
        number = next((int(each, 16) for each in in_hex if each), int(in_decimal or 0))
        letter = plain or chr(number if number <= _MAX_LETTER else 0)
        if not is_blank and letter.isprintable() and not letter.isspace():
            # A few capitals are two letters when they are small.
            letters.append(letter.lower()[0])
            places.append(found.span())
    return "".join(letters), places
