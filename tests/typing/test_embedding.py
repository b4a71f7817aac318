"""What an embedder writes passes mypy's strict mode, and does what it says."""

import subprocess
import sys
from pathlib import Path

from tests.typing.embedding import in_memory, with_a_shell_of_its_own

PROGRAM = Path(__file__).with_name("embedding.py")


def test_an_embedding_program_is_typed_throughout():
    arguments = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(PROGRAM)]
    checked = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_an_embedding_program_holds_its_meetings():
    assert in_memory().meeting.state == with_a_shell_of_its_own().state == "complete"
