"""A pure, deterministic estimate of how many tokens a text takes; rather too many than too few."""

import re
from functools import lru_cache
from typing import Protocol

SAFETY_PERCENT = 15
CUT_MARK = "\n[... cut here ...]"

# The shape of a text: letters become `a`, line ends a newline, other white space a space, digits
# and marks `.`. Counting in the shape takes a fixed number of passes in C, so that a word of
# 50,000 letters costs no more than the same letters in many words.
_SHAPES = bytes(
    ord("a")
    if chr(code).isalpha()
    else ord("\n")
    if chr(code) in "\r\n"
    else ord(" ")
    if chr(code).isspace()
    else ord(".")
    for code in range(128)
).ljust(256, b".")
_ONLY_LETTERS = bytes.maketrans(b".\n", b"  ")
_LETTERS = b"a" * 7
_BEYOND_ASCII = re.compile("[\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]{1,2}|[^\x00-\x7f]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


class TokenCounter(Protocol):
    """Says how many tokens a text takes: `estimate_tokens`, or a counter that knows the model.

    Invariant: equal texts are counted equally, and it takes no input but the text.
    """

    def __call__(self, text: str, /) -> int: ...

    def __hash__(self) -> int: ...


@lru_cache(maxsize=2048)
def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text.

    Units: tokens, never more than the text's bytes in UTF-8. Invariant: texts joined at line ends
    are never estimated above the sum of their estimates. Source: ADR 0005.
    """
    single, longer = _ascii_pieces(text.encode("ascii", "ignore"))
    if not text.isascii():
        longer += len(_BEYOND_ASCII.findall(text)) + 2 * len(_ASTRAL.findall(text))
    # A piece of one byte is one token at most, so only longer ones get the safety margin. The
    # margin on whole texts would make a joined text cost more than its parts.
    tokens = -(-(100 * single + (100 + SAFETY_PERCENT) * longer) // 100)
    return max(tokens, 1) if text else 0


def _ascii_pieces(text: bytes) -> tuple[int, int]:
    """Count what a byte-pair vocabulary makes about one token of: up to seven letters, a digit, a
    mark, a line's end, two spaces. Give those of one byte, and the longer ones.
    """
    shape = text.translate(_SHAPES)
    single, longer = shape.count(b".") + shape.count(b"\n"), shape.count(b"  ")
    # A title's capitals are the first letters of its runs.
    runs = (shape.translate(_ONLY_LETTERS).replace(_LETTERS, _LETTERS + b" ") + b" ").title()
    ones = runs.count(b"A ")
    return single + ones, longer + runs.count(b"A") - ones


def cut_to_tokens(text: str, limit: int) -> str:
    """Keep the beginning of a text, at most `limit` tokens of it, with a visible mark.

    Units: tokens. Shape: the empty text when not even the mark fits.
    """
    if not text or estimate_tokens(text) <= limit:
        return text
    room = limit - estimate_tokens(CUT_MARK)
    kept = text
    while kept and (size := estimate_tokens(kept)) > room:
        kept = kept[: min(len(kept) * max(room, 0) // size, len(kept) * 19 // 20)]
    return f"{kept.rstrip()}{CUT_MARK}" if kept else ""
