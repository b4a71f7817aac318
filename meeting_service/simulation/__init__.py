"""Simulation: one plan's meeting held a thousand times, without a network, a store or waiting."""

from meeting_service.simulation.percentiles import Percentiles
from meeting_service.simulation.plan import Plan, PlanError
from meeting_service.simulation.plan_file import read_plan
from meeting_service.simulation.report import Report, Trip, report_on
from meeting_service.simulation.run_result import Held
from meeting_service.simulation.simulator import Simulator

__all__ = [
    "Held",
    "Percentiles",
    "Plan",
    "PlanError",
    "Report",
    "Simulator",
    "Trip",
    "read_plan",
    "report_on",
]
