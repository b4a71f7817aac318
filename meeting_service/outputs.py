"""Saving minutes: one markdown file a meeting, in the output folder and nowhere else."""

import os
import re
import unicodedata
from contextlib import suppress
from pathlib import Path

from anyio import to_thread

from meeting_core.configuration import DEFAULT_TITLE
from meeting_core.meeting import Meeting

LONGEST_SLUG = 60
MOST_COLLISIONS = 10_000
MOST_HINTS = 1_000


class OutputFolder:
    """The folder where minutes are saved as `{date}-{slug}[-n].md`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Where the search for a free name begins; only a hint, so it may be forgotten.
        self._next_free: dict[str, int] = {}

    async def save(self, meeting: Meeting, markdown: str) -> str:
        """Write a meeting's minutes without blocking the event loop; return the path.

        A meeting that is saved again (its process died in between) keeps its file. Raises:
        `OSError` when the folder cannot be written.
        """
        return await to_thread.run_sync(self._save, meeting, markdown)

    def _save(self, meeting: Meeting, markdown: str) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        named_for = meeting.config.title
        if named_for == DEFAULT_TITLE and meeting.config.goal.strip():
            named_for = meeting.config.goal
        stem = f"{meeting.convened_at:%Y-%m-%d}-{slug(named_for)}"
        partial = self._folder / f".{meeting.id}.partial"
        try:
            partial.write_text(markdown, encoding="utf-8")
            return str(self._claim_name(partial, stem, meeting))
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()

    def _claim_name(self, partial: Path, stem: str, meeting: Meeting) -> Path:
        """Give the whole file the first free name, or the one it had before its process died."""
        first = 1 if meeting.adoptions else self._next_free.get(stem, 1)
        for n in range(first, first + MOST_COLLISIONS):
            path = self._folder / (f"{stem}.md" if n == 1 else f"{stem}-{n}.md")
            try:
                os.link(partial, path)
            except FileExistsError:
                if not (meeting.adoptions and _is_minutes_of(path, meeting)):
                    continue
                partial.replace(path)
            if len(self._next_free) >= MOST_HINTS:
                self._next_free.clear()
            self._next_free[stem] = n + 1
            return path
        raise FileExistsError(f"{MOST_COLLISIONS} files are named {stem} already")


def slug(text: str) -> str:
    """Reduce a text to lower-case letters, digits and dashes: safe as a file's name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:LONGEST_SLUG].strip("-") or "meeting"


def _is_minutes_of(path: Path, meeting: Meeting) -> bool:
    """Recognise what this meeting saved before; the last line of minutes names the meeting."""
    return f"(Meeting {meeting.id})".encode() in path.read_bytes()[-200:]
