"""The core sees no clock, no randomness and no outside world; its names are sorted and guarded."""

import ast
from pathlib import Path

import pytest

import meeting_core

ROOT = Path(meeting_core.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

ALLOWED = {
    *("bisect", "collections", "datetime", "enum", "functools", "hashlib", "itertools", "operator"),
    *("re", "types", "typing", "unicodedata", "uuid"),
    *("msgspec", "statemachine", "eventsourcing", "meeting_core"),
}
"""Packages the core may import: the standard library's pure parts, and its three libraries."""

FORBIDDEN_ATTRIBUTES = {
    *("now", "utcnow", "today", "fromtimestamp", "time", "monotonic", "perf_counter", "sleep"),
    *("uuid1", "uuid4", "uuid7", "random", "urandom", "getrandbits", "token_hex", "environ"),
}
FORBIDDEN_CALLS = {"open", "print", "input", "eval", "exec", "globals", "__import__", "breakpoint"}


BOUNDED_CACHES = {
    "_estimate_of_short",
    "_turn_marks",
    "_first_words",
    "_own_label",
    "_others_label",
}
"""Functions whose results may be kept: of short texts only, and not many of them. A cache of whole
texts would keep documents alive long after their meetings."""

MUTABLE = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
MUTABLE_TYPES = {
    "dict",
    "list",
    "set",
    "bytearray",
    "deque",
    "defaultdict",
    "Counter",
    "OrderedDict",
}
MUTATORS = {
    *("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft"),
    *("remove", "reverse", "setdefault", "sort", "update"),
}


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


def name_of(node: ast.expr) -> str:
    """Give the last name of what is called, decorated or assigned to."""
    match node:
        case ast.Call(func=func):
            return name_of(func)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Subscript(value=value):
            return name_of(value)
    return ""


def mutable_globals(tree: ast.Module) -> set[str]:
    """List the names that a module gives to something that can be changed in place."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            is_made = isinstance(node.value, ast.Call) and name_of(node.value) in MUTABLE_TYPES
            if isinstance(node.value, MUTABLE) or is_made:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {name_of(target) for target in targets}
    return found


def kept_state(tree: ast.Module) -> list[str]:
    """List what a module keeps from one call to the next: globals changed in functions, caches."""
    found, names = [], mutable_globals(tree)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        caches = {name_of(each) for each in function.decorator_list} & {"cache", "lru_cache"}
        if caches and function.name not in BOUNDED_CACHES:
            found.append(f"{function.name} is cached")
        for node in ast.walk(function):
            targets: list[ast.expr] = []
            match node:
                case ast.Call(func=ast.Attribute(attr=attr, value=value)) if attr in MUTATORS:
                    targets = [value]
                case ast.Assign(targets=assigned) | ast.Delete(targets=assigned):
                    targets = [each.value for each in assigned if isinstance(each, ast.Subscript)]
                case ast.AugAssign(target=ast.Subscript(value=value) | (ast.Name() as value)):
                    targets = [value]
            found += [
                f"line {node.lineno}: {name_of(each)}" for each in targets if name_of(each) in names
            ]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_keeps_nothing_from_one_call_to_the_next(path: Path):
    assert kept_state(tree_of(path)) == []


@pytest.mark.parametrize(
    "keeping",
    [
        "_newest: dict[str, str] = {}\ndef remember(key, value):\n    _newest[key] = value",
        "_newest = {}\ndef forget():\n    _newest.clear()",
        "seen = set()\ndef see(name):\n    seen.add(name)",
        "from collections import deque\nlast = deque(maxlen=9)\ndef keep(x):\n    last.append(x)",
        "counts = [0]\ndef count():\n    counts[0] += 1",
        "kept = {}\ndef drop(key):\n    del kept[key]",
        "@lru_cache(maxsize=64)\ndef parse(text): ...",
        "@functools.cache\ndef parse(text): ...",
    ],
)
def test_the_check_finds_what_is_kept(keeping: str):
    assert kept_state(ast.parse(keeping)) != []


def test_what_a_module_only_reads_is_not_kept():
    assert (
        kept_state(ast.parse("RULES = {1: 2}\ndef rule(n):\n    own = {}\n    own[n] = RULES[n]"))
        == []
    )


def test_every_bounded_cache_is_there():
    names = {
        node.name
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef)
    }
    assert names >= BOUNDED_CACHES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
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
