"""The glossary is complete and true: each term lives where the page says."""

import importlib
import re
from typing import get_args

from meeting_core.steps import Step
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "explanation" / "glossary.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([A-Z][\w ,]+) \| (.+?) \| `([\w.]+)` \| (.*?) ?\|$", PAGE, re.MULTILINE)
TERMS = {term for words, *_ in ROWS for term in words.split(", ")}
DESIGNED = {
    *("Meeting", "Participant", "Agenda", "Topic", "Round", "Turn", "Attempt", "Brief"),
    *("Synthesis", "Minutes", "Phase", "Step", "Gateway", "Usage", "Budget", "Reservation"),
    *("Lease", "Epoch", "Runner", "Supervisor", "Version", "Position", "Projection", "Feed"),
}


def found_at(path: str) -> object:
    """Return the module, class or type of a dotted name."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


def test_each_term_lives_where_the_page_says():
    lost = []
    for term, _, path, _ in ROWS:
        try:
            found_at(path)
        except (ImportError, AttributeError):
            lost.append(f"{term}: {path}")
    assert not lost


def test_every_row_is_read_and_every_term_of_the_design_is_there():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    assert len(rows) == len(ROWS) + 1
    assert DESIGNED <= TERMS
    assert len(TERMS) == sum(len(words.split(", ")) for words, *_ in ROWS)


def test_the_steps_of_the_core_have_a_row_in_the_page_on_running_a_meeting():
    page = (ROOT / "docs" / "explanation" / "how-a-meeting-runs.md").read_text("utf-8")
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert named == {step.__name__ for step in get_args(Step)}
