"""Texts of known kinds, to measure the estimate of tokens by; the same on every machine.

Prose, code and minutes are files beside this module, and `languages.txt` has a paragraph for each
of many languages; the rest is made from a stream of hashes.
"""

import base64
import hashlib
import json
import string
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent / "corpora"
EMOJI = (
    *("\U0001f600", "\U0001f389", "\U0001f680", "\U0001f44d", "\U0001f525", "\u2764\ufe0f"),
    *("\u2705", "\U0001f44d\U0001f3fd", "\U0001f1e8\U0001f1ed", "1\ufe0f\u20e3", "\U0001fae0"),
    *("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f9d1\U0001f3ff\u200d\U0001f4bb"),
)


def corpora() -> dict[str, str]:
    """Return every corpus by its name."""
    written = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.txt")}
    paragraphs = written.pop("languages").strip().split("\n\n")
    languages = {name: text for name, _, text in (each.partition("\n") for each in paragraphs)}
    made = {
        "json": json.dumps([_order(number) for number in range(20)]),
        "json indented": json.dumps([_order(number) for number in range(10)], indent=2),
        "digits": str(int.from_bytes(stream("digits", 800), "big"))[:1_800],
        "figures": " ".join(f"{byte * 3.71:.2f}" for byte in stream("figures", 300)),
        "base64": base64.b64encode(stream("base64", 1_500)).decode(),
        "base64 in lines": base64.encodebytes(stream("lines", 1_500)).decode(),
        "hex": stream("hex", 1_000).hex(),
        "uuids": "\n".join(map(_uuid, range(50))),
        "random letters": letters(2_000),
        "random capitals": letters(2_000).upper(),
        "random words": " ".join(_words()),
        "emoji": "".join(EMOJI[byte % len(EMOJI)] for byte in stream("emoji", 400)),
    }
    return dict(sorted((written | languages | made).items()))


def stream(name: str, size: int) -> bytes:
    """Return bytes without a pattern, always the same ones for a name."""
    blocks = (
        hashlib.sha256(f"{name} {block}".encode()).digest() for block in range(size // 32 + 1)
    )
    return b"".join(blocks)[:size]


def letters(size: int) -> str:
    """Return one word of random small letters."""
    return "".join(string.ascii_lowercase[byte % 26] for byte in stream("letters", size))


def _words() -> Iterator[str]:
    word = letters(2_000)
    start = 0
    for byte in stream("words", 200):
        yield word[start : start + 3 + byte % 10]
        start += 3 + byte % 10


def _uuid(number: int) -> str:
    text = stream(f"uuid {number}", 16).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _order(number: int) -> dict[str, object]:
    seed = stream(f"order {number}", 8)
    return {
        "id": _uuid(number),
        "createdAt": f"2031-{seed[0] % 12 + 1:02}-{seed[1] % 28 + 1:02}T{seed[2] % 24:02}:15:00Z",
        "customer": {"name": ("Ann", "Bob", "Eve")[seed[3] % 3], "vip": seed[4] < 40},
        "lines": [{"sku": f"K-{byte:03}", "qty": byte % 7, "price": byte / 4} for byte in seed[5:]],
        "note": None,
    }
