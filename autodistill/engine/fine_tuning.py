"""Runs the protocol of `autodistill.training.protocol` on a task: in the executor, resumable, under Lightning.

Every run has its own folder, named after all that decides its outcome; a run that is complete is not done again, one
that was cut off goes on from its checkpoint. A run that diverges is recorded and takes no part; one for which memory
ran out takes none either, and is tried again by the next call. The answers on both splits are kept, so that scores are
always those of today's evaluators.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.outcome import Executor, ExecutorContext, Job, JobResult, Score
from autodistill.engine.cache import cache_key
from autodistill.engine.guards import judge_interval, score_check
from autodistill.engine.score_statistics import over_seeds
from autodistill.engine.scores import predictions_of, read_logits, score_all, write_predictions
from autodistill.engine.teacher import trainer_arguments
from autodistill.engine.trivial import trivial_scores
from autodistill.engine.verdict import entry_of
from autodistill.engine.workbench import Workbench
from autodistill.errors import OutOfMemoryTrialError, StudyInterruptedError, TrialError
from autodistill.exporters.auto_classes import load_pretrained
from autodistill.folders import locked, private_directory, write_json
from autodistill.training.fine_tune import PROTOCOL_SETTINGS, fine_tune
from autodistill.training.parallel import processes
from autodistill.training.precision import precision_of
from autodistill.training.predict import predict
from autodistill.training.protocol import Point, Protocol, best_point
from autodistill.training.seeds import derive_seed
from autodistill.training.waiting import WhileAnotherWorks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

#: What is kept of a run: its outcome, its answers on the select split, and those on the final split.
RESULT, SELECT_PREDICTIONS, PREDICTIONS = "result.json", "select.parquet", "predictions.parquet"

#: Key of an outcome that another call may better.
TRY_AGAIN = "try_again"


@dataclass(frozen=True, slots=True)
class Run:
    """One training run: a point of the grid with a seed."""

    point: Point
    seed: int


class FineTuner:
    """Fine-tunes the workbench's teacher (any model) on the workbench's task.

    Args:
        bench: data, task, model and evaluators.
        protocol: grid and seeds.
        folder: of all runs.
        progress: called with (steps done, steps in all) of the run that is under way.
        stop_requested: asked after every step.
        name: what the model is called in the check.
    """

    def __init__(
        self,
        bench: Workbench,
        protocol: Protocol,
        folder: Path,
        progress: Callable[[int, int], None] | None = None,
        stop_requested: Callable[[], bool] | None = None,
        name: str = "the fine-tuned model",
    ) -> None:
        self.name = name
        self.bench, self.protocol, self.folder = bench, protocol, folder
        self._progress, self._stop_requested = progress, stop_requested
        self._runs: list[Run] = []
        self._tried: set[Path] = set()
        self._ran_out = False
        #: Of each seed of the best point on the final split; filled by `run`.
        self.scores: list[dict[str, Score]] = []

    # -- the protocol ------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Do what is left of the protocol and return its outcome.

        Returns:
            ``metrics`` of the final split with intervals over examples and seeds, ``chosen`` point, ``grid`` with the
            scores on select, ``seeds`` with theirs on the final split, ``seeds_asked``, ``failed_seeds`` (why each of
            them failed; they are in no mean), ``check`` against the trivial answer, and cost.

        Raises:
            TrialError: every run of the grid failed, or every seed: in training, or its answers are no numbers.
            StudyInterruptedError: a stop was requested; the same command goes on.
        """
        metric, direction = self.bench.task.metric, self.bench.directions[self.bench.task.metric]
        first = self._first_runs
        grid = self._grid()
        chosen = self._best_point(grid)
        runs = [Run(chosen, seed) for seed in range(self.protocol.seeds)]
        results = self._results(runs)
        scores, failed = self._scores_of_seeds(runs, results)
        self._forget_models(first)
        self.scores = list(scores.values())
        role = self.bench.final_role
        entries = {name: entry_of(over_seeds([one[name] for one in self.scores]), role) for name in self.scores[0]}
        return {
            "task": {"kind": self.bench.task.kind, "benchmark": self.bench.task.benchmark, "metric": metric},
            "split": role,
            "metrics": entries,
            "chosen": asdict(chosen),
            "grid": [
                {**asdict(run.point), "select": result["select"], "error": result.get("error")}
                for run, result in zip(first, grid, strict=True)
            ],
            "seeds": [{name: score.value for name, score in one.items()} for one in self.scores],
            "seeds_asked": self.protocol.seeds,
            "failed_seeds": failed,
            "check": self._check(entries[metric], direction, next(iter(scores))),
            "cost": self._cost([*grid, *results[1:]]),
        }

    def train_point(self, place: int) -> None:
        """Train one point of the grid, and nothing else: processes that train different ones share the work of `run`.

        Args:
            place: of the point in the protocol.
        """
        self._results([self._first_runs[place]])

    def train_seed(self, seed: int) -> None:
        """Train the best point of the grid with one seed, and nothing else but what is left of the grid.

        Args:
            seed: below the protocol's number of seeds.

        Raises:
            TrialError: every run of the grid failed.
        """
        self._results([Run(self._best_point(self._grid()), seed)])

    @property
    def _first_runs(self) -> list[Run]:
        """The grid, each point with the first seed."""
        return [Run(point, 0) for point in self.protocol.points]

    def _best_point(self, grid: Sequence[dict[str, Any]]) -> Point:
        """The point with the best score on the select split."""
        direction = self.bench.directions[self.bench.task.metric]
        best = best_point([result["select"] for result in grid], direction)
        if best is None:
            raise TrialError(f"Every run of the grid failed. The first was: {grid[0]['error']}")
        return self.protocol.points[best]

    @property
    def out_of_memory(self) -> bool:
        """Whether a run of this call failed for want of memory, so that another call may come to another outcome."""
        return self._ran_out or any(TRY_AGAIN in self._stored(place) for place in self._tried)

    def _grid(self) -> list[dict[str, Any]]:
        """The outcome of every point of the grid, with its score on the select split; None where the run failed."""
        return [
            {**result, "select": None if "error" in result else self._select_score(run)}
            for run, result in zip(self._first_runs, self._results(self._first_runs), strict=True)
        ]

    def _select_score(self, run: Run) -> float:
        answers = read_logits(self._place(run) / SELECT_PREDICTIONS)
        scores = score_all(self.bench, predictions_of(self.bench, "select", answers, None))
        return scores[self.bench.task.metric].value

    def _results(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """The outcome of some runs; those that are not complete are given to the executor."""
        waiting = [run for run in runs if not self._is_settled(self._place(run))]
        self._runs = list(waiting)
        executor: Executor = self.bench.create(self.bench.settings.one("executor"), ExecutorContext(self._work))
        under_way = 0
        try:
            for index in range(len(waiting)):
                if under_way >= executor.capacity:
                    executor.wait()
                    under_way -= 1
                executor.submit(Job(self.bench.settings.study_name, index, "full"))
                under_way += 1
            for _ in range(under_way):
                executor.wait()
        finally:
            executor.close()
        self._tried |= {self._place(run) for run in waiting}
        return [self._stored(self._place(run)) for run in runs]

    def _check(self, entry: dict[str, Any], direction: str, run: Run) -> dict[str, Any]:
        """Whether the fine-tuned model is better than the trivial answer; ``run`` says what the answers look like."""
        role, metric = self.bench.final_role, self.bench.task.metric
        given = predictions_of(self.bench, role, read_logits(self._predictions(run)), None)
        floor = trivial_scores(self.bench, given)[metric]
        learnt = judge_interval(entry["value"], entry["low"], entry["high"], floor, direction)
        return score_check(self.name, metric, entry["value"], floor, learnt)

    def _cost(self, results: Sequence[dict[str, Any]]) -> dict[str, float]:
        cost = {name: sum(float(one.get(name, 0.0)) for one in results) for name in ("examples", "seconds")}
        # Runs of earlier versions have seconds alone.
        return cost | {"device_seconds": sum(float(one.get("device_seconds", one["seconds"])) for one in results)}

    # -- one run -----------------------------------------------------------------------------------------------------

    def _place(self, run: Run) -> Path:
        """The run's folder; its name holds a digest of everything that decides the outcome."""
        bench = self.bench
        key = cache_key(
            {
                "model": bench.teacher.fingerprint,
                "data": {role: split.fingerprint for role, split in bench.splits.items()},
                "task": asdict(bench.task),
                "precision": precision_of(bench.settings.trainer),
                "recipe": asdict(run.point.recipe(bench.teacher.fine_tuning)),
                "seed": bench.settings.seed,
            }
        )
        return self.folder / f"{run.point.name}-seed{run.seed}-{key[:12]}"

    def _is_settled(self, place: Path) -> bool:
        """Whether a run need not be done: it is complete, diverged, or was tried in vain by this call."""
        return (place / RESULT).is_file() and (place in self._tried or TRY_AGAIN not in self._stored(place))

    def _stored(self, place: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((place / RESULT).read_text())
        return found

    def _predictions(self, run: Run) -> Path:
        return self._place(run) / PREDICTIONS

    def _work(self, job: Job) -> JobResult:
        """Train one run and score it on select; what the executor calls. ``trial`` is the run's place in the list.

        Of several processes one trains a run, and the others wait for it.
        """
        run = self._runs[job.trial]
        place = self._place(run)
        waiting = WhileAnotherWorks(f"fine-tunes {run.point.name}, seed {run.seed}", self._stop_requested)
        with locked(place.with_name(f".{place.name}.lock"), waiting):
            if self._is_settled(place):
                return JobResult(job, "elsewhere")
            return self._work_alone(job, run)

    def _work_alone(self, job: Job, run: Run) -> JobResult:
        started = time.monotonic()
        try:
            result = self._train(run)
        except TrialError as error:
            logger.warning("fine-tuning %s, seed %d failed: %s", run.point.name, run.seed, error)
            failed = {"error": str(error), **self._time(time.monotonic() - started)}
            again = {TRY_AGAIN: True} if isinstance(error, OutOfMemoryTrialError) else {}
            write_json(self._place(run) / RESULT, failed | again)
            return JobResult(job, "failed", str(error))
        write_json(self._place(run) / RESULT, result)
        shutil.rmtree(self._place(run) / "checkpoint", ignore_errors=True)
        return JobResult(job, "complete")

    def _train(self, run: Run) -> dict[str, Any]:
        bench, place = self.bench, private_directory(self._place(run))
        seed = derive_seed(bench.settings.seed, "fine_tune", run.seed)
        model, recipe = self._fresh_model(seed), run.point.recipe(bench.teacher.fine_tuning)
        result = fine_tune(
            model,
            bench.splits["train"],
            recipe,
            seed=seed,
            trainer=trainer_arguments(bench.settings.trainer),
            loggers=[],
            callbacks=[],
            checkpoint_dir=place / "checkpoint",
            progress=self._progress,
            stop_requested=self._stop_requested,
            checkpoint_every_steps=int(bench.settings.trainer["checkpoint_every_steps"]),
            accumulate=int(bench.settings.trainer.get("accumulate", 1)),
            settings=PROTOCOL_SETTINGS,
        )
        if result.state != "complete":
            raise StudyInterruptedError("Interrupted while fine-tuning; its checkpoint is kept.")
        answers = predictions_of(bench, "select", predict(model, bench.splits["select"], device=bench.device), None)
        score_all(bench, answers)  # raises where they are no numbers
        write_predictions(place / SELECT_PREDICTIONS, answers, "select")
        model.save_pretrained(place / "hf")
        bench.tokenizer.save_pretrained(place / "hf")
        return {"examples": result.examples, "steps": result.steps, **self._time(result.seconds)}

    def _time(self, seconds: float) -> dict[str, float]:
        """Wall-clock seconds of training, and those of all devices together."""
        return {"seconds": seconds, "device_seconds": seconds * processes(self.bench.settings.trainer)}

    def _fresh_model(self, seed: int) -> PreTrainedModel:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # the new head's start
            return self.bench.teacher.load(self.bench.task)

    def _scores_of_seeds(
        self, runs: Sequence[Run], results: Sequence[Mapping[str, Any]]
    ) -> tuple[dict[Run, dict[str, Score]], list[str]]:
        """The final scores of each run that has some, and why each of the others failed."""
        scores: dict[Run, dict[str, Score]] = {}
        failed: list[str] = []
        for run, result in zip(runs, results, strict=True):
            if "error" in result:
                failed.append(str(result["error"]))
                continue
            try:
                scores[run] = self._final_scores(run)
            except TrialError as error:
                logger.warning("scoring %s, seed %d failed: %s", run.point.name, run.seed, error)
                self._ran_out |= isinstance(error, OutOfMemoryTrialError)
                failed.append(str(error))
        if not scores:
            raise TrialError(f"Every seed of the best point failed. The first was: {failed[0]}")
        return scores, failed

    def _final_scores(self, run: Run) -> dict[str, Score]:
        """Scores on the final split, which is read once per seed: the answers are kept, without texts."""
        bench, role, file = self.bench, self.bench.final_role, self._predictions(run)
        if not file.is_file():
            folder = self._place(run) / "hf"
            if not (folder / "model.safetensors").is_file():  # an earlier grid chose another, and its weights are gone
                (self._place(run) / RESULT).unlink()
                result = self._results([run])[0]
                if "error" in result:
                    raise TrialError(
                        f"{run.point.name}, seed {run.seed}, was trained once more and failed: {result['error']}"
                    )
            logits = predict(load_pretrained(folder), bench.splits[role], device=bench.device)
            write_predictions(file, predictions_of(bench, role, logits, None), role)
        return score_all(bench, predictions_of(bench, role, read_logits(file), None))

    def forget_models(self) -> None:
        """Remove the weights of all runs; their answers stay, so that `run` has nothing to train."""
        for place in self.folder.glob("*/hf"):
            if (place.parent / PREDICTIONS).is_file():
                _remove(place)

    def _forget_models(self, runs: Sequence[Run]) -> None:
        """Remove the weights of points that were not chosen."""
        for run in runs:
            if not self._predictions(run).is_file():
                _remove(self._place(run) / "hf")


def _remove(folder: Path) -> None:
    """Remove a model; at once, as far as others can see: half of one would be taken for it."""
    gone = folder.with_name(f".{folder.name}-removed")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(FileNotFoundError):  # it was never there, or another process is quicker
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
