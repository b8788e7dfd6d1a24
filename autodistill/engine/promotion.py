"""After the search: train the picks in full, one at a time, each chosen in the light of the full runs before it.

Scores here are of the select split only; the test split is read after the last pick is frozen. Every choice is a
stored step, so that a killed run goes on with the picks that it had chosen.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.outcome import Executor, ExecutorContext, Job
from autodistill.components.search import History
from autodistill.engine.explore import searched_history, searched_trials
from autodistill.engine.lease import release_dead
from autodistill.engine.picks import averaged, candidate_rows
from autodistill.engine.records import TrialRecord
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
        self.trials: list[TrialRecord] = searched_trials(session)
        self.history: History = averaged(searched_history(session))
        self._number = {row: trial.number for row, trial in enumerate(self.trials)}
        self._row = {trial.number: row for row, trial in enumerate(self.trials)}
        self.failures: list[str] = []

    def run(self) -> list[int]:
        """Train up to ``picks.max`` picks; returns the numbers of their trials, the study's best pick first.

        Raises:
            TrialError: every full run failed.
        """
        session, wanted = self.session, self.session.settings.picks_max
        objectives, constraints = session.bench.objectives, session.bench.constraints
        rows = candidate_rows(self.history, objectives, constraints)
        if not rows or wanted < 1:
            why = "picks.max is 0" if wanted < 1 else "no trial is complete and feasible"
            session.progress.message(f"There are no picks, because {why}; only baselines are trained in full.")
            return []
        release_dead(session.storage, session.study.id)
        session.progress.stage("training picks in full", min(wanted, len(rows)))
        context = session.search_context(constraints=())  # infeasible rows are out already
        with session.timed("distill"):
            self._train(Promotion(context, self.history, rows), wanted)
        done = [number for number in self._chosen() if number in self._full_scores()]
        if not done:
            raise TrialError(f"Every full run failed. The first was {self.failures[0]}")
        return self._best_first(done[:wanted])

    # -- one at a time -------------------------------------------------------------------------------------------

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
                if len(under_way) < executor.capacity:
                    number = waiting.pop(0) if waiting else self._choose(promotion, wanted + len(lost))
                    if number is not None:
                        executor.submit(Job(session.study.name, number, "full"))
                        under_way.add(number)
                        continue
                if not under_way:
                    return
                result = executor.wait()
                under_way.discard(result.job.trial)
                session.progress.advance()
                if result.state == "failed":
                    lost.add(result.job.trial)
                    self.failures.append(f"trial {result.job.trial}: {result.error}")
                    session.progress.message(f"full run of {self.failures[-1]}")
        finally:
            executor.close()

    def _chosen(self) -> list[int]:
        """Numbers of the trials that were chosen so far, in order; stored, so that a killed run keeps its choices."""
        found: list[int] = []
        while (step := self.session.storage.step(self.session.study.id, f"pick:{len(found)}")) is not None:
            found.append(int(step["trial"]))
        return found

    def _choose(self, promotion: Promotion, wanted: int) -> int | None:
        """Choose and store the next pick; None when there are enough, or no trial is left."""
        chosen = self._chosen()
        if len(chosen) >= wanted:
            return None
        if chosen:
            full = {self._row[number]: score for number, score in self._full_scores().items() if number in chosen}
            row = promotion.next(full, [self._row[number] for number in chosen], self._costs())
        else:
            row = promotion.first(self.session.settings.picks_margin)
        if row is None:
            return None
        step = {"trial": self._number[row]}
        stored = self.session.storage.set_step(self.session.study.id, f"pick:{len(chosen)}", step)
        return int(stored["trial"])

    def _full_scores(self) -> dict[int, float]:
        """Trial number -> first objective on the select split, of every complete full run of the search."""
        metric = f"select/{self.session.bench.objectives[0].metric}"
        return {
            run.trial: float(run.metrics[metric]["value"])
            for run in self.session.storage.runs(self.session.study.id)
            if run.kind == "full" and run.state == "complete" and run.trial in self._row and metric in run.metrics
        }

    def _costs(self) -> FloatArray:
        """Relative cost of a full run per row: the operations of one example, which the examples only multiply."""
        bench = self.session.bench
        return np.array(
            [
                float(bench.family.flops(item, bench.task, bench.vocabulary, bench.median_tokens))
                for item in self.history.architectures
            ]
        )

    def _best_first(self, numbers: list[int]) -> list[int]:
        """The pick that the verdict is about comes first: by the same rule as the first pick, from full scores."""
        metric, scores = self.session.bench.objectives[0], self._full_scores()
        sign = 1.0 if metric.direction == "maximize" else -1.0
        best = max(numbers, key=lambda number: sign * scores[number])
        allowed = self.session.settings.picks_margin * abs(scores[best])
        close = [number for number in numbers if abs(scores[number] - scores[best]) <= allowed]
        first = min(close, key=self._second_objective) if allowed > 0 else best
        return [first, *(number for number in numbers if number != first)]

    def _second_objective(self, number: int) -> float:
        """A trial's value of the second objective, to be minimised; 0 when there is none."""
        others = self.session.bench.objectives[1:2]
        if not others:
            return 0.0
        sign = -1.0 if others[0].direction == "maximize" else 1.0
        return sign * float(self.history.metrics[others[0].metric][self._row[number]])
