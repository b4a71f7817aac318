"""Addresses that are no URLs: libpq's `host=h dbname=d`, which is read, and other clients' own."""

import re
from collections.abc import Container

_PAIR = re.compile(r"\s*(\w+)\s*=\s*('(?:\\.|[^'\\])*'|(?:\\.|[^\s'\\])*)(?=\s|$)", re.DOTALL)


def keyword_values(text: str, known: Container[str]) -> list[tuple[str, str]] | None:
    """Return what a text of libpq's form says; None for a text of another form.

    A name that is not known may be a part of a password, so such a text is of another form.
    """
    pairs: list[tuple[str, str]] = []
    end = 0
    while text[end:].strip():
        found = _PAIR.match(text, end)
        if found is None or found[1] not in known:
            return None
        value = found[2][1:-1] if found[2].startswith("'") else found[2]
        pairs.append((found[1], re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)))
        end = found.end()
    return pairs or None
