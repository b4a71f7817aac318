"""The picture of the house and the table of its rooms, drawn from the import contracts."""

import ast
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from generator.markdown import code, page, table

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("meeting_service", "meeting_core")

SVG = "http://www.w3.org/2000/svg"
WIDTH, MARGIN, GAP = 1000, 24, 14
TITLE_HEIGHT, NAME_HEIGHT, LINE_HEIGHT, ROW_GAP = 34, 30, 14, 18
CHARACTER_WIDTH, MAX_LINES = 6.2, 3
COLOURS = {"meeting_service": ("#eef4fb", "#2b5d8c"), "meeting_core": ("#eef8f0", "#2f6b3c")}

Layers = Sequence[Sequence[str]]


def architecture_pages() -> dict[str, str]:
    """Make the picture, and the page that lists the rooms."""
    intro = (
        "Each room and its job, as its own docstring says it, highest layer first; "
        "[the picture](architecture.svg) has them as boxes. A room imports only from rooms below "
        "its own, and rooms of one layer never import each other: the contracts in "
        "`pyproject.toml` hold this on every lint."
    )
    return {
        "architecture.svg": architecture_picture(),
        "rooms.md": page("Rooms", intro, rooms_table()),
    }


def architecture_picture() -> str:
    """Draw both packages as an SVG: a row a layer, a box a room; imports go downwards only."""
    parts: list[str] = []
    top = MARGIN
    for package in PACKAGES:
        rows = [[Box(room, package, layer) for room in layer] for layer in layers_of(package)]
        height = TITLE_HEIGHT + sum(_height(row) + ROW_GAP for row in rows)
        parts.extend(_package(package, rows, top, height))
        top += height + MARGIN
    return "\n".join(
        (
            f'<svg xmlns="{SVG}" viewBox="0 0 {WIDTH} {top}" font-family="sans-serif">',
            "<title>The rooms of meeting_service and meeting_core, and who may import whom</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        )
    )


def rooms_table() -> str:
    """List every room with its job, as its own docstring says it."""
    rows = [
        (code(f"{package}.{room}"), job_of(package, room))
        for package in PACKAGES
        for layer in layers_of(package)
        for room in layer
    ]
    return table(("room", "its job"), rows)


def layers_of(package: str) -> Layers:
    """Read a package's layers, highest first, from the import contracts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts: list[Mapping[str, Any]] = project["tool"]["importlinter"]["contracts"]
    [layers] = [
        contract["layers"]
        for contract in contracts
        if contract.get("containers") == [package] and contract.get("exhaustive")
    ]
    return [
        [room.strip(" ()") for room in layer.split("|") if _path(package, room.strip(" ()"))]
        for layer in layers
    ]


def job_of(package: str, room: str) -> str:
    """Return the first sentence of a room's docstring, without the room's name before it."""
    path = _path(package, room)
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path else None
    if not docstring:
        raise ValueError(f"{package}.{room} does not say its job in a docstring")
    return " ".join(docstring.split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def _path(package: str, room: str) -> Path | None:
    folder = ROOT / package
    found = (folder / f"{room}.py", folder / room / "__init__.py")
    return next((path for path in found if path.exists()), None)


class Box:
    """A room as it is drawn: its width, and its job in lines that fit."""

    def __init__(self, room: str, package: str, layer: Sequence[str]) -> None:
        self.room = room
        inner = WIDTH - 2 * MARGIN - 2 * GAP
        self.width = (inner - (len(layer) - 1) * GAP) / len(layer)
        wrapped = textwrap.wrap(job_of(package, room), int(self.width / CHARACTER_WIDTH))
        if len(wrapped) > MAX_LINES:
            wrapped = [*wrapped[: MAX_LINES - 1], f"{wrapped[MAX_LINES - 1]} ..."]
        self.lines = wrapped


def _height(row: Sequence[Box]) -> int:
    return NAME_HEIGHT + LINE_HEIGHT * max(len(box.lines) for box in row)


def _package(package: str, rows: Sequence[Sequence[Box]], top: int, height: int) -> Iterator[str]:
    fill, line = COLOURS[package]
    yield (
        f'<rect x="{MARGIN}" y="{top}" width="{WIDTH - 2 * MARGIN}" height="{height}" rx="10" '
        f'fill="{fill}" stroke="{line}"/>'
    )
    yield (
        f'<text x="{MARGIN + 14}" y="{top + 23}" font-size="16" font-weight="bold" '
        f'fill="{line}">{package}</text>'
    )
    y = top + TITLE_HEIGHT
    for index, row in enumerate(rows):
        yield from _row(row, y, line)
        y += _height(row)
        if index + 1 < len(rows):
            yield _arrow(y, line)
        y += ROW_GAP


def _row(row: Sequence[Box], y: int, line: str) -> Iterator[str]:
    for index, box in enumerate(row):
        x = MARGIN + GAP + index * (box.width + GAP)
        middle = x + box.width / 2
        yield (
            f'<rect x="{x:.1f}" y="{y}" width="{box.width:.1f}" height="{_height(row)}" rx="6" '
            f'fill="#ffffff" stroke="{line}"/>'
        )
        yield _text(middle, y + 18, 13, box.room, line, weight="bold")
        for number, text in enumerate(box.lines, 1):
            yield _text(middle, y + 20 + LINE_HEIGHT * number, 11, text, "#333333")


def _text(x: float, y: int, size: int, text: str, fill: str, *, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="middle" fill="{fill}">{escape(text)}</text>'
    )


def _arrow(y: int, line: str) -> str:
    """Point from a layer to the one below it."""
    x = WIDTH / 2
    end = y + ROW_GAP
    return (
        f'<path d="M{x:.1f} {y + 3} V{end - 7}" stroke="{line}" fill="none"/>'
        f'<path d="M{x - 4:.1f} {end - 8} h8 l-4 6 z" fill="{line}"/>'
    )
