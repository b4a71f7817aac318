"""A package gives exactly the names it says it gives, and no module has a function's name."""

from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import FunctionType, ModuleType

import pytest

import meeting_core

PACKAGES = [
    "meeting_core",
    *(f"meeting_core.{name}" for name in ("budget", "decider", "model", "projector", "prompt")),
    "meeting_core.steps",
]
MODULES = [each.name for each in walk_packages(meeting_core.__path__, "meeting_core.")]
PATH = Path(meeting_core.__file__).parent


def place(name: str) -> tuple[int, str]:
    """Constants come first, then classes, then functions, as the linter sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_gives_exactly_its_sorted_names(name: str):
    package = import_module(name)
    assert package.__all__ == sorted(package.__all__, key=place)
    assert len(set(package.__all__)) == len(package.__all__)
    for public in package.__all__:
        assert hasattr(package, public), public


@pytest.mark.parametrize("name", ["meeting_core", "meeting_core.model", "meeting_core.steps"])
def test_what_a_package_gives_is_guarded(name: str):
    """A name imported into them for their own use would be one more that others may use."""
    package = import_module(name)
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(package.__all__)


def test_every_package_of_the_core_is_listed():
    folders = {path.parent.relative_to(PATH.parent) for path in PATH.rglob("__init__.py")}
    assert {".".join(folder.parts) for folder in folders} == set(PACKAGES)


def test_no_module_shares_its_name_with_a_function():
    functions = {
        name
        for module in map(import_module, ["meeting_core", *MODULES])
        for name, value in vars(module).items()
        if isinstance(value, FunctionType)
    }
    shared = [name for name in MODULES if name.rpartition(".")[2] in functions]
    assert shared == []
