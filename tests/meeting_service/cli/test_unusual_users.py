"""Commands as a container runs them: a user without a name, without a home, with nothing to write.

Each ends in one line that says what to do, as a wrong setting does, or works.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from meeting_service.cli.exit_codes import Exit
from tests.meeting_service.cli.fake_service import Reply, fake_service

ROOT = Path(__file__).parents[3]
AS_SOMEBODY = """
import io, json, os, pwd, sys
from contextlib import redirect_stderr, redirect_stdout
from meeting_service.cli.application import run

def no_entry(user):
    raise KeyError(user)

def run_all():
    for arguments, environ in cases:
        os.environ.clear()
        os.environ.update(environ)
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with redirect_stdout(out), redirect_stderr(err):
            code = run(arguments)
            out.flush(), err.flush()
        yield [code, *(each.buffer.getvalue().decode() for each in (out, err))]

pwd.getpwuid = no_entry
cases = json.load(sys.stdin)
if os.geteuid() == 0:
    # Once as root: what Python imports may be in root's home.
    everything, cases = cases, [each for each in cases if "own" not in str(each[1].get("HOME"))]
    list(run_all())
    cases = everything
    os.setgroups([])
    os.setgid(12345)
    os.setuid(12345)
json.dump(list(run_all()), sys.__stdout__)
"""
CLIENT_COMMANDS = [["list"], ["watch", "m1"], ["history", "m1"], ["cancel", "m1"]]
OWN_COMMANDS = [["serve", "--port=0"], ["demo"], ["db", "upgrade"], ["db", "rebuild"]]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line that an error is, after what a command says of its progress."""
        assert self.out == ""
        *progress, line = self.err.splitlines()
        assert all(each.startswith("meetings: starting") for each in progress), self.err
        assert line.startswith("meetings: ")
        return line


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach and nobody may write, with one in it for the user."""
    with TemporaryDirectory(dir="/tmp") as folder:
        place = Path(folder)
        (place / "own").mkdir()
        (place / "own").chmod(0o777)
        place.chmod(0o555)
        yield place
        place.chmod(0o755)


def run_as_somebody(place: Path, cases: list[tuple[list[str], dict[str, str]]]) -> list[Ended]:
    """Run commands as a user without an entry in /etc/passwd."""
    finished = subprocess.run(
        [sys.executable, "-P", "-c", AS_SOMEBODY],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=place,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))},
    )
    assert finished.returncode == 0, finished.stderr
    results: list[Any] = json.loads(finished.stdout)
    return [Ended(*each) for each in results]


def test_without_a_place_for_a_database_one_line_says_what_to_set(place: Path, subtests: Any):
    remedy = "give another folder with --data-dir, or a PostgreSQL server with --database-url"
    environments = [
        ({}, f"HOME is not set; {remedy}"),
        ({"HOME": "relative", "XDG_STATE_HOME": "relative"}, f"HOME is not set; {remedy}"),
        ({"HOME": "/proc/nowhere"}, remedy),
        ({"HOME": "/etc/passwd"}, remedy),
        ({"XDG_STATE_HOME": "/proc/nowhere"}, "cannot keep a database in /proc/nowhere"),
        ({"HOME": f"{place}/own"}, "has no entry in /etc/passwd"),
    ]
    cases, expected = [], []
    for command in OWN_COMMANDS:
        for environ, says in environments:
            cases.append((command, {"MEETINGS_OUTPUT_DIR": f"{place}/own", **environ}))
            expected.append(says)
        cases.append(([*command, "--database-url=postgresql://h/d"], cases[-1][1]))
        expected.append("write postgresql://USER@HOST/DATABASE")
    for case, says, ended in zip(cases, expected, run_as_somebody(place, cases), strict=True):
        with subtests.test(case=case):
            assert says in ended.line
            assert ended.code == Exit.USAGE
    assert not list(place.glob("**/cluster"))


def test_a_folder_for_minutes_that_cannot_be_written_is_found_at_the_start(
    place: Path, subtests: Any
):
    folders = ["/proc/nowhere", "/etc/passwd/minutes", *(["minutes"] if os.geteuid() == 0 else [])]
    cases = [
        ([*command, "--database-url=postgresql://u@h/d"], {"MEETINGS_OUTPUT_DIR": folder})
        for command in OWN_COMMANDS[:2]
        for folder in folders
    ]
    for (command, environ), ended in zip(cases, run_as_somebody(place, cases), strict=True):
        folder = environ["MEETINGS_OUTPUT_DIR"]
        with subtests.test(command=command, folder=folder):
            assert f"output_dir: minutes cannot be saved in {folder}: " in ended.line
            assert ended.line.endswith(
                "another folder with --output-dir, or output_dir in the file"
            )
            assert ended.code == Exit.USAGE


def test_client_commands_need_no_user_no_home_and_no_folder(place: Path, subtests: Any):
    nowhere = {"HOME": "/nonexistent", "TMPDIR": "/nowhere", "MEETINGS_OUTPUT_DIR": "/root/x"}
    cases = [([*command, "--url=http://127.0.0.1:1"], nowhere) for command in CLIENT_COMMANDS]
    cases.append((["list"], {"MEETINGS_OUTPUT_DIR": "~/minutes"}))
    *answers, unknown = run_as_somebody(place, cases)
    for (command, _), ended in zip(cases, answers, strict=False):
        with subtests.test(command=command):
            assert ended.line.startswith("meetings: no service answers at http://127.0.0.1:1")
            assert ended.code == Exit.UNREACHABLE
    assert "is '~/minutes'; names a home folder that is not known here" in unknown.line
    assert unknown.code == Exit.USAGE


@pytest.mark.parametrize(
    "environ",
    [
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=str,
)
def test_any_locale_shows_what_it_can(place: Path, environ: dict[str, str]):
    with fake_service() as service:
        service.on("/api/agents", Reply(body={"agents": [{"id": "dev", "name": "Größe 会議"}]}))
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "meeting_service", "agents", f"--url={service.url}"],
            capture_output=True,
            check=False,
            timeout=60,
            cwd=place,
            env={"PYTHONPATH": str(ROOT), **environ},
        )
    assert ended.stderr == b""
    assert ended.returncode == Exit.COMPLETE
    assert b"dev" in ended.stdout
