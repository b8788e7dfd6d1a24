"""The explore loop: propose, screen, flash-distil, tell, until the budget is spent.

Everything is committed when it happens, so that the loop can be killed anywhere: trials that were under way are
taken up first, and the strategy, which is a pure function of the history, proposes the same again. Several processes
may explore one study: each trial is asked, timed and trained by one of them.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from autodistill.components.architecture import Architecture
from autodistill.components.outcome import Executor, ExecutorContext, Job, JobResult
from autodistill.components.search import History, Proposal, SearchStrategy
from autodistill.configs.settings import noted
from autodistill.engine.cache import cache_key
from autodistill.engine.explore_clock import ExploreClock
from autodistill.engine.lease import LEASE_SECONDS, held, release_dead
from autodistill.engine.machine import check_disk
from autodistill.engine.picks import averaged, pareto_rows
from autodistill.engine.records import Origin, TrialRecord
from autodistill.engine.relative import scored_objective
from autodistill.engine.runner import remove_ended_checkpoints
from autodistill.engine.session import Session
from autodistill.engine.trial_latency import (
    compose_architecture,
    measure_architecture,
    metrics_of,
    missing_metric,
)
from autodistill.errors import (
    AskedMeanwhileError,
    AutoDistillError,
    ConfigError,
    LatencyError,
    PluginError,
    SpaceExhaustedError,
    TrialError,
)
from autodistill.training.seeds import derive_seed

logger = logging.getLogger(__name__)

#: Proposals in a row that may be infeasible or fail before training; more means that the space and the constraints
#: hardly overlap, and looking on costs a latency measurement each.
MAX_FRUITLESS = 200

#: Step of the storage that says where a search has ended after so many: what asks for nothing else looks no further.
FRUITLESS = "fruitless"

#: Seconds between two looks at a trial that another process works at.
WAIT_SECONDS = 1.0

#: Trials in a row that fail in training before it is asked whether something other than the architecture is wrong.
MAX_FAILED = 3

#: So many failures in a row are no chance where their probability, by how trials ended before, is below this.
LEAST_PROBABILITY = 0.01


class Explorer:
    """One call of the explore loop on an open study."""

    def __init__(self, session: Session) -> None:
        self.session = session
        settings, bench = session.settings, session.bench
        self.strategy: SearchStrategy = bench.create(settings.one("search"), session.search_context())
        self.executor: Executor = bench.create(settings.one("executor"), ExecutorContext(session.runner().work))
        self.under_way: set[int] = set()
        self.fruitless = 0
        self.crashes = 0
        self.exhausted = False

    def run(self) -> None:
        """Explore until the budget is spent, the space is exhausted, or proposal after proposal is infeasible.

        Raises:
            StudyInterruptedError: the user asked to stop.
            TrialError: trial after trial failed, or the search ended before any could be trained.
        """
        session = self.session
        release_dead(session.storage, session.study.id)
        remove_ended_checkpoints(session.storage, session.study.id, session.settings.study_dir)
        self.exhausted = session.storage.step(session.study.id, FRUITLESS) == self._asked()
        session.progress.stage("exploring", session.settings.budget_trials)
        self._show()
        with ExploreClock(session.storage, session.study.id) as clock, closing(self.executor):
            while True:
                self._take_up()
                elsewhere = self._unfinished()
                if not self._time_is_up(clock.seconds):
                    self._fill()
                if self.under_way:
                    self._wait()
                    clock.beat()
                elif elsewhere or self._unfinished():
                    # Other processes work at these: picks are chosen when all trials have ended, and one that turns out
                    # to be infeasible leaves its place in the budget to another, perhaps just now.
                    session.check_stop()
                    time.sleep(WAIT_SECONDS)
                else:
                    break
        self._show()

    # -- the loop ------------------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Go on with trials that a process left unfinished which is no more."""
        for trial in self._unfinished():
            self.session.check_stop()
            while len(self.under_way) >= self.executor.capacity:
                self._wait()
            if self._screen(trial):
                self._submit(trial.number)

    def _unfinished(self) -> list[TrialRecord]:
        """Trials that have not ended and that this process does not work at."""
        trials = _of_search(self.session.storage.trials(self.session.study.id, state="pending"))
        return [trial for trial in trials if trial.number not in self.under_way]

    def _fill(self) -> None:
        """Give the executor work, while there is any to be proposed."""
        while len(self.under_way) < self.executor.capacity and not self.exhausted:
            self.session.check_stop()
            trial = self._ask()
            if trial is None:
                break
            fit = self._screen(trial)
            if fit:
                self.fruitless = 0
                self._submit(trial.number)
            elif fit is False:
                self._count_fruitless()

    def _submit(self, number: int) -> None:
        self.executor.submit(Job(self.session.study.name, number, "flash"))
        self.under_way.add(number)

    def _wait(self) -> None:
        result = self.executor.wait()
        self.under_way.discard(result.job.trial)
        self._count_failed(result)
        self._show()

    def _count_failed(self, result: JobResult) -> None:
        if result.state != "failed":
            return
        self.session.progress.message(f"trial {result.job.trial} failed: {result.error}")
        # Of earlier processes too: what ended one of them may go on.
        ended = [
            (trial.told, trial.state)
            for trial in _of_search(self.session.storage.trials(self.session.study.id))
            if trial.began_training and trial.told is not None and trial.number not in self.under_way
        ]
        states = [state for _, state in sorted(ended)]
        streak = len(list(itertools.takewhile("failed".__eq__, reversed(states))))
        before = states[: len(states) - streak]
        failed = before.count("failed")
        if is_hopeless(streak, len(before) - failed, failed):
            raise TrialError(
                f"{streak} trials in a row failed (before them: {len(before) - failed} trained, {failed} failed), the "
                f"last one being trial {result.job.trial}: {result.error} "
                f"The log is in {self.session.settings.study_dir / 'autodistill.log'}."
            )

    def _count_fruitless(self) -> None:
        """End a search that finds nothing more; what it has trained is gone on with.

        Raises:
            TrialError: it has trained nothing.
        """
        self.fruitless += 1
        if self.fruitless < MAX_FRUITLESS:
            return
        session = self.session
        began = _began(session.storage.trials(session.study.id))
        why = (
            f"{self.fruitless} proposals in a row were infeasible or could not be timed: the constraints and the "
            "search space hardly overlap. To loosen constraints or widen student.space takes a new study.name."
        )
        if not began:
            raise TrialError(
                f"{why} `autodistill report study.name={session.settings.study_name}` shows what was tried."
            )
        session.progress.message(
            f"{why} The search ends here with {began} trials that fit, of "
            f"budget.trials={session.settings.budget_trials}; a larger budget, or another search strategy, looks on."
        )
        session.storage.replace_step(session.study.id, FRUITLESS, self._asked())
        self.exhausted = True

    def _asked(self) -> dict[str, Any]:
        """What decides whether looking on where a search has ended may find more than it has."""
        session = self.session
        trials = len(_of_search(session.storage.trials(session.study.id)))
        search = cache_key(session.settings.one("search").identity)
        return {"trials": trials, "budget": session.settings.budget_trials, "search": search}

    def _time_is_up(self, seconds: float) -> bool:
        hours = self.session.settings.budget_hours
        return hours is not None and seconds >= hours * 3600

    # -- trials --------------------------------------------------------------------------------------------------

    def _ask(self) -> TrialRecord | None:
        """Add the next trial; None when the budget is spent or the space exhausted.

        Other processes may explore the same study. What they ask between a look at the trials and the new one makes the
        proposal void: the strategy would not have made it, and the budget may be spent.
        """
        while True:
            self.session.check_stop()
            trials, history = self.session.storage.seen(self.session.study.id)
            if _began(trials) >= self.session.settings.budget_trials:
                return None
            proposal = self._propose(trials, searched(trials, history)[1])
            if proposal is None:
                return None
            try:
                return self._add(proposal, trials)
            except AskedMeanwhileError:
                logger.info("another process asked for a trial meanwhile; proposing anew")

    def _propose(self, trials: Sequence[TrialRecord], history: History) -> Proposal | None:
        session = self.session
        waiting = (item for item in session.bench.first_architectures if item not in history.architectures)
        first = next(waiting, None)
        if first is not None:
            return Proposal(first, note={"by": "first"})
        try:
            with noted(session.settings.one("search"), f"proposing trial {len(history)}"):
                proposals = self.strategy.propose(history, 1)
        except SpaceExhaustedError as error:
            if not _began(trials):
                raise TrialError(
                    f"The search ended before a single trial could be trained. {error} "
                    f"`autodistill report study.name={session.settings.study_name}` shows what was tried."
                ) from error
            session.progress.message(str(error))
            self.exhausted = True
            return None
        name = session.settings.one("search").registered
        if not proposals:
            raise PluginError(f"The search strategy {name.spec.name!r} of {name.provider} proposed nothing.")
        proposal = proposals[0]
        taken = [item for item in history.architectures if item == proposal.architecture]
        if proposal.architecture not in session.bench.space or (taken and not proposal.replicate):
            reason = "has been tried already" if taken else "lies outside the space"
            raise PluginError(
                f"The search strategy {name.spec.name!r} of {name.provider} proposed {proposal.architecture}, "
                f"which {reason}."
            )
        return proposal

    def _add(self, proposal: Proposal, trials: Sequence[TrialRecord]) -> TrialRecord:
        session = self.session
        replicate = sum(trial.architecture == proposal.architecture for trial in _of_search(trials))
        return session.storage.add_trial(
            session.study.id,
            proposal.architecture,
            replicate=replicate,
            origin="search",
            label=None,
            in_space=True,
            note=dict(proposal.note) if proposal.note else None,
            seed=trial_seed(session, proposal.architecture, replicate),
            after=len(trials),
        )

    def _screen(self, trial: TrialRecord) -> bool | None:
        """Check constraints on what is known, then time the architecture.

        Returns:
            Whether the trial is to be trained; false ends it. None where another process works at it, or has ended it.
        """
        storage, study = self.session.storage, self.session.study.id
        # Under the lease of its run, so that one process does it, and none while the trial is being trained.
        with held(storage, study, trial.number, "flash", retry_failed=False) as lease:
            if lease is None:
                return None
            trial, fit, crash = storage.trial(study, trial.number), None, None
            if trial.state == "pending":
                try:
                    found = self._screening(trial)
                except AutoDistillError:
                    raise
                except Exception as error:  # foreign code may raise anything, and one trial must not block the study
                    check_disk(error, f"the timing of trial {trial.number}")
                    self.session.check_stop()
                    crash, found = error, {"state": "failed", "error": _told(error)}
                # Whoever was suspended for longer than a lease lasts has lost it, and must not end another's trial.
                if not storage.renew(lease.run, LEASE_SECONDS):
                    return None
                storage.update_trial(study, trial.number, **found)
                fit = "state" not in found
            storage.withdraw_run(lease.run)
        if crash is not None:
            self._count_crash(trial, crash)
        else:
            self.crashes = 0
        return fit

    def _count_crash(self, trial: TrialRecord, error: Exception) -> None:
        """Tell of a trial that ended before training in an error that nobody foresaw.

        Raises:
            TrialError: so many in a row did that it is no matter of the architectures.
        """
        session = self.session
        self.crashes += 1
        logger.error("trial %d could not be timed", trial.number, exc_info=error)
        session.progress.message(f"trial {trial.number} could not be timed: {_told(error)}")
        session.bench.registry.manager.notify(
            "autodistill_on_trial_error", study=session.study.name, trial=trial.number, run="flash", error=error
        )
        states = [item.state for item in _of_search(session.storage.trials(session.study.id))]
        trained, failed = states.count("complete") + states.count("stopped"), states.count("failed")
        if is_hopeless(self.crashes, trained, max(0, failed - self.crashes)):
            raise TrialError(
                f"{self.crashes} trials in a row could not be timed for reasons that nobody foresaw ({trained} were "
                f"trained so far), the last one being trial {trial.number}: {_told(error)} "
                f"The log is in {session.settings.study_dir / 'autodistill.log'}."
            ) from error

    def _screening(self, trial: TrialRecord) -> dict[str, Any]:
        """What is found of a trial before training, as `Storage.update_trial` takes it: with a state, it ends."""
        session = self.session
        known, latencies = session.known.exact(trial.architecture), trial.latencies
        reason = self._violated(known)
        if reason is None and not latencies:
            try:
                latencies = compose_architecture(session, trial)
                reason = self._violated({**known, **metrics_of(latencies)})
                if reason is None:
                    # Random weights are timed: another replicate has the latency of the first.
                    latencies = self._timed_before(trial) or measure_architecture(session, trial)
            except (LatencyError, ConfigError, TrialError) as error:
                check_disk(error, f"the timing of trial {trial.number}")
                session.check_stop()  # what ends because the user asked to stop says nothing of the architecture
                session.progress.message(f"trial {trial.number} could not be timed: {error}")
                return {"state": "failed", "known": known, "error": str(error)}
        if reason is None:
            reason = self._violated({**known, **metrics_of(latencies)}) or missing_metric(session, latencies)
        found = {"known": known, "latencies": latencies}
        return found if reason is None else {**found, "state": "infeasible", "error": reason}

    def _timed_before(self, trial: TrialRecord) -> dict[str, dict[str, object]] | None:
        """The latencies of an earlier replicate of the same architecture; None when there is none."""
        trials = _of_search(self.session.storage.trials(self.session.study.id, architecture=trial.architecture))
        found = next((item for item in trials if item.latencies), None)
        return None if found is None else {label: dict(report) for label, report in found.latencies.items()}

    def _violated(self, values: dict[str, float]) -> str | None:
        for constraint in self.session.bench.constraints:
            value = values.get(constraint.metric)
            if value is not None and not constraint.holds(value):
                return (
                    f"constraints.{constraint.label}: {constraint.metric} is {value:.6g}, "
                    f"must be {constraint.sense} {constraint.bound:.6g}"
                )
        return None

    def _show(self) -> None:
        """Update the progress display."""
        session = self.session
        trials, seen = session.storage.seen(session.study.id)
        done = sum(
            trial.state in ("complete", "stopped", "failed") and trial.began_training for trial in _of_search(trials)
        )
        session.progress.trials(done, session.settings.budget_trials)
        teacher = session.step("teacher")
        history = averaged(seen)
        front = pareto_rows(history, session.bench.objectives, session.bench.constraints, teacher)
        if front:
            first = scored_objective(session.bench.objectives, teacher) or session.bench.objectives[0]
            sign = -1.0 if first.direction == "maximize" else 1.0
            best = min(front, key=lambda row: sign * history.metrics[first.metric][row])
            values = [f"{item.metric} {history.metrics[item.metric][best]:.4g}" for item in session.bench.objectives]
            session.progress.best(f"{', '.join(values)} ({history.architectures[best]})")


