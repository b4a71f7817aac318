"""Which scripts a text is written in, as parts of the estimate of its tokens.

Pure, in a fixed number of passes, and additive, like the estimate itself.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from meeting_core.model.token_factors import (
    AS_ESTIMATED,
    NO_SCRIPTS,
    ScriptTokens,
    TokenFactors,
    values_of,
    weighted,
)
from meeting_core.prompt.tokens import TokenCounter, estimate_tokens

Letters: TypeAlias = tuple[int, ...]
"""How many letters of each script a text has, in the order of the fields of `ScriptTokens`; of a
text in ASCII the first alone.
"""

_ENGLISH_WORDS = (" the ", " and ", " that ")
_LETTERS_SHOWN_ENGLISH = 40
"""How many letters around one of these words are taken for English: a little more than the mean."""

MAX_KEPT_CHARACTERS = 2_000

_KIND_BY_FIRST_BYTE = (
    (0xC2, b"."),  # accented letters of Latin: the estimate has them at what they take
    (0xD0, b"c"),
    (0xD4, b"o"),  # Armenian
    (0xD6, b"b"),
    (0xE0, b"o"),
    (0xE2, b"."),  # dashes, quotation marks, signs
    (0xE3, b"a"),
    (0xEA, b"h"),
    (0xEE, b"a"),  # wide forms of marks and letters
    (0xF0, b"."),
)
_NOT_LETTERS = bytes(byte for byte in range(0xC0) if not (65 <= byte <= 90 or 97 <= byte <= 122))
_DEVANAGARI = (b"\xe0\xa4", b"\xe0\xa5")
_THAI = (b"\xe0\xb8", b"\xe0\xb9")
_VIETNAMESE = (b"\xe1\xba", b"\xe1\xbb")


def _kinds() -> bytes:
    kinds = bytearray(b"l" * 256)
    for first, kind in _KIND_BY_FIRST_BYTE:
        kinds[first:] = kind * (256 - first)
    kinds[0xCD:0xD0] = b"bbb"  # Greek
    return bytes(kinds)


_KINDS = _kinds()


def letters_of(text: str) -> Letters:
    """Count the letters of each script in a text."""
    return _letters_of_short(text) if len(text) <= MAX_KEPT_CHARACTERS else _letters(text)


# Every brief shows the same turns again. A long text is not kept, as in the estimate.
@lru_cache(maxsize=1_024)
def _letters_of_short(text: str) -> Letters:
    return _letters(text)


def _letters(text: str) -> Letters:
    english = _LETTERS_SHOWN_ENGLISH * sum([text.count(word) for word in _ENGLISH_WORDS])
    data = text.encode("utf-8", "surrogatepass")
    if text.isascii():
        return (max(len(data.translate(None, _NOT_LETTERS)) - english, 0),)
    kinds = data.translate(_KINDS, _NOT_LETTERS)
    thai = devanagari = vietnamese = 0
    if other := kinds.count(b"o"):
        thai, devanagari, vietnamese = (
            sum([data.count(each) for each in first_bytes])
            for first_bytes in (_THAI, _DEVANAGARI, _VIETNAMESE)
        )
    return (
        # A letter with two accents takes as much as five without.
        max(kinds.count(b"l") + 5 * vietnamese - english, 0),
        kinds.count(b"c"),
        kinds.count(b"b"),
        kinds.count(b"a") + thai,
        kinds.count(b"h"),
        devanagari,
        max(other - thai - devanagari - vietnamese, 0),
    )


def script_tokens(texts: Iterable[str], count: TokenCounter = estimate_tokens) -> ScriptTokens:
    """Return the parts of the estimate of these texts that are for letters of a script.

    An exact counter knows all scripts, and needs no parts.
    """
    if count is not estimate_tokens:
        return NO_SCRIPTS
    counts = [letters_of(text) for text in texts]
    latin = sum([each[0] for each in counts]) // 3
    beyond = [each for each in counts if len(each) > 1]
    if not beyond:
        return ScriptTokens(latin) if latin else NO_SCRIPTS
    _, cyrillic, alphabet, *three_bytes = map(sum, zip(*beyond, strict=True))
    # As many tokens as the estimate has for letters of that kind.
    return ScriptTokens(latin, cyrillic // 2, alphabet, *[each * 4 // 3 for each in three_bytes])


def added(one: ScriptTokens, other: ScriptTokens) -> ScriptTokens:
    """Return the parts of two estimates together."""
    if one is NO_SCRIPTS:
        return other
    return ScriptTokens(*map(sum, zip(values_of(one), values_of(other), strict=True)))


def weighing(count: TokenCounter, factors: TokenFactors) -> TokenCounter:
    """Return a counter that counts as a model with these factors does."""
    if factors is AS_ESTIMATED:
        return count

    def weigh(text: str, /) -> int:
        return weighted(count(text), script_tokens((text,), count), factors)

    return weigh
