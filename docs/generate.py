"""Writes docs/reference from the code: `python docs/generate.py`, or `--check` to only compare.

With `--check` nothing is written; exit code 1 and a line for each page that is not up to date.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from generator.architecture import architecture_pages
from generator.core_pages import core_pages
from generator.service_pages import service_pages

DOCS = Path(__file__).resolve().parent
COMMAND = "python docs/generate.py"


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; give the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write docs/reference from code.")
    parser.add_argument("--check", action="store_true", help="compare only; 1 if a page differs")
    parser.add_argument("folder", nargs="?", type=Path, default=DOCS / "reference")
    given = parser.parse_args(arguments)
    pages = {**architecture_pages(), **core_pages(), **service_pages()}
    if given.check:
        return _check(pages, given.folder)
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (given.folder / name).write_text(text, encoding="utf-8")
    for path in _strangers(pages, given.folder):
        path.unlink()
    return 0


def _check(pages: Mapping[str, str], folder: Path) -> int:
    stale = [folder / name for name, text in pages.items() if _read(folder / name) != text]
    for path in (*stale, *_strangers(pages, folder)):
        print(f"{path} is not what the code says; run: {COMMAND}", file=sys.stderr)
    return 1 if stale or _strangers(pages, folder) else 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _strangers(pages: Mapping[str, str], folder: Path) -> list[Path]:
    """List the files that nobody makes any more."""
    return sorted(path for path in folder.iterdir() if path.name not in pages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
