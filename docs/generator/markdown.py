"""Writing markdown: tables, links, and docstrings in the shape of a page."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

DECISIONS = Path(__file__).resolve().parents[1] / "decisions"

NOTICE = "<!-- Made by docs/generate.py; change the code it describes and run that. -->"

_LABEL = re.compile(r"(?<![\w`])(Units|Shape|Raises|Invariant|Source):(?= )")
_DECISION = re.compile(r"\bADR (\d{4})\b")
_SEVERAL = re.compile(r"(tuple|list)\[(\w+)(?:, \.\.\.)?\]")
_NAME = re.compile(r"[A-Z]\w+")


def page(title: str, *parts: str) -> str:
    """Return a page of parts."""
    return "\n\n".join((NOTICE, f"# {title}", *(part.strip("\n") for part in parts if part))) + "\n"


def prose(docstring: str) -> str:
    """Turn a docstring into paragraphs: labels stand out, decisions are linked."""
    text = _LABEL.sub(r"**\1:**", docstring)
    return _DECISION.sub(_linked_decision, text)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as a table, or an empty text if there are none."""
    lines = [" | ".join(_cell(cell) for cell in row) for row in rows]
    if not lines:
        return ""
    rule = " | ".join("---" for _ in headings)
    return "\n".join(f"| {line} |" for line in (" | ".join(headings), rule, *lines))


def code(text: str) -> str:
    """Return a text as code, or an empty text as it is."""
    return f"`{text}`" if text else ""


def fenced(language: str, text: str) -> str:
    """Return a text in a fenced block."""
    return f"```{language}\n{text.strip(chr(10))}\n```"


def typed(annotation: str, places: Mapping[str, str]) -> str:
    """Write a type; the names that have a place are linked to it."""
    return " or ".join(_typed_part(part, places) for part in annotation.split(" | "))


def names_in(annotation: str) -> list[str]:
    """Return the names in a type that may be ours."""
    return _NAME.findall(annotation)


def linked(name: str, places: Mapping[str, str]) -> str:
    """Write a name as code, linked if it has a place."""
    return f"[`{name}`]({places[name]})" if name in places else code(name)


def _typed_part(part: str, places: Mapping[str, str]) -> str:
    if part == "None":
        return "none"
    if match := _SEVERAL.fullmatch(part):
        return f"{match[1]} of {linked(match[2], places)}"
    return linked(part, places)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or " "


def _linked_decision(match: re.Match[str]) -> str:
    [path] = DECISIONS.glob(f"{match[1]}-*.md")
    return f"[ADR {match[1]}](../decisions/{path.name})"
