"""Escaping what others said: it is data, between marks that no text can forge."""

import re

HEAD_CHARACTERS = 160
TAIL_CHARACTERS = 80

_MARK_NAMES = ("turn", "remark", "document", "minutes", "digest", "draft")
_BRACKETS = "<&\u2039\u2329\u276e\u2770\u27e8\u3008\ufe64\uff1c"
# What no reader sees: control and format characters, accents, fillers, selectors, tags.
_UNSEEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e0fff"
)
# Greek, Cyrillic and Armenian letters that read like a Latin one.
_LOOK_ALIKES = {
    "a": "\u0430\u03b1",
    "c": "\u0441\u03f2",
    "d": "\u0501",
    "e": "\u0435\u03b5",
    "i": "\u0456\u03b9\u0131",
    "k": "\u043a\u03ba",
    "m": "\u043c\u03bc",
    "n": "\u0578\u03b7\u043f",
    "o": "\u043e\u03bf\u0585",
    "r": "\u0433",
    "s": "\u0455",
    "t": "\u0442\u03c4",
    "u": "\u03c5\u057d\u0446",
}


def _letter(letter: str) -> str:
    """Match a letter in every alphabet, width and style that reads like it, and what follows
    unseen.
    """
    index = ord(letter) - ord("a")
    # The mathematical alphabets: capitals, then small letters, thirteen times over.
    styled = [chr(start + index) for start in (0xFF41, *range(0x1D400, 0x1D6A4, 26))]
    return f"[{letter}{_LOOK_ALIKES.get(letter, '')}{''.join(styled)}][{_UNSEEN}]*+"


# A bracket, or the entity of one; blanks, slashes and what is unseen; the name of a mark. Runs are
# taken whole and never given back (`*+`), so that no text costs more than its length.
_MARKS = re.compile(
    rf"[{_BRACKETS}](?=(?:(?<!&)|(?<=&)(?:lt|#0*+60|#x0*+3c);?)"
    rf"[\s/\\\u2044\u2215\uff0f{_UNSEEN}]*+"
    rf"(?:{'|'.join(''.join(map(_letter, name)) for name in _MARK_NAMES)})(?!\w))",
    re.IGNORECASE,
)


def shortened(text: str) -> str:
    """Return the head and the tail of a long text, with a visible mark between them."""
    if len(text) <= HEAD_CHARACTERS + TAIL_CHARACTERS + 20:
        return text
    return (
        f"{text[:HEAD_CHARACTERS].rstrip()} [... shortened ...] {text[-TAIL_CHARACTERS:].lstrip()}"
    )


def quoted(text: str) -> str:
    """Make a text unable to open or close one of the marks that quote it, however it is spelt.

    Invariant: any text costs as many tokens as before.
    """
    if text.isascii() and "<" not in text and "&" not in text:
        return text
    # A wide bracket gives way to a wide one: an ASCII one would cost fewer tokens.
    return _MARKS.sub(lambda match: "[" if match[0].isascii() else "\uff3b", text)


def attribute(text: str) -> str:
    """Write a name inside a mark: on its line, and within its quotation marks."""
    text = quoted(" ".join(text.splitlines())).replace("&", "&amp;")
    return text.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
