"""The code blocks of a markdown page."""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^( *)(`{3,})(\w*)\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)


class Block(Struct, frozen=True):
    """One block: its language, its text, and the line it begins on."""

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """List the pages that people write; docs/generate.py answers for the others."""
    docs = (path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "reference")
    return sorted([*ROOT.glob("*.md"), *docs])


def blocks_of(page: Path) -> Iterator[Block]:
    """Give a page's blocks in order."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        indent, _, language, body = match.groups()
        lines = body.splitlines(keepends=True)
        line = text.count("\n", 0, match.start()) + 1
        yield Block(language, "".join(each.removeprefix(indent) for each in lines), line)
