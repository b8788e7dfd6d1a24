"""The tasks of ``fine_tuning.tasks``: a workbench for each, its protocol, and checks before anything is trained.

What is done with them is in `autodistill.engine.tasks`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autodistill.components.students import FineTuning
from autodistill.configs.settings import Chosen
from autodistill.engine.number_scale import check_numbers
from autodistill.engine.workbench import Workbench
from autodistill.errors import ConfigError, DataError
from autodistill.training.fine_tune import PROTOCOL_SETTINGS
from autodistill.training.parallel import check_processes
from autodistill.training.protocol import Protocol, read_protocol

if TYPE_CHECKING:
    from autodistill.components.architecture import Architecture
    from autodistill.components.task import TaskData

#: Kinds of study whose models know no task yet.
TASK_AGNOSTIC = ("mlm", "embedding")


def task_bench(bench: Workbench, label: str, model: Path | None = None, data: TaskData | None = None) -> Workbench:
    """The workbench of a task.

    Args:
        bench: of the study.
        label: of the task in ``fine_tuning.tasks``.
        model: directory of what is fine-tuned, by the default recipe of the teacher ``huggingface``; None for the
            study's own teacher.
        data: of the task, where it has been loaded before.
    """
    settings, registry = bench.settings, bench.registry
    components = {**settings.components, "data": settings.tasks[label]}
    if model is not None:
        registered = registry.get("teacher", "huggingface")
        parameters = {**vars(registered.spec.config()), "path": str(model)}
        components["teacher"] = Chosen("teacher", registered, parameters)
    own = replace(settings, components=components, several={**settings.several, "evaluator": {}})
    return Workbench(own, registry, data=data, stop_requested=bench.stop_requested)


def protocol_of(bench: Workbench) -> Protocol:
    """The grid and the seeds of a task's workbench."""
    return read_protocol(bench.settings.fine_tuning, bench.task.benchmark)


def recipe_of_tasks(bench: Workbench) -> FineTuning:
    """What the protocol does not decide, for every task and model: the defaults of the teacher ``huggingface``."""
    defaults = bench.registry.get("teacher", "huggingface").spec.config()
    return FineTuning(**{field.name: getattr(defaults, f"fine_tune_{field.name}") for field in fields(FineTuning)})


def check_tasks(bench: Workbench) -> None:
    """Load every task's data, and look whether the study's models can be fine-tuned on it.

    Raises:
        UserError: the study is no task-agnostic one, a task's data are not there, too long, or without labels, or
            devices cannot share a batch, or its numbers are out of reach.
    """
    for label in bench.settings.tasks:
        if bench.data.task.kind not in TASK_AGNOSTIC:
            raise ConfigError(
                f"fine_tuning.tasks.{label}: models of this study are trained for one task already "
                f"({bench.data.task.kind}). Tasks are for task-agnostic studies ({', '.join(TASK_AGNOSTIC)}), such as "
                f"data=corpus; for this one give fine_tuning=[] or '~fine_tuning.tasks.{label}'."
            )
        own = task_bench(bench, label)
        try:
            own.data, own.max_length, own.evaluators  # noqa: B018 (each raises what is wrong with it)
        except (DataError, ConfigError) as error:
            raise type(error)(
                f"fine_tuning.tasks.{label}: {error} What is data.KEY there is fine_tuning.tasks.{label}.KEY here; the "
                "preset glue takes fine_tuning.root=DIR, all presets take fine_tuning.allow_hub=true, and "
                f"'~fine_tuning.tasks.{label}' leaves this task out."
            ) from error
        if own.data.task.label_free or own.data.task.kind in TASK_AGNOSTIC:
            raise ConfigError(
                f"fine_tuning.tasks.{label} has no labels to fine-tune on: its data are of the kind "
                f"{own.data.task.kind!r}. Give a task with labels, such as {{name: glue, task: rte, root: DIR}}."
            )
        points = protocol_of(own).points
        for point in points:
            check_processes(bench.settings.trainer, point.batch_size, PROTOCOL_SETTINGS.batch_size)
        recipe = recipe_of_tasks(own)
        try:
            check_numbers(own, [point.recipe(recipe) for point in points])
        except DataError as error:
            raise DataError(f"fine_tuning.tasks.{label}: {error}") from error


def forward_flops(study: Workbench, task: Workbench, architecture: Architecture | None) -> float:
    """Operations of a forward pass over one of a task's examples of median length; 0 for an unknown family."""
    if architecture is None:
        return 0.0
    family = study.family_of(architecture.family)
    return float(family.flops(architecture, task.task, study.vocabulary, task.median_tokens))
