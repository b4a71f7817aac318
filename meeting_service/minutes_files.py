"""Saving minutes: one markdown file a meeting, in the output folder and nowhere else."""

import os
import re
import unicodedata
from collections.abc import Iterator
from errno import EACCES, ENOTDIR
from itertools import count, islice
from pathlib import Path

from anyio import to_thread

from meeting_core.model import DEFAULT_TITLE, Meeting

MAX_SLUG = 60
MAX_COLLISIONS = 10_000
MAX_COUNTERS = 1_000


class OutputFolder:
    """The folder where minutes are saved as `{date}-{slug}[-n].md`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Where the search for a free name goes on; only a hint, so it may be forgotten.
        self._numbers: dict[str, Iterator[int]] = {}

    def check_writable(self) -> None:
        """Check that minutes can be saved, without making the folder.

        Raises: `PermissionError`, `NotADirectoryError`.
        """
        nearest = self._folder.absolute()
        while not os.path.lexists(nearest) and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(nearest))
        # Also false on a file system that is mounted read-only.
        is_effective = os.access in os.supports_effective_ids
        if not os.access(nearest, os.W_OK | os.X_OK, effective_ids=is_effective):
            raise PermissionError(EACCES, "it cannot be written", str(nearest))

    async def save(self, meeting: Meeting, markdown: str) -> str:
        """Write a meeting's minutes without blocking the event loop; return the path.

        A meeting that is saved again (its process died in between) keeps its file. Raises:
        `OSError` when the folder cannot be written.
        """
        # A write that hangs must not keep the process from stopping; the next owner repeats it.
        return await to_thread.run_sync(self._save, meeting, markdown, abandon_on_cancel=True)

    def _save(self, meeting: Meeting, markdown: str) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        named_for = meeting.config.title
        if named_for == DEFAULT_TITLE and meeting.config.goal.strip():
            named_for = meeting.config.goal
        stem = f"{meeting.convened_at:%Y-%m-%d}-{slug(named_for)}"
        content = markdown.encode()
        for n in islice(self._numbers_for(stem, meeting), MAX_COLLISIONS):
            path = self._folder / (f"{stem}.md" if n == 1 else f"{stem}-{n}.md")
            try:
                _create(path, content)
            except FileExistsError:
                if not (meeting.adoptions and _is_left_by(path, meeting)):
                    continue
                path.write_bytes(content)
            return str(path)
        raise FileExistsError(f"{MAX_COLLISIONS} files are named {stem} already")

    def _numbers_for(self, stem: str, meeting: Meeting) -> Iterator[int]:
        """Return numbers from where the last meeting of this name stopped: none is tried twice."""
        if meeting.adoptions:
            return count(1)
        if len(self._numbers) >= MAX_COUNTERS:
            self._numbers.clear()
        return self._numbers.setdefault(stem, count(1))


def slug(text: str) -> str:
    """Return a text reduced to lower-case letters, digits and dashes: safe as a file's name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_SLUG].strip("-") or "meeting"


def _create(path: Path, content: bytes) -> None:
    """Write a new file at once: a killed process leaves it empty, a failed write removes it.

    Raises: `FileExistsError`, and `OSError` when it cannot be written.
    """
    with path.open("xb", buffering=0) as file:
        try:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
        except OSError:
            path.unlink()
            raise


def _is_left_by(path: Path, meeting: Meeting) -> bool:
    """Return whether this meeting's former process saved the file, or began to.

    The last line of minutes names the meeting.
    """
    ending = path.read_bytes()[-200:]
    return not ending or f"(Meeting {meeting.id})".encode() in ending
