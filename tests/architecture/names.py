"""Every name that the sources define, with its kind and its place."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).resolve().parents[2]

_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_SQL_TEXT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
# A call of SQL's own LEAST is not a name that was chosen here.
_SQL_NAME = re.compile(r"\b(?!least\()[a-z_][a-z0-9_]*\b")


class Name(Struct, frozen=True):
    """One defined name.

    Shape: `kind` is module, class, function, test, variable or heading; variables include
    parameters, fields and attributes. `place` is the file, relative to the repository.
    """

    text: str
    kind: str
    place: str
    line: int

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of the name in small letters: `MAX_WaitSeconds` has three."""
        return tuple(word.lower() for word in _WORD.findall(self.text))


def names_below(room: str) -> Iterator[Name]:
    """Yield every name that a folder or a file defines, those of its own path included."""
    path = ROOT / room
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    folders = {file.parent for file in files if file.suffix == ".py"}
    for folder in sorted(folders - {ROOT}):
        yield Name(folder.name, "module", str(folder.relative_to(ROOT)), 0)
    for file in files:
        place = str(file.relative_to(ROOT))
        match file.suffix:
            case ".py":
                if file.stem != "__init__":
                    yield Name(file.stem, "module", place, 0)
                yield from names_in_python(file.read_text("utf-8"), place)
            case ".sql":
                yield from names_in_sql(file.read_text("utf-8"), place)
            case ".md":
                yield Name(file.stem, "heading", place, 0)
                yield from headings_in(file.read_text("utf-8"), place)


def names_in_python(source: str, place: str) -> Iterator[Name]:
    """Yield what a module defines; uses are left out, so a library's words do not count."""
    for node in ast.walk(ast.parse(source)):
        for text, kind in _defined_by(node):
            yield Name(text, kind, place, getattr(node, "lineno", 0))


def names_in_sql(source: str, place: str) -> Iterator[Name]:
    """Yield the words of SQL outside comments and literals, each once."""
    for text in sorted(set(_SQL_NAME.findall(_SQL_TEXT.sub(" ", source)))):
        yield Name(text, "variable", place, 0)


def headings_in(page: str, place: str) -> Iterator[Name]:
    """Yield the headings of a markdown page."""
    for heading in _HEADING.findall(_FENCED.sub("", page)):
        yield Name(heading, "heading", place, 0)


def _defined_by(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.ClassDef(name=name):
            yield name, "class"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name, "test" if name.startswith("test_") else "function"
        case ast.arg(arg=name):
            yield name, "variable"
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            yield name, "class" if name[:1].isupper() and not name.isupper() else "variable"
        case ast.alias(asname=str(name)):
            yield name, "variable"
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name, "variable"
        case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name, "variable"
