"""What GitHub and pre-commit run: the gate that contributors run, by commands that exist."""

import re
import shlex
import subprocess
import tomllib
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
        own = re.findall(r"^ +python3 run\.py (test|lint) ", text, re.M)
        jobs = re.findall(r"^ +python3 run\.py test (--[a-z-]+) ", text, re.M)
        assert arguments[0] in own
        assert arguments[1:] in ([], *([job] for job in jobs if arguments[0] == "test"))


def test_the_gate_is_lint_and_tests_and_every_job_of_theirs():
    commands = [line for line in GATE.read_text().splitlines() if line.startswith("python3")]
    text = (ROOT / "run.py").read_text()
    jobs = re.findall(r"^ +python3 run\.py test (--[a-z-]+) ", text, re.M)
    assert jobs
    assert commands == [
        "python3 run.py lint",
        "python3 run.py test",
        *(f"python3 run.py test {job}" for job in jobs),
    ]
    for command in commands:
        assert_runs(command)
    subprocess.run(["bash", "-n", GATE], check=True)


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
