"""What GitHub and pre-commit run: the gate that contributors run, by commands that exist."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tests.docs.blocks import ROOT

GATE = ROOT / ".ci" / "run"


def read_yaml(name: str) -> Any:
    # YAML 1.1 takes the key `on` for a truth value, which no reader of workflows does.
    return yaml.load((ROOT / name).read_text(), Loader=yaml.BaseLoader)


def assert_runs(command: str) -> None:
    """Check that a command's words name a shell or Python script of ours that is there."""
    program, script, *arguments = shlex.split(command)
    assert program in ("bash", "python3")
    assert (ROOT / script).is_file(), command
    if script == "run.py":
        text = (ROOT / script).read_text()
        own = re.findall(r"^ +python3 run\.py (lint|test(?: --[a-z-]+)?) ", text, re.M)
        assert " ".join(arguments) in own


def extra_jobs() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("run_under_test", ROOT / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.EXTRA_JOBS)


def test_an_extra_job_is_a_folder_that_the_suite_leaves_out():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    folders = {job.folder for job in extra_jobs().values()}
    assert all(list((ROOT / folder).glob("test_*.py")) for folder in folders)
    assert {folder.rpartition("/")[2] for folder in folders} <= set(options["norecursedirs"])


def test_the_gate_is_lint_and_tests_and_every_job_of_theirs():
    lines = [line for line in GATE.read_text().splitlines() if line.startswith("python3")]
    commands = [line.removesuffix(" || failed=$?") for line in lines]
    extra = [f"python3 run.py test {option}" for option in extra_jobs()]
    assert commands == ["python3 run.py lint", "python3 run.py test", *extra]
    for command in commands:
        assert_runs(command)
    subprocess.run(["bash", "-n", GATE], check=True)


PROGRAMS = {
    "python3": 'echo "$*" >> "$LOG"; case "$*" in *--databases) exit 69;; esac',
    "id": "echo 1000",
    "sudo": '[ "$1" = -n ] || exit 1; shift; exec env -i PATH="$PATH" LOG="$LOG" "$@"',
    "true": "exit 0",
    "apt-get": 'echo "apt-get $* ${DEBIAN_FRONTEND:-}" >> "$LOG"; echo "no network" >&2; exit 100',
}


def test_the_gate_goes_on_after_a_job_that_failed_and_without_a_network(tmp_path: Path):
    script = tmp_path / ".ci" / "run"
    script.parent.mkdir()
    # None of the two programs counts as installed.
    text = GATE.read_text().replace("/usr/sbin:/usr/local/sbin", "/nowhere")
    script.write_text(text)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, code in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{code}\n")
        (programs / name).chmod(0o755)
    for name in ("dirname", "env"):
        (programs / name).symlink_to(str(shutil.which(name)))
    log = tmp_path / "log"
    ended = subprocess.run(
        [str(shutil.which("bash")), script],
        env={"PATH": str(programs), "LOG": str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert log.read_text().splitlines() == [
        "run.py lint",
        "run.py test",
        "apt-get update -qq ",
        "apt-get install -y -qq --no-install-recommends pgbouncer openssl noninteractive",
        "run.py test --databases",
        "run.py test --real-model",
    ]
    assert ended.returncode == 69
    first, *_ = ended.stderr.splitlines()
    assert first == (
        ".ci/run: installing pgbouncer openssl with apt-get, for run.py test --databases"
    )


def test_the_workflow_runs_the_gate_on_every_python_that_is_declared():
    (job,) = read_yaml(".github/workflows/ci.yml")["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == [f"bash {GATE.relative_to(ROOT)}"]
    for command in commands:
        assert_runs(command)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [each.rpartition(":: ")[2] for each in project["classifiers"] if ":: 3." in each]
    assert job["strategy"]["matrix"]["python"] == declared


def test_the_workflow_may_only_read_and_names_its_actions_versions():
    workflow = read_yaml(".github/workflows/ci.yml")
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in job
    assert workflow["concurrency"]["cancel-in-progress"] == "true"
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)
    (locks,) = (
        step["with"]["cache-dependency-path"]
        for step in job["steps"]
        if "cache-dependency-path" in step.get("with", {})
    )
    assert {path.name for path in ROOT.glob(locks)} == {
        "requirements.lock",
        "requirements-dev.lock",
    }


def test_the_hooks_are_local_and_run_what_is_there():
    repositories = read_yaml(".pre-commit-config.yaml")["repos"]
    assert [each["repo"] for each in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        assert hook["language"] == "system"
        assert_runs(hook["entry"])