def _told(error: Exception) -> str:
    """An error that nobody foresaw, with whose it is."""
    return " ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])


def is_hopeless(streak: int, trained: int, failed: int) -> bool:
    """Whether failures in a row mean that something other than the architectures is wrong.

    There may be architectures that cannot be trained, so that where some trials were trained, only more failures in
    a row than chance would give are a sign. The probability of one is taken from the trials before by Laplace's rule of
    succession.

    Args:
        streak: trials that failed in a row.
        trained: trials of the study before those that were trained, to the end or until they were stopped.
        failed: trials of the study before those that failed in training.
    """
    if streak < MAX_FAILED:
        return False
    share = (failed + 1) / (trained + failed + 2)
    return trained == 0 or share**streak < LEAST_PROBABILITY


def _of_search(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.origin == "search"]


def _began(trials: Sequence[TrialRecord]) -> int:
    """Trials that the budget counts: training began, or is about to."""
    return sum(trial.began_training or trial.state == "pending" for trial in _of_search(trials))


def searched(trials: Sequence[TrialRecord], history: History) -> tuple[list[TrialRecord], History]:
    """What the strategy sees: all trials but repeats, and but the baselines and hand-made trials that lie in the space.

    Those have no flash score to learn from, and must not keep the search from their architectures: whether they were
    added before or after a trial was proposed would change what is proposed. Of those outside the space the built-in
    strategies learn nothing either.

    Args:
        trials: of the study.
        history: of just these, row for row.
    """
    rows = [
        row
        for row, trial in enumerate(trials)
        if trial.origin == "search" or not (trial.in_space or trial.origin == "repeat")
    ]
    return [trials[row] for row in rows], history.take(rows)


def trial_seed(session: Session, architecture: Architecture, replicate: int) -> int:
    """The seed of a trial: from the study's seed, the architecture and the replicate."""
    return derive_seed(session.settings.seed, architecture.digest, replicate)


def add_beside_search(
    session: Session, architecture: Architecture, origin: Origin, *, label: str | None = None, replicate: int = 0
) -> TrialRecord:
    """Add a trial that no strategy proposed, with what is known of its architecture.

    Args:
        session: of the study.
        architecture: in the space or out of it.
        origin: any but the search.
        label: what it is called, or None.
        replicate: of the architecture.
    """
    storage, study = session.storage, session.study.id
    added = storage.add_trial(
        study,
        architecture,
        replicate=replicate,
        origin=origin,
        label=label,
        in_space=architecture in session.bench.space,
        note=None,
        seed=trial_seed(session, architecture, replicate),
    )
    return storage.update_trial(study, added.number, known=session.known.exact(architecture))
