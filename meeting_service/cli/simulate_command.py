"""The command that simulates a meeting many times."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

from meeting_service.cli.exit_codes import Exit
from meeting_service.cli.options import DEFAULT_FILE_OPTIONS, FileOptions, JsonFlag

if TYPE_CHECKING:
    from meeting_service.simulation import Plan, RunResult


def register(app: App) -> None:
    """Add the command."""
    app.command(simulate, group=Group("Planning", sort_key=3))


def simulate(
    plan: Annotated[Path, Parameter(name="plan", help="TOML file with the meeting, and more.")],
    *,
    runs: Annotated[int | None, Parameter(help="How many runs (the plan's, or 1000).")] = (None),
    seed: Annotated[
        int | None,
        Parameter(help="Seed of the random numbers; the same seed gives the same figures."),
    ] = None,
    as_json: JsonFlag = False,
    options: FileOptions = DEFAULT_FILE_OPTIONS,
) -> Exit:
    """Simulate a meeting a thousand times without any model, and report which limits are hit.

    Nothing is called, stored or waited for: replies, faults and times are drawn as the plan says.
    """
    from msgspec import to_builtins

    from meeting_service.cli.printable import json_line
    from meeting_service.cli.simulation_table import simulation_report
    from meeting_service.cli.tables import show
    from meeting_service.simulation import read_plan, report_on

    read = read_plan(plan, options.settings(for_service=False), runs=runs, seed=seed)
    report = report_on(read, _simulate(read, shows_progress=not as_json))
    if as_json:
        print(json_line(to_builtins(report)))
    else:
        show(simulation_report(report))
    return Exit.COMPLETE


def _simulate(plan: "Plan", *, shows_progress: bool) -> "list[RunResult]":
    from rich.console import Console
    from rich.progress import track

    from meeting_service.simulation import Simulator

    # Standard output is for the report.
    console = Console(stderr=True)
    return list(
        track(
            Simulator(plan).runs(),
            description="meetings simulated",
            total=plan.runs,
            console=console,
            transient=True,
            disable=not (shows_progress and console.is_terminal),
        )
    )
