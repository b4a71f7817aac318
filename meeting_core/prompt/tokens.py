"""A pure, deterministic estimate of how many tokens a text takes; rather too many than too few."""

from functools import lru_cache
from typing import Protocol

from meeting_core.model.values import CUT_MARK

# What each byte of UTF-8 becomes in the shape of a text, by the range it is in. Counting in the
# shape takes a fixed number of passes in C, so that a word of 50,000 letters costs no more time
# than the same letters in many words.
_SHAPES_BY_FIRST_BYTE = (
    (0x00, b"."),  # digits and marks; Arabic and Greek come back to it: one token each
    (0xC3, b"~"),  # accented letters of western Europe: a token for two in a row, or for one alone
    (0xC4, b"2"),  # other accented letters: two tokens each
    (0xCD, b"."),
    (0xD0, b"~"),  # Cyrillic
    (0xD4, b"+"),  # Hebrew: four tokens for three in a row
    (0xD8, b"."),
    (0xE0, b"+"),  # all that takes three bytes: Chinese, Japanese, Korean, Hindi, Thai
    (0xF0, b"4"),  # emoji and rare signs: three tokens each, one more for two in a row
)
_CONTINUATIONS = bytes(range(0x80, 0xC0))
_LONG_RUN = b"a" * 20

MAX_SHORT_CHARACTERS = 600


def _shapes() -> bytes:
    shapes = bytearray(256)
    for first, shape in _SHAPES_BY_FIRST_BYTE:
        shapes[first:] = shape * (256 - first)
    for low, high, shape in ((9, 14, b" "), (28, 33, b" "), (65, 91, b"A"), (97, 123, b"a")):
        shapes[low:high] = shape * (high - low)
    shapes[10] = shapes[13] = ord(".")  # a line's end
    return bytes(shapes)


_SHAPES = _shapes()


class TokenCounter(Protocol):
    """A function that counts the tokens of a text; `estimate_tokens` is one.

    Units: tokens. Invariant: the same text always takes the same number.
    """

    def __call__(self, text: str, /) -> int:
        """Count the tokens of a text."""
        ...

    def __hash__(self) -> int: ...


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text.

    Units: tokens, never more than the text's bytes in UTF-8. Invariant: texts joined at line ends
    are never estimated above the sum of their estimates. Source: ADR 0005.
    """
    return _estimate_of_short(text) if len(text) <= MAX_SHORT_CHARACTERS else _estimate(text)


# Every brief counts the same rules and requests again. A long text is never kept: a thousand
# documents would stay in memory long after their meetings.
@lru_cache(maxsize=1_024)
def _estimate_of_short(text: str) -> int:
    return _estimate(text)


def _estimate(text: str) -> int:
    # Whatever is counted lies within one line and is counted whole. A margin in percent, or a
    # limit on a whole text, would make a joined text cost more than its parts.
    if text.isascii():
        tokens = _pieces(text.encode("ascii").translate(_SHAPES))
    else:
        data = text.encode("utf-8", "surrogatepass")
        shape = data.translate(_SHAPES, delete=_CONTINUATIONS)
        tokens = _pieces(shape) + _pieces_beyond_ascii(shape)
    return max(tokens, 1) if text else 0


def _pieces(shape: bytes) -> int:
    """Count what a byte-pair vocabulary makes about one token of: five letters, a mark, a line's
    end, two spaces; and more where capitals or long runs say that the letters are no words.
    """
    # In title case a run of letters is one `A` and as many `a` as follow.
    runs = shape.title()
    return (
        shape.count(b".")
        + shape.count(b"  ")
        + runs.count(b"A")
        + runs.count(b"aaaaa")
        + shape.count(b"aA")
        + shape.count(b"AA")
        + 7 * shape.count(_LONG_RUN)
    )


def _pieces_beyond_ascii(shape: bytes) -> int:
    return (
        shape.count(b"~")
        - shape.count(b"~~")
        + 2 * shape.count(b"2")
        + shape.count(b"+")
        + shape.count(b"+++")
        + 3 * shape.count(b"4")
        + shape.count(b"44")
    )


def cut_to_tokens(text: str, limit: int, count: TokenCounter = estimate_tokens) -> str:
    """Return the beginning of a text, at most `limit` tokens of it, with a visible mark.

    Units: tokens. Shape: the empty text when not even the mark fits.
    """
    if not text or count(text) <= limit:
        return text
    room = limit - count(CUT_MARK)
    kept = text
    while kept and (size := count(kept)) > room:
        # A little less than in proportion: mostly enough at once, and always shorter.
        kept = kept[: len(kept) * max(room, 0) * 31 // (size * 32)]
    return f"{kept.rstrip()}{CUT_MARK}" if kept else ""
