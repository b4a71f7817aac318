"""The reference pages: made from the code, complete, and told apart when they are not."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from cyclopts import App

import meeting_core
from meeting_core.decider.fault_policy import FAULT_RULES
from meeting_core.errors import MeetingError
from meeting_core.model import TRANSITIONS, Command, Fact
from meeting_service.cli.application import command_line
from meeting_service.cli.exit_codes import MEANINGS
from meeting_service.http.application import api_routes
from meeting_service.http.problems import PROBLEM_TYPES
from meeting_service.ports import GatewayFault
from meeting_service.settings import describe_settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = DOCS / "reference"


def headings(page: str) -> set[str]:
    return set(re.findall(r"^## (.+)$", (REFERENCE / page).read_text(), re.MULTILINE))


def first_cells(page: str) -> set[str]:
    return set(re.findall(r"^\| `?([^`|]+?)`? \|", (REFERENCE / page).read_text(), re.MULTILINE))


def descendants(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from descendants(each)


def commands(app: App, above: str = "meetings ") -> Iterator[str]:
    for name in app:
        if not name.startswith("-"):
            yield above + name
            yield from commands(app[name], f"{above}{name} ")


def test_the_committed_pages_are_what_the_code_says_however_it_is_run():
    checked = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PYTHONPATH": str(DOCS.parent), "PYTHONHASHSEED": "random", "COLUMNS": "40"},
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_page_that_differs_is_named_with_the_command_that_makes_it_anew(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.syspath_prepend(DOCS)
    generate = importlib.import_module("generate")
    copy = tmp_path / "reference"
    assert generate.main([str(copy)]) == 0
    (copy / "events.md").write_text("something else")
    (copy / "phases.md").unlink()
    (copy / "old.md").write_text("of a page that is gone")
    assert generate.main(["--check", str(copy)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" is not ")[0] for line in lines] == [
        str(copy / name) for name in ("events.md", "phases.md", "old.md")
    ]
    assert all(line.endswith("run: python docs/generate.py") for line in lines)
    assert generate.main([str(copy)]) == 0
    assert generate.main(["--check", str(copy)]) == 0


def test_every_public_name_of_the_core_has_an_entry():
    assert headings("core-api.md") == set(meeting_core.__all__)


def test_every_fact_has_an_entry_with_its_stored_name():
    assert headings("events.md") == {fact.__name__ for fact in get_args(Fact)} | {"MeetingEvent"}
    text = (REFERENCE / "events.md").read_text()
    for fact in get_args(Fact):
        assert f"## {fact.__name__}\n\n`{fact.TOPIC}`\n" in text


def test_every_command_has_an_entry():
    assert headings("commands.md") == {command.__name__ for command in get_args(Command)}


def test_every_refusal_and_every_fault_has_an_entry():
    every = descendants(MeetingError)
    errors = {each.__name__ for each in every if each.__module__ == MeetingError.__module__}
    faults = {each.__name__ for each in descendants(GatewayFault)}
    assert errors | faults <= first_cells("errors.md")


def test_every_problem_over_http_has_an_entry():
    assert {kind.uri for kind in PROBLEM_TYPES} <= first_cells("errors.md")


def test_every_route_is_in_the_openapi_document():
    document = json.loads((REFERENCE / "openapi.json").read_text())
    paths = {re.sub(r":\w+}", "}", path) for route in api_routes for path in route.paths}
    assert set(document["paths"]) == paths


def test_every_setting_has_an_entry_in_its_table():
    text = (REFERENCE / "settings.md").read_text()
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", text, re.MULTILINE))
    for setting in describe_settings():
        title = setting.table or "Above the first table"
        assert setting.name == "kind" or f"| `{setting.name}` |" in sections[title]
        assert setting.text in sections[title]


def test_every_command_of_the_command_line_and_every_exit_code_has_an_entry():
    assert headings("cli.md") == {*commands(command_line()), "Exit codes"}
    assert {str(code.value) for code in MEANINGS} <= first_cells("cli.md")


def test_every_edge_of_the_chart_and_every_rule_for_faults_has_a_row():
    rows = (REFERENCE / "phases.md").read_text()
    for (phase, trigger), target in TRANSITIONS.items():
        assert f"| `{phase}` | `{trigger}` | `{target}` |" in rows
    assert {fault.value for fault in FAULT_RULES} <= first_cells("faults.md")


@pytest.mark.parametrize("page", sorted(path.name for path in REFERENCE.glob("*.md")))
def test_no_entry_of_a_page_is_empty(page):
    text = (REFERENCE / page).read_text()
    assert not re.search(r"^(## .+)\n\n(?=##|\Z)", text, re.MULTILINE)
