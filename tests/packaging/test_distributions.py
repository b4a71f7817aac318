"""The wheel and the source distribution: what they hold, and what an installed wheel can do."""

import re
import subprocess
import sys
import tarfile
import venv
from email.message import Message
from email.parser import Parser
from importlib.metadata import distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.docs.blocks import ROOT, blocks_of
from tests.packaging.conftest import build

MAX_PACKAGES = 5
MAX_BYTES = 15_000_000
PACKAGES = ("meeting_core", "meeting_service")


def files_of(wheel: Path) -> dict[str, bytes]:
    """Read a wheel's files by their names."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata_of(wheel: Path) -> Message:
    (name,) = (name for name in files_of(wheel) if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(files_of(wheel)[name].decode())


def test_the_wheel_holds_every_file_of_both_packages_and_no_other(wheel):
    wanted = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= wanted.keys()
    assert any(name.endswith(".sql") for name in wanted)
    held = {name: data for name, data in files_of(wheel).items() if ".dist-info/" not in name}
    assert held == wanted


def test_the_wheel_carries_its_licence_and_its_console_script(wheel):
    about = {name.partition(".dist-info/")[2]: data for name, data in files_of(wheel).items()}
    assert about["licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert b"meetings = meeting_service.__main__:main" in about["entry_points.txt"]


def test_the_wheel_requires_three_packages_and_the_rest_by_extras(wheel):
    metadata = metadata_of(wheel)
    required = metadata.get_all("Requires-Dist") or []
    always = {re.split(r"[^\w.-]", each)[0] for each in required if "extra ==" not in each}
    assert always == {"eventsourcing", "msgspec", "python-statemachine"}
    extras = metadata.get_all("Provides-Extra") or []
    assert sorted(extras) == ["embedded", "service", "tokens"]


def test_the_source_distribution_builds_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert not [each for each in ("tests", "bench") if (source / each).exists()]
    assert files_of(build("wheel", source, tmp_path / "built")) == files_of(wheel)


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment where nothing but the wheel was asked for."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv")
    lock = (ROOT / "requirements.lock").read_text()
    pins = [line.removesuffix(" \\") for line in lock.splitlines() if line[0] not in " #"]
    (folder / "constraints.txt").write_text("\n".join(pins))
    python = folder / "venv" / "bin" / "python"
    installing = ["-m", "pip", "--python", python, "--no-input", "install", "--only-binary=:all:"]
    subprocess.run(
        [sys.executable, *installing, "--constraint", folder / "constraints.txt", wheel],
        check=True,
        capture_output=True,
    )
    return python


def test_without_extras_few_and_small_packages_are_installed(clean_python):
    (site_packages,) = clean_python.parents[1].glob("lib/python*/site-packages")
    names = sorted(each.name for each in distributions(path=[str(site_packages)]))
    assert "ai-meetings" in names
    assert len(names) <= MAX_PACKAGES, names
    files = (path for path in site_packages.rglob("*") if path.is_file())
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_without_extras_the_readmes_lines_hold_a_meeting(clean_python, tmp_path):
    (lines,) = (block for block in blocks_of(ROOT / "README.md") if block.language == "python")
    (tmp_path / "meeting.py").write_text(lines.text)
    held = subprocess.run(
        [clean_python, "-I", "-W", "error", "meeting.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert held.stderr == ""
    assert re.search(r"^Ann was shown \d+ characters\.$", held.stdout, re.MULTILINE)
    assert re.search(r"\d+ tokens$", held.stdout.strip())


def test_without_extras_the_command_says_what_to_install(clean_python, tmp_path):
    ended = subprocess.run(
        [clean_python.with_name("meetings"), "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.fullmatch(
        r"meetings: the command needs the extra 'service' \(\w+ is missing\):"
        r" pip install 'ai-meetings\[service\]'\n",
        ended.stderr,
    )
    assert (ended.returncode, ended.stdout) == (69, "")
