"""Errors as providers, servers and bridges send them: a body a line, with what belongs to it."""

import json
from pathlib import Path
from typing import Any


def recorded(name: str, *fields: str) -> list[tuple[Any, ...]]:
    """Read these fields of each recorded error of a kind."""
    lines = (Path(__file__).parent / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [tuple(row[field] for field in fields) for row in map(json.loads, lines)]
