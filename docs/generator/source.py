"""Reading the source: docstrings, fields, signatures.

Types and defaults are taken as they are written: an alias such as `Task` tells a reader more than
what it stands for, and the text is the same under every version of Python.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from msgspec import Struct

MAX_LINE = 96


class Field(Struct, frozen=True):
    """One field of a struct, as written; `default` is empty if there is none."""

    name: str
    type: str
    default: str


def text_of(documented: Any) -> str:
    """Return a docstring as markdown.

    Raises: `ValueError` if there is none.
    """
    if not documented.__doc__:
        raise ValueError(f"{documented!r} has no docstring")
    return inspect.cleandoc(documented.__doc__)


def fields_of(struct: type) -> list[Field]:
    """List a struct's own fields."""
    module = vars(inspect.getmodule(struct))
    return [
        Field(
            ast.unparse(line.target),
            ast.unparse(line.annotation),
            _written(line.value, module) if line.value else "",
        )
        for line in _body(struct)
        if isinstance(line, ast.AnnAssign) and "ClassVar" not in ast.unparse(line.annotation)
    ]


def properties_of(struct: type) -> list[tuple[str, str, str]]:
    """List the public properties: name, type, meaning."""
    return [
        (
            line.name,
            ast.unparse(line.returns) if line.returns else "",
            ast.get_docstring(line) or "",
        )
        for line in _functions(struct)
        if any(ast.unparse(decorator) == "property" for decorator in line.decorator_list)
    ]


def methods_of(struct: type) -> list[tuple[str, str]]:
    """List the public methods: signature, meaning."""
    return [
        (_signature(line), ast.get_docstring(line) or "")
        for line in _functions(struct)
        if not line.decorator_list
    ]


def signature_of(function: Callable[..., Any]) -> str:
    """Write a function's signature on one line."""
    parsed = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(parsed, ast.FunctionDef)
    signature = _signature(parsed)
    if len(signature) <= MAX_LINE:
        return signature
    arguments, _, returns = signature.partition("(")[2].rpartition(")")
    parts = "".join(f"\n    {part}," for part in _parts(arguments))
    return f"{parsed.name}({parts}\n){returns}"


def aliases_of(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Return each type alias and new type of a module, as written, with the docstring below it."""
    found: dict[str, tuple[str, str]] = {}
    body = ast.parse(inspect.getsource(module)).body
    for line, following in zip(body, [*body[1:], None], strict=True):
        match line:
            case ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value):
                if ast.unparse(line.annotation) != "TypeAlias":
                    continue
            case ast.Assign(targets=[ast.Name(name)], value=ast.Call() as value):
                if ast.unparse(value.func) != "NewType":
                    continue
            case _:
                continue
        found[name] = (ast.unparse(value), _docstring(following))
    return found


def _parts(arguments: str) -> Iterator[str]:
    """Split arguments at the commas outside brackets."""
    part, depth = "", 0
    for mark in arguments:
        depth += (mark in "[(") - (mark in "])")
        if mark == "," and depth == 0:
            yield part.strip()
            part = ""
        else:
            part += mark
    yield part.strip()


def _written(default: ast.expr, module: Mapping[str, Any]) -> str:
    """Write a default as it is written, but the value of a constant."""
    return repr(module[default.id]) if isinstance(default, ast.Name) else ast.unparse(default)


def _docstring(line: ast.stmt | None) -> str:
    match line:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
        case _:
            return ""


def _signature(function: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{function.name}({ast.unparse(function.args)}){returns}"


def _functions(struct: type) -> Iterator[ast.FunctionDef]:
    for line in _body(struct):
        if isinstance(line, ast.FunctionDef) and not line.name.startswith("_"):
            yield line


def _body(struct: type) -> list[ast.stmt]:
    parsed = ast.parse(textwrap.dedent(inspect.getsource(struct))).body[0]
    assert isinstance(parsed, ast.ClassDef)
    return parsed.body
