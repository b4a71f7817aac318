"""A pure, deterministic estimate of how many tokens a text takes; rather too many than too few."""

import re
from functools import lru_cache

SAFETY_PERCENT = 15
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
_ONE_BYTE = frozenset(map(chr, range(128)))


@lru_cache(maxsize=2048)
def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text.

    Units: tokens, never more than the text's bytes in UTF-8. Invariant: texts joined at line ends
    are never estimated above the sum of their estimates. Source: ADR 0005.
    """
    # A piece of one byte is one token at most, so only longer ones get the safety margin. The
    # margin on whole texts would make a joined text cost more than its parts.
    found = _PIECE.findall(text)
    pieces, sure = len(found), sum(map(_ONE_BYTE.__contains__, found))
    if not text.isascii():
        pieces += 2 * len(_ASTRAL.findall(text))
    return -(-(100 * pieces + SAFETY_PERCENT * (pieces - sure)) // 100)


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
