"""Verbs on studies: run, explore, distill, report, studies, plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autodistill.configs.settings import Settings
from autodistill.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from autodistill.engine.session import Session
    from autodistill.engine.study import Study
    from autodistill.registry import Registry


def run(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill run``: the main job, then the terminal report."""
    return _run(settings, registry, overrides, explore_only=False)


def explore(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill explore``: the search alone."""
    return _run(settings, registry, overrides, explore_only=True)


def _run(settings: Settings, registry: Registry, overrides: Sequence[str], *, explore_only: bool) -> int:
    from autodistill.engine.run import run as run_study
    from autodistill.report.progress import ProgressDisplay

    study = run_study(
        settings, overrides=overrides, registry=registry, progress=ProgressDisplay(), explore_only=explore_only
    )
    print_study(study)
    return 0


def print_study(study: Study) -> None:
    """The terminal report of a study as it was written last, and where its files are."""
    from rich.console import Console

    from autodistill.report.terminal import render_summary

    console = Console()
    render_summary(study.written_summary(), console)
    console.print(f"Report: {study.directory / 'report.html'}", soft_wrap=True, highlight=False)


def report(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill report``: write ``report.html`` and ``summary.json`` again and print the table."""
    from autodistill.engine.study import open_study

    study = open_study(settings.study_name, settings.storage_url, settings.output_dir)
    study.write_report()
    print_study(study)
    return 0


def studies(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill studies``: one line per study, or one study's trials when ``study.name`` is given."""
    from rich.console import Console

    from autodistill.cli.listing import list_studies, show_study

    console = Console()
    if any(override.startswith("study.name=") for override in overrides):
        show_study(settings, console)
    else:
        list_studies(settings, console)
    return 0


def plan(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill plan``: what `run` would do and cost."""
    from rich.console import Console

    from autodistill.engine.plan import make_plan
    from autodistill.report.plan import render_plan
    from autodistill.report.progress import ProgressDisplay

    render_plan(make_plan(settings, registry, ProgressDisplay()), Console())
    return 0


def distill(settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """``autodistill distill``: the full recipe for a trial, an architecture or the baselines."""
    from autodistill.engine.run import open_for_work
    from autodistill.report.progress import ProgressDisplay

    _check_what_to_distill(settings, registry)
    with open_for_work(settings, registry, overrides, ProgressDisplay()) as session:
        numbers = _to_distill(session)
        from autodistill.engine.finals import complete_trials, export_trial, time_finals, train_in_full

        trials = [session.storage.trial(session.study.id, number) for number in numbers]
        train_in_full(session, trials)
        done = complete_trials(session, trials)
        for trial in done:
            if trial.origin != "baseline":
                export_trial(session, trial)
        time_finals(session, done)
        lines = [_distilled(session, number) for number in numbers]
    print("\n".join(lines))
    return 0 if len(done) == len(numbers) else 1


def _check_what_to_distill(settings: Settings, registry: Registry) -> None:
    """Refuse what cannot be distilled before a study is made or a teacher fine-tuned.

    Raises:
        UserError: no such study or trial, an architecture that cannot be built, or nothing given.
    """
    from autodistill.engine.given_architectures import read_architecture
    from autodistill.engine.study import open_study
    from autodistill.engine.workbench import Workbench

    if settings.trial is not None and settings.architecture is not None:
        raise ConfigError("Give either trial=N or architecture={...}, not both.")
    if settings.trial is not None:
        count = len(open_study(settings.study_name, settings.storage_url, settings.output_dir).trials())
        if not 0 <= settings.trial < count:
            trials = f"its trials are 0 to {count - 1}" if count else "it has none yet"
            raise StudyError(f"The study {settings.study_name!r} has no trial {settings.trial}: {trials}.")
    elif settings.architecture is not None:
        bench = Workbench(settings, registry)
        bench.check_architecture(read_architecture(settings.architecture, bench.family_name))
    elif not settings.several["baseline"]:
        raise ConfigError(
            "autodistill distill needs trial=N of an existing study.name, architecture={family: ..., choices: {...}}, "
            "or baseline=[NAME]."
        )


def _to_distill(session: Session) -> list[int]:
    """Numbers of the trials that the command means, added when they are new."""
    from autodistill.engine.finals import baseline_trials
    from autodistill.engine.manual import manual_trial

    settings = session.settings
    if settings.trial is not None:
        return [session.storage.trial(session.study.id, settings.trial).number]
    if settings.architecture is not None:
        return [manual_trial(session, settings.architecture)]
    return baseline_trials(session)


def _distilled(session: Session, number: int) -> str:
    from autodistill.engine.comparison import judged_by

    metric, _ = judged_by(session)
    trial = session.storage.trial(session.study.id, number)
    run = next(run for run in session.storage.runs(session.study.id) if run.trial == number and run.kind == "full")
    if run.state != "complete":
        return f"trial {number}: {run.state}: {run.error}"
    values = ", ".join(f"{name} {item['value']:.4f}" for name, item in run.metrics.items() if name.endswith(metric))
    folder = session.settings.study_dir / Path(str(run.artifacts["hf"]))
    return f"{trial.label or f'trial {number}'}: {values}; model in {folder}"
