"""No name is a private word: each has the word that an engineer of the field would search for."""

import pytest

from meeting_service.settings import describe_settings
from tests.architecture.names import (
    ROOT,
    Name,
    headings_in,
    names_below,
    names_in_python,
    names_in_sql,
)
from tests.architecture.vocabulary import EXCEPTIONS, RULES, forbidden

PACKAGES = (
    "meeting_core",
    "meeting_service",
    "tests",
    "tests/meeting_core",
    "tests/meeting_service",
)
ROOMS = sorted(
    {
        *("bench", "docs", "examples", "run.py", "README.md", "CONTRIBUTING.md", "SECURITY.md"),
        *(
            str(path.relative_to(ROOT))
            for package in PACKAGES
            for path in (ROOT / package).iterdir()
            if path.suffix == ".py" or any(path.rglob("*.py"))
            if str(path.relative_to(ROOT)) not in PACKAGES
        ),
    }
)


def problems_in(source: str, place: str = "meeting_core/planted.py") -> list[str]:
    return [each for name in names_in_python(source, place) for each in forbidden(name)]


@pytest.mark.parametrize("room", [room for room in ROOMS if (ROOT / room).exists()])
def test_no_name_of_a_room_is_a_private_word(room: str):
    found = [problem for name in names_below(room) for problem in forbidden(name)]
    assert not found, "\n".join(found)


def test_no_setting_is_a_private_word():
    names = [
        Name(each.name, "variable", f"[{each.table}]", 0)
        for each in describe_settings()
        if each.name
    ]
    assert names
    assert [problem for name in names for problem in forbidden(name)] == []


@pytest.mark.parametrize(
    "source",
    [
        "class CommitVigil: pass",
        "def may_enter(): pass",
        "async def f(permits): pass",
        "lambda patience: 0",
        "PATIENCE_SECONDS = 3",
        "self.is_away = True",
        "notice: int = 3\ndef notice_change(): pass",
        "for ring in x: pass",
        "with x as doors: pass",
        "[tickets for tickets in x]",
        "import x as surroundings",
        "try: pass\nexcept E as told: pass",
        "match x:\n    case [*seats]: pass",
        "match x:\n    case {**mishaps}: pass",
        "match x:\n    case C() as purse: pass",
        "if (economies := f()): pass",
        "MOST_CALLS = 3",
        "def f(*, least_tokens): pass",
        "class Origin: pass",
        "Dispatch: TypeAlias = int",
        "def test_a_door_is_shut(): pass",
    ],
)
def test_a_planted_name_is_found(source: str):
    assert problems_in(source)


@pytest.mark.parametrize(
    "source",
    [
        "__slots__ = ()",
        "class CallSlotTaken: pass",
        "free_call_slots = 3",
        "foretold = restored = stringent = almost = 3",
        "record, origin = asyncpg.Record, 1",
        "patience.wait(x.doors, told=1)",
        "def test_a_caller_is_told_at_most_once(): pass",
        "# vigil\n'doors'",
    ],
)
def test_uses_of_a_librarys_words_and_longer_words_are_not_found(source: str):
    assert problems_in(source) == []


def test_modules_headings_and_sql_are_checked_too():
    planted = [
        Name("vigil", "module", "meeting_service/store/vigil.py", 0),
        Name("terms", "module", "meeting_service/views/terms.py", 0),
        *headings_in("# Doors\n\n```sh\n# a permit\n```\n\n## Fine", "docs/page.md"),
        *names_in_sql("SELECT unowned -- told\nFROM x WHERE a = 'seat'", "a.sql"),
    ]
    found = [name.text for name in planted if any(forbidden(name))]
    assert found == ["vigil", "terms", "Doors", "unowned"]


def test_every_rule_and_every_exception_is_spelt_so_that_it_can_be_met():
    spelt = [word for rule in RULES for words in rule.words for word in words.split()]
    assert all(word.isalpha() and word.islower() for word in spelt)
    assert all(reason for reason in EXCEPTIONS.values())
    assert all(rule.instead for rule in RULES)
