"""The folder of an application among a user's state."""

import os
import pwd
from pathlib import Path

import pytest

from meeting_service.embedded_postgres import DataDirError, NoAccountError, user_state_dir
from meeting_service.embedded_postgres.os_user import server_user


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


def no_entry(user: int) -> pwd.struct_passwd:
    raise KeyError(user)


def test_a_user_without_a_name_has_only_the_home_that_is_set(monkeypatch, tmp_path):
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    assert user_state_dir("lab") == Path("/proc/nowhere/.local/state/lab")
    monkeypatch.chdir(tmp_path)
    for home in ("", "relative", "."):
        monkeypatch.setenv("HOME", home)
        with pytest.raises(DataDirError, match="HOME is not set"):
            user_state_dir("lab")
    monkeypatch.delenv("HOME")
    with pytest.raises(DataDirError, match="HOME is not set"):
        user_state_dir("lab")


def test_a_user_without_a_name_can_use_a_cluster_but_not_make_one(monkeypatch, tmp_path):
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(NoAccountError, match="the user id 12345 has no entry in /etc/passwd"):
        server_user(tmp_path / "cluster")
    (tmp_path / "cluster").mkdir()
    assert server_user(tmp_path / "cluster") is None
