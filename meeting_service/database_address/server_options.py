"""The parameter `options`: settings of the server, as its command line takes them."""

import re
from collections.abc import Iterator, Sequence

from meeting_service.database_address.address import AddressError

_SETTING = re.compile(r"([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)


def read_options(text: str) -> tuple[dict[str, str], str]:
    """Return the settings that it makes, and what else is in it.

    What else there is, is for a router in front of the server, as `endpoint=NAME`.
    Raises: `AddressError`.
    """
    settings: dict[str, str] = {}
    rest: list[str] = []
    words = _words(text)
    for word in words:
        if word == "-c":
            given = next(words, "")
        elif word.startswith(("--", "-c")):
            given = word[2:]
        elif word.startswith("-"):
            raise AddressError("has options that are not understood: write options=-c NAME=VALUE")
        else:
            rest.append(word)
            continue
        setting = _SETTING.fullmatch(given)
        if setting is None:
            raise AddressError("has options that are not understood: write options=-c NAME=VALUE")
        settings[setting[1].replace("-", "_")] = setting[2]
    return settings, " ".join(rest)


def quoted_path(schemas: Sequence[str]) -> str:
    """Return a search path of exactly these schemas."""
    return ", ".join('"' + name.replace('"', '""') + '"' for name in schemas)


def _words(text: str) -> Iterator[str]:
    """Split at spaces; a backslash takes the next character as it is."""
    for word in re.findall(r"(?:\\.|[^\s\\])+", text, re.DOTALL):
        yield re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL)
