"""A study without labels: the students learn a fine-tuned teacher's answers, and are measured by agreement with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_studies import replaced, tiny_study

import autodistill
from autodistill.cli import main
from autodistill.engine.study import Study


def write_tuned_teacher(headless: Path, directory: Path) -> Path:
    """A classifier of three named classes that tells texts apart: the head is random, but scaled up."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(1)
    labels = {0: "animal", 1: "colour", 2: "number"}
    model = AutoModelForSequenceClassification.from_pretrained(headless, num_labels=3, id2label=labels)
    with torch.no_grad():
        model.classifier.weight.mul_(50.0)
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(headless).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("label_free")
    labelled_test = ("data.test_label_column=label", "data.labels=[animal,colour,number]")
    given = tiny_study(directory, "data.label_column=null", *labelled_test, "budget.trials=2")
    teacher = write_tuned_teacher(directory / "teacher", directory / "tuned")
    # It gives every text the same class, as an untrained teacher may.
    return [*replaced(given, f"teacher.path={teacher}"), "teacher.allow_weak=true"]


@pytest.fixture(scope="module")
def study(overrides: list[str]) -> Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "autodistill.engine.teacher.fine_tune", lambda *_, **__: pytest.fail("the teacher was fine-tuned")
        )
        return autodistill.run(autodistill.compose(overrides), overrides=overrides)


def test_the_metric_is_agreement_and_the_classes_are_the_teachers(study: Study) -> None:
    summary = study.summary()
    assert summary["task"]["label_free"] is True
    assert summary["task"]["labels"] == ["animal", "colour", "number"]
    assert summary["objectives"][0]["metric"] == "agreement.accuracy"
    assert summary["objectives"][0]["direction"] == "maximize"


def test_the_teacher_agrees_with_itself(study: Study) -> None:
    """`study` fails where it is fine-tuned."""
    assert study.summary()["teacher"]["metrics"]["agreement.accuracy"]["value"] == 1.0


def test_picks_and_baselines_are_compared_by_agreement_on_the_test_split(study: Study) -> None:
    summary = study.summary()
    assert summary["trials"]["complete"] == 2
    for row in [*summary["picks"], *summary["baselines"]]:
        entry = row["final"]["agreement.accuracy"]
        assert entry["split"] == "test"
        assert entry["n"] == 120
        assert entry["low"] <= entry["value"] <= entry["high"]
    # So short a recipe teaches a baseline hardly more than the trivial answer: then it is named, and no rival.
    verdict = summary["verdict"]
    able = {row["name"] for row in summary["baselines"]} - set(verdict["voided"])
    assert verdict["baseline"] in (able or {None})
    assert (verdict["holds"] is None) == (not able)
    assert "agreement.accuracy" in summary["verdict"]["claim"]


def test_a_labelled_test_split_scores_what_is_final_and_nothing_before(study: Study) -> None:
    summary = study.summary()
    for row in [*summary["picks"], *summary["baselines"]]:
        entry = row["final"]["classification.accuracy"]
        assert (entry["split"], entry["n"]) == ("test", 120)
        assert entry["value"] != row["final"]["agreement.accuracy"]["value"]  # the teacher is wrong about most texts
    assert not any(name.startswith("classification.") for row in summary["history"] for name in row["metrics"])


def test_nothing_is_chosen_by_labels_of_the_test_split(
    overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = "objectives.quality.metric=classification.accuracy"
    assert main(["run", *replaced(overrides, f"output_dir={tmp_path / 'outputs'}"), chosen]) == 2
    error = capsys.readouterr().err
    assert "needs labels, and of this data only the test split has some" in error
    assert "Give agreement.accuracy" in error


def test_a_teacher_without_a_head_is_refused_with_both_ways_on(
    overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    headless = Path(next(item for item in overrides if item.startswith("teacher.path=")).partition("=")[2]).parent
    unlabelled = ("data.test_label_column=null", "data.labels=null")
    given = replaced(
        overrides, f"teacher.path={headless / 'teacher'}", f"output_dir={tmp_path / 'outputs'}", *unlabelled
    )
    assert main(["run", *given]) == 2
    error = capsys.readouterr().err
    assert "label-free task needs a teacher that is fine-tuned already" in error
    assert "teacher.path=DIR" in error
    assert "data.label_column=NAME" in error
    assert not (tmp_path / "outputs" / "studies.db").exists()
