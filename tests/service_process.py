"""The service as its own process, to be killed."""

import os
import signal
import sys
from pathlib import Path
from typing import Self

import anyio
from anyio.abc import Process

READY_SECONDS = 30.0


class ServiceProcess:
    """`meetings serve` in a process of its own, over one database, started as often as needed."""

    def __init__(self, folder: Path, settings: str, *arguments: str) -> None:
        self._folder = folder
        self._config = folder / "meetings.toml"
        self._config.write_text(settings)
        self._arguments = arguments
        self._process: Process | None = None
        self.url = ""

    async def start(self) -> Self:
        """Start it and wait for the line that says it is ready."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MEETINGS_")}
        command = [sys.executable, "-m", "meeting_service", "serve", "--port", "0"]
        command += ["--config", str(self._config), "--output-dir", str(self._folder / "minutes")]
        self._process = await anyio.open_process(
            [*command, *self._arguments], env=environ, cwd=self._folder, stderr=None
        )
        assert self._process.stdout is not None
        line = b""
        with anyio.fail_after(READY_SECONDS):
            while not line.endswith(b"\n"):
                line += await self._process.stdout.receive()
        self.url = next(word for word in line.decode().split() if word.startswith("http"))
        return self

    def kill(self) -> None:
        """Kill it with -9, if it is there."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to stop."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait for its end; give the exit code."""
        assert self._process is not None
        code = await self._process.wait()
        await self._process.aclose()
        return code

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            self.kill()
            await self.ended()
