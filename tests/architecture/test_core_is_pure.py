"""The core sees no clock, no randomness and no outside world; its names are sorted and guarded."""

import ast
from pathlib import Path

import pytest

import meeting_core

ROOT = Path(meeting_core.__file__).parent
MODULES = sorted(ROOT.glob("*.py"))

ALLOWED = {
    *("bisect", "collections", "datetime", "enum", "functools", "hashlib", "itertools", "operator"),
    *("re", "types", "typing", "uuid"),
    *("msgspec", "statemachine", "eventsourcing", "meeting_core"),
}
"""Packages the core may import: the standard library's pure parts, and its three libraries."""

FORBIDDEN_ATTRIBUTES = {
    *("now", "utcnow", "today", "fromtimestamp", "time", "monotonic", "perf_counter", "sleep"),
    *("uuid1", "uuid4", "uuid7", "random", "urandom", "getrandbits", "token_hex", "environ"),
}
FORBIDDEN_CALLS = {"open", "print", "input", "eval", "exec", "globals", "__import__", "breakpoint"}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def impurities(tree: ast.Module) -> list[str]:
    found = [name for name in imports(tree) if name.split(".")[0] not in ALLOWED]
    found += [name for name in imports(tree) if name.split(".")[-1] in FORBIDDEN_ATTRIBUTES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
            found.append(f"line {node.lineno}: .{node.attr}")
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                found.append(f"line {node.lineno}: {name}()")
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global | ast.Nonlocal):
            found.append(f"line {node.lineno}: {type(node).__name__}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_core_is_pure(path: Path):
    assert impurities(tree_of(path)) == []


@pytest.mark.parametrize(
    "impure",
    [
        "import asyncio",
        "import os.path",
        "from time import time",
        "from uuid import uuid4",
        "from datetime import datetime\nat = datetime.now()",
        "import random",
        "import logging",
        "async def f(): pass",
        "open('x')",
    ],
)
def test_the_check_finds_what_is_impure(impure: str):
    assert impurities(ast.parse(impure)) != []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_of_the_core_has_mutable_defaults_or_bare_excepts(path: Path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, node.lineno
        if isinstance(node, ast.FunctionDef):
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                assert not isinstance(default, ast.List | ast.Dict | ast.Set), node.lineno


def test_the_public_names_are_sorted_and_guarded():
    assert meeting_core.__all__ == sorted(meeting_core.__all__)
    assert len(set(meeting_core.__all__)) == len(meeting_core.__all__)
    public = {
        name
        for name, value in vars(meeting_core).items()
        if not name.startswith("_") and type(value).__name__ != "module"
    }
    assert public == set(meeting_core.__all__)


def test_every_public_name_says_what_it_means():
    """Aliases have no docstring of their own; the classes behind them do."""
    silent = [
        name
        for name in meeting_core.__all__
        if isinstance(value := getattr(meeting_core, name), type) or callable(value)
        if not (value.__doc__ or "").strip()
    ]
    assert silent == []


def test_importing_the_core_brings_no_event_loop_and_no_server():
    heavy = {"anyio", "asyncpg", "litestar", "openai", "sqlalchemy"}
    for path in MODULES:
        assert not {name.split(".")[0] for name in imports(tree_of(path))} & heavy
