"""`meetings simulate`: a report in tables, as plain lines or as JSON; a bad plan is one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from meeting_service.cli.application import run
from meeting_service.cli.exit_codes import Exit

PLAN = """
runs = 20
[meeting]
participants = ["planner", "dev"]
meeting_tokens = 9000
[faults]
rate_limited = 0.1
[prices]
version = "2026-11"
models."m" = {prompt = 1.0, completion = 4.0}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a plan in it, and no meetings.toml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


def test_piped_the_report_is_plain_lines(capsys: pytest.CaptureFixture[str]):
    assert run(["simulate", "plan.toml"]) == Exit.COMPLETE
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("20 runs, seed 1, prices of 2026-11\n")
    for line in (
        r"complete by agenda +20 +100\.0 %",
        r"call retried +\d+ +\d+\.0 % +\d+",
        r"prompt tokens +[\d,]+ +[\d,]+ +[\d,]+ +[\d,]+",
        r"cost in USD +0\.\d+ +0\.\d+ +0\.\d+ +0\.\d+",
        r"- meeting_tokens = 9,000 .+; 95 % would fit into [\d,]+",
        r"- meeting_cost is not set; 95 % would fit into 0\.\d+",
    ):
        assert re.search(line, captured.out), line
    assert "\x1b" not in captured.out


def test_json_holds_the_whole_report(capsys: pytest.CaptureFixture[str]):
    assert run(["simulate", "plan.toml", "--json", "--runs", "10", "--seed", "7"]) == Exit.COMPLETE
    first = capsys.readouterr().out
    report = json.loads(first)
    assert (report["runs"], report["seed"], report["currency"]) == (10, 7, "USD")
    assert report["endings"] == [{"name": "complete by agenda", "runs": 10, "share": 1.0}]
    assert {"name", "runs", "share", "times"} == set(report["limit_hits"][0])
    tokens = report["percentiles"][0]
    assert tokens["name"] == "tokens"
    assert 0 < tokens["p5"] <= tokens["p50"] <= tokens["p95"] <= tokens["max"] <= 9_000
    assert report["advice"]
    run(["simulate", "plan.toml", "--json", "--runs=10", "--seed=7"])
    assert capsys.readouterr().out == first


def test_agents_come_from_the_settings_file(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "ours.toml").write_text('[agents.ann]\nname = "Ann"\n[agents.bob]\nname = "Bob"\n')
    (folder / "plan.toml").write_text('[meeting]\nparticipants = ["ann", "bob"]\n')
    assert run(["simulate", "plan.toml", "--runs=2", "--config=ours.toml"]) == Exit.COMPLETE
    capsys.readouterr()
    assert run(["simulate", "plan.toml", "--runs=2"]) == Exit.USAGE
    assert "meeting.participants[0]: there is no agent 'ann'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["none.toml"], "none.toml: cannot be read: No such file"),
        (["plan.toml", "--runs=0"], "command line: --runs: is 0"),
        (["plan.toml", "--runs=many"], "--runs"),
        (["bad.toml"], "bad.toml: meeting.context_token: is not known here; did you mean context_"),
        ([], "--plan"),
    ],
)
def test_a_bad_plan_is_one_line_and_exit_2(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
):
    (folder / "bad.toml").write_text("[meeting]\nparticipants = 2\ncontext_token = 9\n")
    assert run(["simulate", *arguments]) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert part in captured.err


def test_its_help_needs_none_of_the_heavy_imports():
    program = (
        "import sys; from meeting_service.cli.application import run;"
        "run(['simulate', '--help']);"
        "sys.exit(', '.join({'meeting_core', 'msgspec', 'rich.progress'} & {*sys.modules}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=60
    )
    assert ended.stderr.strip() == b""
