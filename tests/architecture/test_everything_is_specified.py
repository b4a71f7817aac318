"""Every fact and every command of the core has its specifications; a new one fails here first."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from meeting_core import Fact, Refusal, errors
from meeting_core.model import Command

SPECS = Path(__file__).parents[1] / "meeting_core"
COMMANDS = [command.__name__ for command in get_args(Command)]
FACTS = [fact.__name__ for fact in get_args(Fact)]

MAY_HAVE_NOTHING_TO_DO = {"AbandonAttempt", "Cancel", "Pause", "Resume"}
NAMED_IN_SPECS = {"REMARK": "MakeRemark", "ADOPT": "Adopt", "fault": "ReportFault"}
"""Commands that a module of specs keeps under a name of its own, because many of them give it."""


@cache
def specified() -> dict[str, set[str]]:
    """Read the specs: command -> ways it is answered (`then`, `then_nothing`, `then_refused`)."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SPECS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        attr="then" | "then_nothing" | "then_refused" as answer,
                        value=ast.Call(func=ast.Attribute(attr="when"), args=[command, *_]),
                    )
                ):
                    found[name_of(command)].add(answer)
    return found


def name_of(node: ast.expr) -> str:
    match node:
        case ast.Call(func=ast.Name(id=name)) | ast.Name(id=name):
            return NAMED_IN_SPECS.get(name, name)
    return ast.dump(node)


@cache
def names_expected() -> set[str]:
    """Read the specs: every name used in what a `then` or a `then_refused` expects."""
    found = set()
    for path in SPECS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"then", "then_refused"}
            ):
                names = [name for name in ast.walk(node) if isinstance(name, ast.Name)]
                found |= {name.id.replace("_", "").lower() for name in names}
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_spec_in_which_it_is_accepted(command: str):
    assert "then" in specified()[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_spec_in_which_it_is_refused(command: str):
    assert "then_refused" in specified()[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_may_have_nothing_to_do_has_a_spec_for_that(command: str):
    assert ("then_nothing" in specified()[command]) == (command in MAY_HAVE_NOTHING_TO_DO)


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_is_expected_by_a_spec(fact: str):
    aliases = {"Adopted": "adopted", "AttemptStarted": "startedafter", "RemarkMade": "made"}
    assert {fact.lower(), aliases.get(fact, fact.lower())} & names_expected()


@pytest.mark.parametrize(
    "refusal",
    sorted(
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Refusal) and value is not Refusal
    ),
)
def test_every_refusal_is_expected_by_a_spec(refusal: str):
    assert refusal.lower() in names_expected()
