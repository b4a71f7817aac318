"""Modules are small enough to read at once, and none shares its name with what it holds."""

import ast
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    path
    for package in ("meeting_core", "meeting_service")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.read_text().strip()
]
MAX_MEDIAN_LINES = 130
MAX_LINES = 300
REASON = "long because"
"""How the docstring of a module above the limit begins to say why."""


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_median_module_is_short():
    assert median(lines_of(path) for path in MODULES) <= MAX_MEDIAN_LINES


@pytest.mark.parametrize(
    "path", [path for path in MODULES if lines_of(path) > MAX_LINES], ids=named
)
def test_a_long_module_says_why(path):
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert REASON in docstring.lower(), f"{named(path)} has {lines_of(path)} lines"


def test_every_module_says_its_job():
    silent = [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


@pytest.mark.parametrize(
    "package", [path for path in MODULES if path.name == "__init__.py"], ids=named
)
def test_no_module_shares_its_name_with_a_name_that_its_package_exports(package):
    modules = {path.stem for path in package.parent.iterdir() if path.suffix == ".py"}
    modules |= {path.name for path in package.parent.iterdir() if (path / "__init__.py").exists()}
    tree = ast.parse(package.read_text())
    exported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    exported |= {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert not modules & exported
