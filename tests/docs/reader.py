"""A reader who does what a page says, block after block, and checks what it shows."""

import doctest
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg

from meeting_service.settings import load_settings
from tests.docs.blocks import ROOT, Block
from tests.docs.curl import WRITTEN_DOWN

HERE = Path(__file__).resolve().parent
DATABASE_WRITTEN_DOWN = "postgresql://meetings:secret@db.example/meetings"
NAMED_FILE = re.compile(r"# (\w+\.toml)\n")
SERVES = re.compile(r"\b(?:meetings|run\.py) serve\b")

# What a page's commands are on the machine of a test. `serve` gets a free port, so that two tests
# can run at a time.
PROGRAMS = {
    "curl": 'exec "$PYTHON" "$CURL" "$@"',
    "meetings": """\
[ "$1" != serve ] || set -- "$@" --port 0
exec "$PYTHON" -P -m meeting_service "$@" """,
    "python3": """\
[ "$1" = run.py ] || exec "$PYTHON" "$@"
shift
exec meetings "$@" """,
}


class Reader:
    """Works through one page in a folder of its own.

    Shell variables last from block to block, and so do the names of Python blocks. A block that
    starts the service leaves it running. `translated` maps what a page says to what a test has.
    """

    def __init__(
        self, folder: Path, state_home: Path, database_url: str, translated: dict[str, str]
    ) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self._state = folder / "state.sh"
        self._database_url = database_url
        self._translated = {**translated, DATABASE_WRITTEN_DOWN: database_url}
        self._names: dict[str, Any] = {"__name__": "__page__"}
        self._service: subprocess.Popen[str] | None = None
        self._url = WRITTEN_DOWN
        self._shown = ""
        self._environment = {
            "PATH": f"{_programs(folder / 'bin')}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(state_home),
            "PYTHONPATH": str(ROOT),
            "PYTHON": sys.executable,
            "CURL": str(HERE / "curl.py"),
        }
        self._state.touch()

    def do(self, block: Block) -> None:
        """Do one block.

        Raises: `AssertionError` where the page is wrong.
        """
        match block.language:
            case "sh":
                self._run_shell(self._translate(block.text))
            case "python":
                self._run_python(self._translate("\n" * block.line + block.text))
            case "sql":
                self._run_sql(block.text)
            case "toml":
                self._settle(self._translate(block.text))
            case "text":
                self._compare_text(block.text)
            case "json":
                assert_like(json.loads(block.text), json.loads(self._shown))
            case other:
                raise AssertionError(f"nobody knows what to do with a block of {other!r}")

    def close(self) -> None:
        """Stop the service, and wait for everything that a block started."""
        if self._service is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._service.pid, signal.SIGTERM)
            assert self._service.stdout is not None
            with self._service.stdout as rest:
                rest.read()
            self._service.wait()

    def _translate(self, text: str) -> str:
        for said, meant in self._translated.items():
            text = text.replace(said, meant)
        return text

    def _run_shell(self, text: str) -> None:
        state = shlex.quote(str(self._state))
        script = f"set -eua\n. {state}\n{text}\nset +a\nexport -p > {state}"
        process = subprocess.Popen(
            ["sh", "-c", script],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        if SERVES.search(text):
            self._serve(process, is_left_behind="serve &" in text)
        else:
            self._shown, _ = process.communicate()
            assert process.returncode == 0, self._shown

    def _serve(self, process: subprocess.Popen[str], *, is_left_behind: bool) -> None:
        self.close()
        self._service = process
        assert process.stdout is not None
        shown = ""
        for line in process.stdout:
            shown += line
            if found := re.search(r"served at (http\S+)", line):
                self._shown = shown.replace(found[1], WRITTEN_DOWN)
                break
        else:
            raise AssertionError(f"the service does not start: {shown}")
        if is_left_behind:
            assert process.wait() == 0
        with self._state.open("a") as state:
            state.write(f"export MEETINGS_URL={found[1]}\n")
        self._url = found[1]

    def _run_python(self, text: str) -> None:
        code = compile(text.replace(WRITTEN_DOWN, self._url), "<page>", "exec")
        with redirect_stdout(StringIO()) as shown:
            exec(code, self._names)
        self._shown = shown.getvalue()

    def _run_sql(self, text: str) -> None:
        with psycopg.connect(self._database_url) as connection:
            rows = connection.execute(text.encode()).fetchall()
        assert rows, "the query finds nothing"

    def _compare_text(self, text: str) -> None:
        """Compare what a page shows with what came; `...` stands for anything, as in doctest."""
        said, shown = (
            "\n".join(line.strip() for line in each.strip().splitlines()) + "\n"
            for each in (text, self._shown)
        )
        assert doctest.OutputChecker().check_output(said, shown, doctest.ELLIPSIS), self._shown

    def _settle(self, text: str) -> None:
        """Save a file; without a name of its own it is the settings, which must be right."""
        if named := NAMED_FILE.match(text):
            (self.folder / named[1]).write_text(text)
            return
        path = self.folder / "meetings.toml"
        path.write_text(text)
        load_settings(path, {}, {}, for_service=False)


def assert_like(said: Any, shown: Any, at: str = "$") -> None:
    """Compare what a page says an answer holds with what it holds; `...` stands for anything."""
    if said == "...":
        return
    assert type(said) is type(shown), f"{at}: {said!r} is not {shown!r}"
    match said:
        case dict():
            for name, value in said.items():
                assert name in shown, f"{at}.{name} is not there"
                assert_like(value, shown[name], f"{at}.{name}")
        case list():
            assert len(said) == len(shown), f"{at} has {len(shown)}"
            for index, (one, other) in enumerate(zip(said, shown, strict=True)):
                assert_like(one, other, f"{at}[{index}]")
        case _:
            assert said == shown, f"{at}: {said!r} is not {shown!r}"


def _programs(folder: Path) -> Path:
    folder.mkdir()
    for name, script in PROGRAMS.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    return folder
