"""What holds for the pages as pages: links lead somewhere, decisions are short."""

import importlib
import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, pages

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
DOTTED = re.compile(r"`(meeting_(?:core|service)(?:\.\w+)+)`")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MAX_LINES_OF_A_DECISION = 45
REGISTRIES = re.compile(r"\b(?:pypi|pythonhosted|npmjs|yarnpkg)[.](?:org|com)\b")
"""Hosts that no page names: it links to a project's own documentation or repository."""
ALL_PAGES = sorted({*pages(), *(ROOT / "docs").rglob("*.md")})


def exists(path: str) -> bool:
    """Return whether a dotted name is that of a module, or of something in one."""
    module, rest = path, ""
    while module:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            module, _, name = module.rpartition(".")
            rest = f"{name}.{rest}".strip(".")
        else:
            return not rest or hasattr(found, rest.partition(".")[0])
    return False


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_package_registry(page):
    assert REGISTRIES.findall(page.read_text()) == []


def test_every_dotted_name_of_ours_on_a_page_exists(subtests):
    for page in pages():
        for path in sorted(set(DOTTED.findall(page.read_text()))):
            with subtests.test(page=page.name, path=path):
                assert exists(path)


def test_the_index_leads_to_every_page_that_is_written():
    index = (ROOT / "docs" / "index.md").read_text()
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert written - {"index.md"} <= set(LINK.findall(index))


def test_decisions_are_numbered_without_gaps_and_short():
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    for number, page in enumerate(decisions, 1):
        lines = page.read_text().splitlines()
        assert page.name.startswith(f"{number:04d}-")
        assert lines[0].startswith(f"# {number:04d} ")
        assert len(lines) <= MAX_LINES_OF_A_DECISION
        assert [line for line in lines if line.startswith("## ")] == [
            "## Context",
            "## Decision",
            "## Consequences",
        ]
