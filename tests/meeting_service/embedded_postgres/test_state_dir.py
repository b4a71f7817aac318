"""The folder of an application among a user's state."""

import os
import pwd
from pathlib import Path

from meeting_service.embedded_postgres import user_state_dir


def test_the_folder_is_among_the_users_state_and_never_in_anothers_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert user_state_dir("lab") == tmp_path / ".local" / "state" / "lab"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert user_state_dir("lab") == tmp_path / ".local" / "state" / "lab"
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert user_state_dir("lab") == Path("/elsewhere/lab")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/proc/1/nowhere")
    own_home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    assert user_state_dir("lab") == own_home / ".local" / "state" / "lab"
