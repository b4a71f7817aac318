"""A pure, deterministic estimate of how many tokens a text takes; rather too many than too few."""

import re
from functools import lru_cache

SAFETY_FACTOR = 1.15
CUT_MARK = "\n[... cut here ...]"

# One match is about one token of a byte-pair vocabulary. Every alternative is bounded or a plain
# run, so that a word of 50,000 letters costs no more than the same letters in many words.
_PIECE = re.compile(
    r" ?[A-Za-z]{1,7}"
    r"|[0-9]{1,3}"
    r"|\s+"
    r"|[\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]{1,2}"
    r"|.",
    re.DOTALL,
)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


@lru_cache(maxsize=2048)
def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text.

    Units: tokens, never more than the text's bytes in UTF-8. Source: ADR 0005.
    """
    pieces = len(_PIECE.findall(text))
    if text.isascii():
        size = len(text)
    else:
        size = len(text.encode("utf-8", "surrogatepass"))
        pieces += 2 * len(_ASTRAL.findall(text))
    return min(int(pieces * SAFETY_FACTOR) + 1, size)


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
