"""Texts as files and environments really hold them: with byte order marks, in quotes, in UTF-16."""

import codecs
import unicodedata
from pathlib import Path

# The longer marks come first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}


class UnreadableText(ValueError):
    """Bytes are no text; the message completes "the file ..." and says what to do."""


def read_text(path: Path) -> str:
    """Return the text of a file, decoded by its byte order mark, else as UTF-8.

    Raises: `OSError`, `UnreadableText`.
    """
    return decode_text(path.read_bytes())


def decode_text(content: bytes) -> str:
    r"""Return bytes as text without its byte order marks, with "\n" at the end of each line.

    Raises: `UnreadableText`.
    """
    mark, encoding, name = next(
        (each for each in _MARKS if content.startswith(each[0])), (b"", "utf-8", "UTF-8")
    )
    if not mark and b"\0" in content:
        raise UnreadableText("has NUL bytes, as UTF-16 without its mark has; save it as UTF-8")
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableText(f"is not {name}; save it as UTF-8") from error
    # A tool that adds a mark to a file that has one leaves two.
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def clean_value(text: str) -> str:
    """Return a value without what a file or a copy put around it.

    Blanks, line ends and invisible characters go from both ends, quotes only in matching pairs
    around the whole.
    """
    while True:
        text = _without_edges(text)
        if len(text) < 2 or _QUOTES.get(text[0]) != text[-1]:
            return text
        inside = text[1:-1]
        if text[0] in inside or text[-1] in inside:
            return text
        text = inside


def clean_key(text: str) -> str:
    """Return an API key without quotes, blanks around it, and invisible characters anywhere.

    Raises: `ValueError` for what no key holds; the message does not show the key.
    """
    key = clean_value("".join(each for each in text if not _is_format(each)))
    for place, character in enumerate(key, 1):
        if not "!" <= character <= "~":
            raise ValueError(
                f"holds {_named(character)} as its character {place} of {len(key)}, "
                "which no API key does"
            )
    return key


def _without_edges(text: str) -> str:
    start, end = 0, len(text)
    while start < end and _is_invisible(text[start]):
        start += 1
    while start < end and _is_invisible(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_invisible(character: str) -> bool:
    return character.isspace() or _is_format(character) or unicodedata.category(character) == "Cc"


def _is_format(character: str) -> bool:
    """Return whether a character only steers how others are shown; the BOM is one."""
    return unicodedata.category(character) == "Cf"


def _named(character: str) -> str:
    if character.isspace():
        return "a line break" if character in "\r\n" else "a blank"
    return f"U+{ord(character):04X}"
