"""What a model counts for a token of our estimate, script by script. Source: ADR 0020."""

from msgspec import Struct

UNCALIBRATED = 1_000
"""The factor, in permille, of a model that counts as our estimate does."""

MIN_FACTOR = 150
MAX_FACTOR = 3_000


class ScriptTokens(Struct, frozen=True, gc=False, omit_defaults=True):
    """The parts of an estimate that are for letters of a script.

    The rest of the estimate is for English words, digits and marks. `latin` are words that are not
    shown to be English, `alphabet` are Greek, Hebrew, Arabic and others of two bytes a letter,
    `asian` are Chinese characters, kana and Thai, and `other` the scripts that a small
    vocabulary knows by their bytes only: Tamil, Georgian, Armenian, Amharic.

    Units: tokens, by our estimate.
    """

    latin: int = 0
    cyrillic: int = 0
    alphabet: int = 0
    asian: int = 0
    hangul: int = 0
    devanagari: int = 0
    other: int = 0


class TokenFactors(Struct, frozen=True, gc=False, omit_defaults=True):
    """How many tokens a model counts for one of our estimate, for each script.

    Units: permille. `base` is for what belongs to no script: see `ScriptTokens`.
    """

    base: int = UNCALIBRATED
    latin: int = UNCALIBRATED
    cyrillic: int = UNCALIBRATED
    alphabet: int = UNCALIBRATED
    asian: int = UNCALIBRATED
    hangul: int = UNCALIBRATED
    devanagari: int = UNCALIBRATED
    other: int = UNCALIBRATED


class ModelFactors(Struct, frozen=True, gc=False):
    """The factors with which a meeting begins to count for a model."""

    model: str
    factors: TokenFactors


NO_SCRIPTS = ScriptTokens()
AS_ESTIMATED = TokenFactors()
UNKNOWN_MODEL = TokenFactors(
    latin=1_550,
    cyrillic=1_950,
    alphabet=1_500,
    asian=1_550,
    hangul=2_400,
    devanagari=1_400,
    other=2_200,
)
"""The start for a model of which nothing is known: safe for a vocabulary of 49,000 words that was
made from English texts.
"""


def weighted(tokens: int, scripts: ScriptTokens, factors: TokenFactors) -> int:
    """Apply factors to an estimate and its parts by script, rounding up.

    Units: tokens.
    """
    if factors is AS_ESTIMATED:
        return tokens
    base = factors.base
    permille = tokens * base + scripts.latin * (factors.latin - base)
    if scripts is not NO_SCRIPTS:
        permille += (
            scripts.cyrillic * (factors.cyrillic - base)
            + scripts.alphabet * (factors.alphabet - base)
            + scripts.asian * (factors.asian - base)
            + scripts.hangul * (factors.hangul - base)
            + scripts.devanagari * (factors.devanagari - base)
            + scripts.other * (factors.other - base)
        )
    return -(-max(permille, 0) // 1_000)


def uniform(factor: int) -> TokenFactors:
    """Return one factor, within its bounds, for every script."""
    return bounded(TokenFactors(*[factor] * len(TokenFactors.__struct_fields__)))


def bounded(factors: TokenFactors) -> TokenFactors:
    """Return the factors, each within `MIN_FACTOR` and `MAX_FACTOR`."""
    return TokenFactors(*[min(max(each, MIN_FACTOR), MAX_FACTOR) for each in values_of(factors)])


def highest(several: tuple[TokenFactors, ...]) -> TokenFactors:
    """Return the highest of several factors, script by script; `AS_ESTIMATED` if none are given."""
    if not several:
        return AS_ESTIMATED
    return TokenFactors(*[max(each) for each in zip(*map(values_of, several), strict=True)])


def values_of(parts: TokenFactors | ScriptTokens) -> list[int]:
    """Return the values in the order of the fields."""
    return [getattr(parts, name) for name in parts.__struct_fields__]
