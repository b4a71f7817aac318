"""Simulation: a planned meeting run a thousand times, without a network, a store or waiting."""

from meeting_service.simulation.percentiles import Percentiles
from meeting_service.simulation.plan import Plan, PlanError
from meeting_service.simulation.plan_file import read_plan
from meeting_service.simulation.report import LimitHit, Report, report_on
from meeting_service.simulation.run_result import RunResult
from meeting_service.simulation.simulator import Simulator

__all__ = [
    "LimitHit",
    "Percentiles",
    "Plan",
    "PlanError",
    "Report",
    "RunResult",
    "Simulator",
    "read_plan",
    "report_on",
]
