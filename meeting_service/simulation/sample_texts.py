"""Texts of a given length; equal lengths give equal texts, so each is counted once."""

from functools import lru_cache

from meeting_core.prompt import SECTIONS, estimate_tokens

_WORDS = ("we", "must", "agree", "on", "what", "ships", "first", "and", "who", "does", "it")
_SECTION_SHARES = (0.5, 0.2, 0.15, 0.15)


@lru_cache(maxsize=1024)
def text_of(tokens: int) -> str:
    """Return a text of so many tokens by our estimate, at least one."""
    # Each of the words is one token.
    return " ".join(_WORDS[n % len(_WORDS)] for n in range(max(tokens, 1)))


@lru_cache(maxsize=1024)
def minutes_of(tokens: int, wanted: int, *, is_complete: bool) -> str:
    """Return minutes of `wanted` tokens, cut off after `tokens`, section by section.

    Units: tokens, by our estimate. Shape: incomplete minutes lack their last section.
    """
    parts: list[str] = []
    left = tokens
    shares = dict(zip(SECTIONS, _SECTION_SHARES, strict=True))
    for section in SECTIONS if is_complete else SECTIONS[:-1]:
        heading = f"## {section}\n"
        cost = estimate_tokens(heading)
        body = max(1, min(round(wanted * shares[section]) - cost - 1, left - cost - 1))
        # A line's end is a token too.
        if left < cost + 2:
            break
        parts.append(f"{heading}{text_of(body)}\n")
        left -= cost + body + 1
    return "".join(parts).strip() or text_of(tokens)
