"""After the search: train the picks in full, one at a time, each chosen in the light of the full runs before it.

Scores here are of the select split only; the test split is read after the last pick is frozen. Every choice is a
stored step, so that a killed run goes on with the picks that it had chosen.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.outcome import Executor, ExecutorContext, Job
from autodistill.components.search import History, Objective
from autodistill.engine.explore import MAX_FAILED, searched
from autodistill.engine.lease import release_dead
from autodistill.engine.picks import averaged, candidate_rows
from autodistill.engine.places import chosen_picks
from autodistill.engine.recipe import step_flops
from autodistill.engine.relative import scored_objective
from autodistill.engine.session import Session
from autodistill.errors import TrialError
from autodistill.search.promotion import Promotion

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

logger = logging.getLogger(__name__)


class Promoter:
    """Chooses and trains the picks of an open study."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.trials, self.history = searched(*session.storage.seen(session.study.id))
        self.means: History = averaged(self.history)
        self._number = {row: trial.number for row, trial in enumerate(self.trials)}
        self._row = {trial.number: row for row, trial in enumerate(self.trials)}
        self.failures: list[str] = []
        #: Why fewer picks than `picks.max` were made; empty while they were not.
        self.fewer = ""

    def run(self) -> list[int]:
        """Train up to ``picks.max`` picks; returns the numbers of their trials, the study's best pick first.

        Raises:
            TrialError: every full run failed.
        """
        session, wanted = self.session, self.session.settings.picks_max
        objectives, constraints = session.bench.objectives, session.bench.constraints
        rows = candidate_rows(self.means, objectives, constraints)
        if not rows or wanted < 1 or self.quality is None:
            why = (
                "picks.max is 0"
                if wanted < 1
                else "no objective is a score of trained models"
                if self.quality is None
                else "no trial is complete and feasible"
            )
            session.progress.message(f"There are no picks, because {why}; only baselines are trained in full.")
            return []
        release_dead(session.storage, session.study.id)
        self._forget_outdated()
        session.progress.stage("training picks in full", min(wanted, len(rows)))
        with session.timed("distill"):
            self._train(self._promotion(self.quality, rows), wanted)
        done = [number for number in self._chosen() if number in self._full_scores()]
        if not done:
            raise TrialError(f"Every full run failed. The first was {self.failures[0]}")
        if len(done) < wanted:
            self.fewer = self._why_fewer({self._number[row] for row in rows})
            session.progress.message(f"{len(done)} of at most {wanted} picks (picks.max) were made: {self.fewer}.")
        return self._best_first(done[:wanted])

    # -- one at a time -------------------------------------------------------------------------------------------

    def _promotion(self, quality: Objective, rows: Collection[int]) -> Promotion:
        """What chooses among the rows of the history."""
        others = tuple(item for item in self.session.bench.objectives if item != quality)
        # Infeasible rows are out already.
        context = replace(self.session.search_context(constraints=()), objectives=(quality, *others))
        return Promotion(context, self.history, rows, self.means)

    def _train(self, promotion: Promotion, wanted: int) -> None:
        session = self.session
        runner = session.runner(retry_failed=True)
        executor: Executor = session.bench.create(session.settings.one("executor"), ExecutorContext(runner.work))
        under_way: set[int] = set()
        lost: set[int] = set()
        waiting = [number for number in self._chosen() if number not in self._full_scores()]
        try:
            while True:
                session.check_stop()
                if len(under_way) < executor.capacity and len(lost) < MAX_FAILED:
                    number = waiting.pop(0) if waiting else self._choose(promotion, wanted + len(lost), under_way)
                    if number is not None:
                        executor.submit(Job(session.study.name, number, "full"))
                        under_way.add(number)
                        continue
                if not under_way:
                    return
                result = executor.wait()
                under_way.discard(result.job.trial)
                session.progress.advance()
                if result.job.trial not in self._full_scores():
                    lost.add(result.job.trial)
                    self.failures.append(f"trial {result.job.trial}: {result.error or 'Its score is no number.'}")
                    session.progress.message(f"full run of {self.failures[-1]}")
        finally:
            executor.close()

    def _chosen(self) -> list[int]:
        """Numbers of the trials that were chosen so far, in order; stored, so that a killed run keeps its choices."""
        return chosen_picks(self.session.storage, self.session.study)

    def _choose(self, promotion: Promotion, wanted: int, under_way: Collection[int]) -> int | None:
        """Choose and store the next pick; None when there are enough, or no trial is left."""
        chosen = self._chosen()
        if len(chosen) >= wanted:
            return None
        taken = [self._row[number] for number in chosen]
        failed = [self._row[number] for number in self._failed(chosen) if number not in under_way]
        if len(failed) < len(taken):
            full = {self._row[number]: score for number, score in self._full_scores().items() if number in chosen}
            row = promotion.next(full, taken, self._costs(), failed)
            why = "no trial that is left lies within it"
        else:
            row = promotion.first(self.session.settings.picks_margin, failed)
            why = "the first is chosen for its flash score, or by picks.margin"
        if row is None:
            return None
        step: dict[str, Any] = {"trial": self._number[row], "searched": self._searched}
        if beyond := promotion.beyond(row):
            step["beyond"] = list(beyond)
            self.session.progress.message(
                f"Trial {self._number[row]} becomes a pick although it adds nothing to the hypervolume, whose "
                f"reference point it does not reach in {' and '.join(beyond)}: {why}."
            )
        stored = self.session.storage.set_step(self.session.study.id, f"pick:{len(chosen)}", step)
        return int(stored["trial"])

    def _why_fewer(self, candidates: Collection[int]) -> str:
        """Why picks ended before there were enough of them, as a clause."""
        chosen = self._chosen()
        failed = len(self._failed(chosen))
        if set(candidates) - set(chosen):
            return f"after {failed} full runs that failed no further one is trained"
        of_these = f", and the full runs of {failed} of them failed" if failed else ""
        return f"the search had {len(candidates)} architectures that were complete and feasible{of_these}"

    @property
    def _searched(self) -> int:
        """How many trials of the search there are to choose from, and were."""
        return sum(trial.origin == "search" for trial in self.trials)

    def _forget_outdated(self) -> None:
        """Choose anew the picks that were chosen before later trials and whose full run has not ended."""
        storage, study = self.session.storage, self.session.study.id
        steps: list[Any] = [storage.step(study, f"pick:{place}") for place in range(len(self._chosen()))]
        # Earlier versions did not store it: their choices are kept.
        before = min((int(step.get("searched", self._searched)) for step in steps), default=self._searched)
        if before >= self._searched:
            return
        ended = {*self._full_scores(), *self._failed(self._chosen())}
        # A kill amid this leaves steps of before at the end, of which one may name a pick that was moved already.
        kept = list(dict.fromkeys(int(step["trial"]) for step in steps if step["trial"] in ended))
        for place, number in enumerate(kept):
            # The reference point may be another one since: what was found to lie beyond it is not told any more.
            storage.replace_step(study, f"pick:{place}", {"trial": number, "searched": self._searched})
        for place in reversed(range(len(kept), len(steps))):
            storage.drop_step(study, f"pick:{place}")
        self.session.progress.message(
            f"{len(steps)} picks were chosen before the last {self._searched - before} trials. Those that were trained "
            f"in full stay (trials: {', '.join(map(str, kept)) or 'none'}); the others are chosen "
            "anew."
        )

    @cached_property
    def quality(self) -> Objective | None:
        """What flash estimates of trained models."""
        return scored_objective(self.session.bench.objectives, self.session.step("teacher"))

    def _full_scores(self) -> dict[int, float]:
        """Trial number -> quality on the select split, of every complete full run of the search that has a number."""
        metric = f"select/{self.quality.metric}" if self.quality else ""
        return {
            run.trial: float(run.metrics[metric]["value"])
            for run in self.session.storage.runs(self.session.study.id)
            if run.kind == "full"
            and run.state == "complete"
            and run.trial in self._row
            and metric in run.metrics
            and np.isfinite(float(run.metrics[metric]["value"]))
        }

    def _failed(self, chosen: Collection[int]) -> list[int]:
        """Those of the chosen trials whose full run has ended without a score."""
        runs = self.session.storage.runs(self.session.study.id)
        ended = {run.trial for run in runs if run.kind == "full" and run.state in ("complete", "failed")}
        return sorted(ended.intersection(chosen) - self._full_scores().keys())

    def _costs(self) -> FloatArray:
        """Relative cost of a full run per row: the operations of one example, which the examples only multiply."""
        return np.array([sum(step_flops(self.session.bench, item)) for item in self.history.architectures])

    def _best_first(self, numbers: list[int]) -> list[int]:
        """The pick that the verdict is about comes first: by the same rule as the first pick, from full scores."""
        scores = self._full_scores()
        sign = -1.0 if self.quality and self.quality.direction == "minimize" else 1.0
        best = max(numbers, key=lambda number: sign * scores[number])
        allowed = self.session.settings.picks_margin * abs(scores[best])
        close = [number for number in numbers if abs(scores[number] - scores[best]) <= allowed]
        first = min(close, key=self._second_objective) if allowed > 0 else best
        return [first, *(number for number in numbers if number != first)]

    def _second_objective(self, number: int) -> float:
        """A trial's value of the second objective, to be minimised; 0 when there is none."""
        others = [item for item in self.session.bench.objectives if item != self.quality]
        if not others:
            return 0.0
        sign = -1.0 if others[0].direction == "maximize" else 1.0
        return sign * float(self.means.metrics[others[0].metric][self._row[number]])
