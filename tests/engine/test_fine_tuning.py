"""The fine-tuning protocol on the tiny task, with a tiny model that has no head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_studies import replaced, tiny_study

import autodistill
from autodistill.cli import main
from autodistill.components.outcome import Job, JobResult, Predictions, Score
from autodistill.engine.fine_tuning import FineTuner, Run
from autodistill.engine.guards import failed_seeds_words
from autodistill.engine.workbench import Workbench
from autodistill.errors import OutOfMemoryTrialError, StudyInterruptedError, TrialError
from autodistill.evaluators.classification import Classification
from autodistill.folders import locked
from autodistill.registry import default_registry
from autodistill.training.predict import predict
from autodistill.training.protocol import Point, Protocol

GOOD, POOR, BROKEN = Point(3e-3, 16, 8.0), Point(1e-7, 16, 0.1), Point(1e30, 16, 1.0)
SHORT = Point(3e-3, 16, 0.5)


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_study(tmp_path_factory.mktemp("fine_tuning"))


@pytest.fixture
def bench(overrides: list[str]) -> Workbench:
    return Workbench(autodistill.compose(overrides), default_registry())


class Counting(FineTuner):
    """Counts the runs that were really trained."""

    trained = 0

    def _work(self, job: Job) -> JobResult:
        self.trained += 1
        return super()._work(job)


def test_the_best_point_on_select_is_trained_with_all_seeds_and_tested_once(bench: Workbench, tmp_path: Path) -> None:
    tuner = Counting(bench, Protocol((POOR, GOOD), 3), tmp_path)
    found = tuner.run()
    assert tuner.trained == 2 + 2
    assert found["chosen"] == {"lr": 3e-3, "batch_size": 16, "epochs": 8.0}
    assert found["grid"][0]["select"] < found["grid"][1]["select"]
    assert found["split"] == "test"
    entry = found["metrics"]["classification.accuracy"]
    assert entry["seeds"] == 3
    assert entry["n"] == 120
    assert entry["low"] <= entry["value"] <= entry["high"]
    assert len({seed["classification.loss"] for seed in found["seeds"]}) == 3
    assert found["check"]["found"].startswith("classification.accuracy 0.")
    assert found["cost"]["examples"] == 3 * 16 * round(8 * len(bench.splits["train"]) / 16) + 16 * max(
        1, round(0.1 * len(bench.splits["train"]) / 16)
    )
    # The answers of the point that was not chosen on the test split do not exist, nor do its weights.
    poor = [path for path in tmp_path.iterdir() if path.name.startswith(POOR.name)]
    assert sorted(path.name for path in poor[0].iterdir()) == ["result.json", "select.parquet"]

    again = Counting(bench, Protocol((POOR, GOOD), 3), tmp_path)
    assert again.run() == found
    assert again.trained == 0


def test_a_run_that_was_interrupted_goes_on(bench: Workbench, tmp_path: Path) -> None:
    steps: list[int] = []

    def stop() -> bool:
        return len(steps) == 5

    def seen(step: int, of: int) -> None:
        steps.append(step)

    tuner = FineTuner(bench, Protocol((GOOD,), 1), tmp_path, progress=seen, stop_requested=stop)
    with pytest.raises(StudyInterruptedError, match="its checkpoint is kept"):
        tuner.run()
    later: list[int] = []
    resumed = FineTuner(bench, Protocol((GOOD,), 1), tmp_path, progress=lambda step, of: later.append(step)).run()
    assert later[0] == 6
    whole = FineTuner(bench, Protocol((GOOD,), 1), tmp_path / "whole").run()
    assert resumed["metrics"] == whole["metrics"]
    assert whole["check"]["alarm"] is None


def test_who_waits_for_another_process_can_be_stopped(bench: Workbench, tmp_path: Path) -> None:
    tuner = FineTuner(bench, Protocol((GOOD,), 1), tmp_path, stop_requested=lambda: True)
    place = tuner._place(Run(GOOD, 0))
    with (
        locked(place.with_name(f".{place.name}.lock")),
        pytest.raises(StudyInterruptedError, match=rf"while another process fine-tunes {GOOD.name}, seed 0\."),
    ):
        tuner.run()


def test_a_run_that_diverges_takes_no_part(bench: Workbench, tmp_path: Path) -> None:
    found = FineTuner(bench, Protocol((BROKEN, GOOD), 1), tmp_path).run()
    assert found["chosen"]["lr"] == 3e-3
    assert found["grid"][0]["select"] is None
    assert "became" in found["grid"][0]["error"]
    with pytest.raises(TrialError, match=r"Every run of the grid failed\. .* Lower fine_tuning\.learning_rates, "):
        FineTuner(bench, Protocol((BROKEN,), 1), tmp_path).run()


def test_a_synonym_of_a_precision_trains_nothing_anew(bench: Workbench, tmp_path: Path) -> None:
    def place(precision: object) -> Path:
        settings = replace(bench.settings, trainer={**bench.settings.trainer, "precision": precision})
        own = Workbench(settings, bench.registry, data=bench.data)
        return FineTuner(own, Protocol((GOOD,), 1), tmp_path)._place(Run(GOOD, 0))

    assert place("32-true") == place(32) == place(None) != place("bf16") == place("bf16-mixed")


def test_all_devices_of_a_run_count_in_its_cost(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autodistill.engine.fine_tuning.processes", lambda trainer: 4)
    cost = FineTuner(bench, Protocol((BROKEN, SHORT), 1), tmp_path).run()["cost"]
    assert cost["device_seconds"] == pytest.approx(4 * cost["seconds"])
    for file in tmp_path.glob("*/result.json"):  # as earlier versions wrote it
        kept = json.loads(file.read_text())
        file.write_text(json.dumps({name: value for name, value in kept.items() if name != "device_seconds"}))
    assert FineTuner(bench, Protocol((BROKEN, SHORT), 1), tmp_path).run()["cost"]["device_seconds"] == cost["seconds"]


def test_a_second_grid_may_choose_a_point_that_the_first_left(bench: Workbench, tmp_path: Path) -> None:
    assert FineTuner(bench, Protocol((POOR, SHORT), 1), tmp_path).run()["chosen"]["epochs"] == 0.5
    again = Counting(bench, Protocol((POOR,), 1), tmp_path)
    assert again.run()["chosen"]["lr"] == 1e-7
    assert again.trained == 1  # its weights were not kept


def test_seeds_that_failed_are_told(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FineTuner._train

    def train(self: FineTuner, run: Run) -> dict[str, Any]:
        if run.seed == 1:
            raise TrialError("The loss became NaN.")
        return whole(self, run)

    monkeypatch.setattr(FineTuner, "_train", train)
    found = FineTuner(bench, Protocol((POOR,), 2), tmp_path).run()
    assert found["metrics"]["classification.accuracy"]["seeds"] == 1
    assert (found["seeds_asked"], found["failed_seeds"]) == (2, ["The loss became NaN."])
    words = failed_seeds_words(found)
    assert words is not None
    assert words.startswith("1 of 2 seeds failed and are in no mean")


@pytest.mark.parametrize("diverged", [0, 1])
def test_final_answers_that_are_no_numbers_fail_their_seed_alone(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, diverged: int
) -> None:
    answered = []

    def answer(model: Any, split: Any, **options: Any) -> Any:
        found = predict(model, split, **options)
        if split is bench.splits["test"]:
            answered.append(split)
            found = found * (np.nan if len(answered) - 1 == diverged else 1.0)
        return found

    monkeypatch.setattr("autodistill.engine.fine_tuning.predict", answer)
    found = FineTuner(bench, Protocol((POOR,), 2), tmp_path).run()
    assert found["metrics"]["classification.accuracy"]["seeds"] == len(found["seeds"]) == 1
    assert found["seeds_asked"] == 2
    assert found["failed_seeds"] == ["The logits of 120 of 120 examples are not finite: the model has diverged."]
    assert FineTuner(bench, Protocol((POOR,), 2), tmp_path).run() == found


def test_seeds_that_all_fail_in_the_end_are_an_error(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: FineTuner, run: Run) -> dict[str, Score]:
        raise TrialError(f"Seed {run.seed} is lost.")

    monkeypatch.setattr(FineTuner, "_final_scores", diverge)
    with pytest.raises(TrialError, match=r"Every seed of the best point failed\. The first was: Seed 0 is lost"):
        FineTuner(bench, Protocol((POOR,), 1), tmp_path).run()


def test_a_run_for_which_memory_ran_out_is_tried_again_by_the_next_call(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FineTuner._train

    def train(self: FineTuner, run: Run) -> dict[str, Any]:
        if run.point == GOOD:
            raise OutOfMemoryTrialError("Memory ran out.")
        return whole(self, run)

    with monkeypatch.context() as patch:
        patch.setattr(FineTuner, "_train", train)
        small = Counting(bench, Protocol((GOOD, POOR), 1), tmp_path)
        found = small.run()
    assert found["chosen"]["lr"] == POOR.lr
    assert found["grid"][0] == {"lr": 3e-3, "batch_size": 16, "epochs": 8.0, "select": None, "error": "Memory ran out."}
    assert small.trained == 2  # once per call
    assert small.out_of_memory

    large = Counting(bench, Protocol((GOOD, POOR), 1), tmp_path)
    assert large.run()["chosen"]["lr"] == GOOD.lr
    assert large.trained == 1
    assert not large.out_of_memory


def test_the_grid_is_scored_by_the_evaluators_of_today(overrides: list[str], tmp_path: Path) -> None:
    grid = Protocol((POOR, SHORT), 1)
    FineTuner(Workbench(autodistill.compose(overrides), default_registry()), grid, tmp_path).run()
    other = Workbench(autodistill.compose(overrides), default_registry())

    class Reversed(Classification):
        def score(self, predictions: Predictions) -> Mapping[str, Score]:
            return {name: replace(score, value=-score.value) for name, score in super().score(predictions).items()}

    other.__dict__["evaluators"] = {"classification": Reversed()}
    again = Counting(other, grid, tmp_path)
    assert again.run()["chosen"]["lr"] == POOR.lr
    assert again.trained == 1  # its weights were not kept


def test_a_model_that_learns_nothing_raises_an_alarm(bench: Workbench, tmp_path: Path) -> None:
    found = FineTuner(bench, Protocol((POOR,), 1), tmp_path).run()
    assert "the fine-tuned model scores" in found["check"]["alarm"]


def test_evaluate_fine_tunes_a_model_without_a_head(overrides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    teacher = next(item for item in overrides if item.startswith("teacher.path=")).partition("=")[2]
    more = ["fine_tuning.learning_rates=[3e-3]", "fine_tuning.epochs=[1]", "fine_tuning.seeds=2"]
    assert main(["evaluate", *overrides, f"model={teacher}", *more]) == 0
    printed = capsys.readouterr().out
    assert "1 points on the select split, then 2 seeds" not in printed
    assert "1 point on the select split, then 2 seeds of the best" in printed
    written: dict[str, Any] = json.loads(Path(printed.split("Written: ")[1].strip()).read_text())
    assert written["metrics"]["classification.accuracy"]["seeds"] == 2
    assert "no test split" not in printed


def evaluated_untaught(
    overrides: list[str], capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[str, dict[str, Any]]:
    """What `evaluate` prints and writes of the teacher, which has no head, fine-tuned once at each rate."""
    teacher = next(item for item in overrides if item.startswith("teacher.path=")).partition("=")[2]
    small = ["fine_tuning.batch_sizes=[16]", "fine_tuning.epochs=[1]", "fine_tuning.seeds=1"]
    assert main(["evaluate", *replaced(overrides, *small, *more), f"model={teacher}"]) == 0
    printed = capsys.readouterr().out
    return printed, json.loads(Path(printed.split("Written: ")[1].strip()).read_text())


def test_evaluate_compares_a_model_that_it_fine_tunes_with_no_teacher(
    overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["evaluator=[agreement,size]", "fine_tuning.learning_rates=[3e-3]", "study.name=untaught"]
    printed, written = evaluated_untaught(overrides, capsys, *more)
    assert "evaluator.agreement compares with a teacher's answers" in printed
    assert "left out. Evaluate the fine-tuned model to compare it." in printed
    assert {name.partition(".")[0] for name in written["metrics"]} == {"classification"}


def test_evaluate_without_a_test_split_says_that_its_figures_are_optimistic(
    overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["data.test=null", "fine_tuning.learning_rates=[3e-3,1e-3]", "study.name=untested"]
    printed, written = evaluated_untaught(overrides, capsys, *more)
    alarm = "of the select split, on which its settings are chosen. They are optimistic, and nothing is claimed"
    assert alarm in printed
    assert "Give test examples (data.test)." in printed
    assert written["split"] == "select"
    assert [row["name"] for row in written["checks"] if alarm in (row["alarm"] or "")] == ["split of the final figures"]
