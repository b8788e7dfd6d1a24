"""The contract between AutoDistill and its plugins: every hook, in one file.

A plugin is a module or object with functions marked ``@hookimpl``, found through the entry-point group
``autodistill``. Registration hooks return data (`ComponentSpec`); observer hooks return nothing and see what
happened after it was committed to the storage.

All hooks are called in the process that runs the command, by keyword. Implementations may leave out arguments.
``plugins/README.md`` has the same list as a table and shows how to write a plugin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from autodistill.components.architecture import Architecture
    from autodistill.components.specs import ComponentSpec

#: Name of the pluggy project and of the entry-point group.
PROJECT = "autodistill"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def autodistill_search_strategies() -> Sequence[ComponentSpec]:
    """Register search strategies (`autodistill.components.search.SearchStrategy`).

    Like every registration hook: called at most once per plugin and process, before anything is composed, without
    arguments; must not import anything heavy. An exception marks the plugin as broken: it is reported by name and
    stops only runs that name one of its components.
    """
    raise NotImplementedError


@hookspec
def autodistill_student_families() -> Sequence[ComponentSpec]:
    """Register student families (`autodistill.components.students.StudentFamily`)."""
    raise NotImplementedError


@hookspec
def autodistill_teachers() -> Sequence[ComponentSpec]:
    """Register teachers (`autodistill.components.students.Teacher`)."""
    raise NotImplementedError


@hookspec
def autodistill_data_sources() -> Sequence[ComponentSpec]:
    """Register data sources (`autodistill.components.task.DataSource`)."""
    raise NotImplementedError


@hookspec
def autodistill_losses() -> Sequence[ComponentSpec]:
    """Register distillation losses (`autodistill.components.training.DistillationLoss`)."""
    raise NotImplementedError


@hookspec
def autodistill_schedules() -> Sequence[ComponentSpec]:
    """Register schedules (`autodistill.components.training.Schedule`)."""
    raise NotImplementedError


@hookspec
def autodistill_latency_backends() -> Sequence[ComponentSpec]:
    """Register latency backends (`autodistill.components.latency.LatencyBackend`)."""
    raise NotImplementedError


@hookspec
def autodistill_evaluators() -> Sequence[ComponentSpec]:
    """Register evaluators (`autodistill.components.outcome.Evaluator`)."""
    raise NotImplementedError


@hookspec
def autodistill_baselines() -> Sequence[ComponentSpec]:
    """Register baselines (`autodistill.components.students.Baseline`)."""
    raise NotImplementedError


@hookspec
def autodistill_references() -> Sequence[ComponentSpec]:
    """Register references (`autodistill.components.students.Reference`)."""
    raise NotImplementedError


@hookspec
def autodistill_pruners() -> Sequence[ComponentSpec]:
    """Register pruners (`autodistill.components.pruning.Pruner`)."""
    raise NotImplementedError


@hookspec
def autodistill_executors() -> Sequence[ComponentSpec]:
    """Register executors (`autodistill.components.outcome.Executor`)."""
    raise NotImplementedError


@hookspec
def autodistill_exporters() -> Sequence[ComponentSpec]:
    """Register exporters (`autodistill.components.outcome.Exporter`)."""
    raise NotImplementedError


@hookspec
def autodistill_config_packages() -> Sequence[str]:
    """Return importable packages that hold config files, e.g. ``["autodistill_mylab.conf"]``.

    They join Hydra's search path after the project's own: they add presets and experiments, they never replace one.
    A package that cannot be found is an error that names the plugin.
    """
    raise NotImplementedError


@hookspec
def autodistill_before_study_run(study: str, config: Mapping[str, Any]) -> None:
    """Called when a verb starts work on a study, after the configuration was checked.

    Args:
        study: name of the study.
        config: the resolved configuration; a copy.

    An exception of an observer ends the command with exit code 1 and names the plugin.
    """
    raise NotImplementedError


@hookspec
def autodistill_after_study_run(study: str, summary: Mapping[str, Any]) -> None:
    """Called when `run` or `explore` has ended and the report is written.

    Args:
        study: name of the study.
        summary: the content of ``summary.json``; a copy.
    """
    raise NotImplementedError


@hookspec
def autodistill_before_trial_run(study: str, trial: int, run: str, architecture: Architecture) -> None:
    """Called in the process that runs the trial, before its model is built.

    Args:
        study: name of the study.
        trial: number of the trial, from 0.
        run: ``"flash"`` or ``"full"``.
        architecture: what will be trained.
    """
    raise NotImplementedError


@hookspec
def autodistill_after_trial_run(study: str, trial: int, run: str, state: str, metrics: Mapping[str, float]) -> None:
    """Called after a run's result was committed.

    Args:
        study: name of the study.
        trial: number of the trial.
        run: ``"flash"`` or ``"full"``.
        state: ``"complete"`` or ``"stopped"``.
        metrics: metric name -> value, as ``select/<metric>``; of a baseline's full run also ``test/<metric>`` (picks
            are scored on the test split after the last of them has been trained).
    """
    raise NotImplementedError


@hookspec
def autodistill_on_trial_error(study: str, trial: int, run: str, error: BaseException) -> None:
    """Called after a run failed and its failure was committed; the study goes on.

    Also where building or timing an architecture before its flash run raised what nobody foresaw.

    Args:
        study: name of the study.
        trial: number of the trial.
        run: ``"flash"`` or ``"full"``.
        error: what was raised.
    """
    raise NotImplementedError
