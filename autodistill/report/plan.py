"""The terminal table of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Column, Table
from rich.text import Text

from autodistill.report import formats

if TYPE_CHECKING:
    from rich.console import Console

    from autodistill.engine.plan import Plan

#: Numbers from here on are told with three digits.
MOST_WHOLE = 10_000_000


def render_plan(plan: Plan, console: Console) -> None:
    """Print stages with their costs, totals, and what the plan rests on."""
    console.print(_going_on(plan) if any(stage.done for stage in plan.stages) else _from_the_start(plan))
    _render_phases(plan, console)
    console.print(
        f"disk {formats.scaled(plan.disk_bytes, 'B')}, memory {formats.scaled(plan.memory_bytes, 'B')} and activations",
        highlight=False,
    )
    for name, value in plan.facts.items():
        console.print(f"{name}: {value}", highlight=False, soft_wrap=True, markup=False)


def _from_the_start(plan: Plan) -> Table:
    table = Table(_stages(), title="plan", title_justify="left", show_footer=True)
    table.columns[0].footer = "in all"
    for name in ("runs", "steps a run", "examples a run", "FLOPs a run", "time"):
        table.add_column(name, justify="right")
    table.columns[-2].footer = f"{sum(stage.runs * stage.flops for stage in plan.stages):.2e}"
    table.columns[-1].footer = formats.duration(plan.seconds)
    for stage in plan.stages:
        table.add_row(
            Text(stage.name),
            f"{stage.runs:,}",
            _counted(stage.steps),
            _counted(stage.examples),
            f"{stage.flops:.2e}" if stage.flops else "",
            formats.duration(stage.seconds),
        )
    return table


def _going_on(plan: Plan) -> Table:
    """Of a study that exists: what is done and left, in the room of a terminal of 80 columns."""
    table = Table(_stages(), title="plan of a study that goes on", title_justify="left", show_footer=True)
    table.columns[0].footer = "in all"
    for name in ("runs", "done", "steps a run", "time", "left at most"):
        table.add_column(name, justify="right")
    table.columns[-2].footer = formats.duration(plan.seconds)
    table.columns[-1].footer = formats.duration(plan.seconds_left)
    for stage in plan.stages:
        table.add_row(
            Text(stage.name),
            f"{stage.runs:,}",
            f"{stage.done:,}",
            _counted(stage.steps),
            formats.duration(stage.seconds),
            formats.duration(stage.seconds_left),
        )
    return table


def _stages() -> Column:
    """Names in one line each, however much room times take."""
    return Column("stage", no_wrap=True)


def _counted(number: int) -> str:
    """Steps or examples; nothing where there are none, and no more digits than a column of 80 has room for."""
    if not number:
        return ""
    return f"{number:,}" if number < MOST_WHOLE else formats.scaled(number, "")


def _render_phases(plan: Plan, console: Console) -> None:
    """Print the steps of every phase of the recipe."""
    table = Table("run", "depths", title="schedule: steps of each phase, and the layers that run", title_justify="left")
    for name in ("phase", "losses"):
        table.add_column(name, no_wrap=True)
    for name in ("steps", "student", "teacher"):
        table.add_column(name, justify="right")
    for phase in plan.phases:
        table.add_row(
            Text(phase.run),
            ", ".join(map(str, phase.depths)),
            Text(phase.name),
            Text(", ".join(phase.roles)),
            f"{phase.steps:,}",
            "all" if phase.student_layers is None else str(phase.student_layers),
            "all" if phase.teacher_layers is None else str(phase.teacher_layers),
        )
    console.print(table)
