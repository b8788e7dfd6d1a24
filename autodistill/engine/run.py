"""The main job: explore, train the picks and baselines in full, compare, export, report.

`run` is the Python door to ``autodistill run``; the command line calls it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from autodistill.configs.settings import Settings
from autodistill.engine.cache import cache_key
from autodistill.engine.comparison import compare
from autodistill.engine.explore import Explorer
from autodistill.engine.finals import (
    baseline_trials,
    complete_trials,
    export_trial,
    time_finals,
    train_in_full,
    train_picks,
)
from autodistill.engine.places import frozen_picks
from autodistill.engine.references import measure_references
from autodistill.engine.repeats import add_repeats
from autodistill.engine.session import Session, how_to_go_on, open_session
from autodistill.engine.stop import StopSignal
from autodistill.engine.study import Study, open_study
from autodistill.engine.target_answers import answer_for_targets
from autodistill.engine.tasks import fine_tune_models
from autodistill.errors import StudyInterruptedError, TrialError
from autodistill.folders import locked
from autodistill.registry import default_registry
from autodistill.training.waiting import WhileAnotherWorks

if TYPE_CHECKING:
    from autodistill.engine.records import StudyRecord
    from autodistill.engine.storage import Storage
    from autodistill.registry import Registry
    from autodistill.report.progress import Progress

#: File in the study's folder that is locked while a process does what follows the search.
FINISHING = ".finishing.lock"

#: Step of the storage that says by what configuration that was last done to its end.
FINISHED = "finished"


def run(
    settings: Settings,
    *,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    progress: Progress | None = None,
    explore_only: bool = False,
) -> Study:
    """Run a study to the end of its budget, or go on with it, and return it.

    Args:
        settings: from `autodistill.compose`.
        overrides: the overrides that made the settings; stored, so that verbs on the study start from them.
        registry: what exists; the process's own by default.
        progress: what to tell about progress; nothing by default.
        explore_only: stop after the search.

    Returns:
        The study; its files are written.

    Raises:
        UserError: something the user can mend, before anything was trained.
        StudyInterruptedError: Ctrl-C; says how to go on.
    """
    from autodistill.report.progress import QuietProgress

    registry = registry or default_registry()
    # A search does not go on with `run`, which would freeze the picks and read the test split.
    how = how_to_go_on(settings, "explore" if explore_only else "run")
    with StopSignal() as stop, progress or QuietProgress() as shown:
        try:
            with open_session(settings, registry, overrides=overrides, progress=shown, stop=stop) as session:
                _work(session, explore_only)
        except StudyInterruptedError as error:
            raise StudyInterruptedError(f"{error} {how}") from error
        except KeyboardInterrupt as error:
            raise StudyInterruptedError(f"Interrupted at once. {how}") from error
        study = open_study(settings.study_name, settings.storage_url, settings.output_dir)
        shown.stage("writing the report")
        study.write_report()
        registry.manager.notify("autodistill_after_study_run", study=study.name, summary=study.written_summary())
    return study


@contextmanager
def open_for_work(
    settings: Settings, registry: Registry, overrides: Sequence[str], progress: Progress
) -> Iterator[Session]:
    """Open a study for a verb that does a part of the job; interruptions say how to go on."""
    with StopSignal() as stop, progress as shown:
        try:
            with open_session(
                settings, registry, overrides=overrides, progress=shown, stop=stop, record=False
            ) as session:
                yield session
        except StudyInterruptedError as error:
            raise StudyInterruptedError(f"{error} The same command goes on.") from error


def _work(session: Session, explore_only: bool) -> None:
    Explorer(session).run()
    if not explore_only:
        _finish(session)


def _finish(session: Session) -> None:
    """Do everything that follows the search, in one process at a time.

    Another one that does the same work at this moment is waited for, and then nothing of it is done again: what failed
    there would fail here.
    """
    storage, study = session.storage, session.study.id
    asked, before = _asked(session.settings), storage.step(study, FINISHED)
    work = "trains the picks and baselines of this study in full and compares them"
    waiting = WhileAnotherWorks(work, lambda: session.stop.requested, session.progress.message)
    with locked(session.settings.study_dir / FINISHING, waiting):
        finished: Any = storage.step(study, FINISHED)
        if finished == before or finished["asked"] != asked:
            outcome = {"asked": asked, "by": uuid4().hex}
            try:
                _finalise(session)
            except TrialError as error:
                storage.replace_step(study, FINISHED, {**outcome, "error": str(error)})
                raise
            storage.replace_step(study, FINISHED, outcome)
        elif "error" in finished:
            raise TrialError(finished["error"])


def is_finished(settings: Settings, storage: Storage, study: StudyRecord) -> bool:
    """Whether everything that these settings ask for after the search is done; the search is, then."""
    finished: Any = storage.step(study.id, FINISHED)
    return finished is not None and "error" not in finished and finished["asked"] == _asked(settings)


def _asked(settings: Settings) -> str:
    """What tells apart what is to be done after the search; on which device, by how many threads, does not."""
    several = {"seeds": settings.picks_seeds} if settings.picks_seeds > 1 else {}  # studies of before there were any
    chosen = {kind: settings.several[kind] for kind in ("baseline", "reference", "export", "evaluator")}
    parts = {kind: {label: item.identity for label, item in labels.items()} for kind, labels in chosen.items()}
    return cache_key(
        {
            **parts,
            **several,
            "picks": [settings.picks_max, settings.picks_margin],
            "budget": [settings.budget_trials, settings.budget_hours],
            "tasks": {label: item.identity for label, item in settings.tasks.items()},
            "fine_tuning": settings.fine_tuning,
        }
    )


def _finalise(session: Session) -> None:
    """Do everything that follows the search; what an earlier run has done is not done again."""
    picks = train_picks(session)
    baselines = baseline_trials(session)
    trials = [session.storage.trial(session.study.id, number) for number in (*picks, *baselines)]
    train_in_full(session, trials)
    done = complete_trials(session, trials)
    session.progress.stage("exporting", len(picks))
    for trial in done:
        if trial.number in picks:
            export_trial(session, trial)
            session.progress.advance()
    time_finals(session, done)
    if frozen_picks(session.storage, session.study) is None:
        session.progress.message("The test split is not read, because no picks are frozen; nothing is compared yet.")
        return
    if repeats := add_repeats(session, done):
        train_in_full(session, repeats, "training repeats in full")
    answer_for_targets(session, done)
    measure_references(session)
    compare(session)
    fine_tune_models(session)
