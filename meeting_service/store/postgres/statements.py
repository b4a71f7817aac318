"""The statements of `statements.sql`, by name."""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- ([a-z_]+):$", re.MULTILINE)


def _load() -> Mapping[str, str]:
    script = files(__package__).joinpath("statements.sql").read_text(encoding="utf-8")
    statements: dict[str, str] = {}
    for name, body in _sections(script):
        if name in statements:
            raise ValueError(f"statements.sql names {name!r} twice")
        lines = (line for line in body.splitlines() if not line.startswith("--"))
        statements[name] = "\n".join(lines).strip().removesuffix(";")
    return MappingProxyType(statements)


def _sections(script: str) -> Iterator[tuple[str, str]]:
    parts = _NAME.split(script)[1:]
    return zip(parts[::2], parts[1::2], strict=True)


QUERIES: Mapping[str, str] = _load()
"""Every statement that the store sends; none is composed in Python."""
