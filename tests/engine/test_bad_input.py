"""Every mistake is one paragraph with exit code 2, before any training, and leaves nothing but a log and caches."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tiny_studies import replaced, tiny_study

import autodistill
from autodistill.cli import main

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    directory = tmp_path_factory.mktemp("files")
    return directory, tiny_study(directory)


@pytest.fixture
def refused(files: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a verb with overrides on the tiny study; returns the error's text after the checks that all have."""

    def refuse(*new: str, verb: str = "run", without: Sequence[str] = ()) -> str:
        output = tmp_path / "outputs"
        kept = [item for item in files[1] if item.partition("=")[0] not in without]
        capsys.readouterr()
        code = main([verb, *replaced(kept, f"output_dir={output}", *new)])
        error = capsys.readouterr().err
        assert code == 2, error
        assert "Traceback" not in error
        error = error[error.index("autodistill: error: ") :]  # the display's lines come before
        assert "\n\n" not in error.strip()
        written = [path for path in output.rglob("*") if path.is_file() and output / "cache" not in path.parents]
        assert [path.name for path in written if path.name != "autodistill.log"] == []
        assert list(output.glob("*/picks")) == list(output.glob("*/trials")) == []
        assert not (output / "cache" / "teachers").exists()  # nothing was trained
        return error

    return refuse


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["search=botroch"], "Unknown search strategy 'botroch'. Did you mean 'botorch'?"),
        (["search.nonsense=1"], "search.nonsense"),
        (["budegt.trials=3"], "budegt.trials"),
        (["budget.trials=many"], "budget.trials must be a whole number >= 1, got 'many'"),
        (["budget.trials=0"], "budget.trials must be >= 1, got 0"),
        (["budget.trials=2.5"], "budget.trials must be a whole number >= 1, got 2.5"),
        (["schedule.lr=fast"], "schedule.lr must be a number, got 'fast'"),
        (["schedule.lr=-1"], "schedule.lr must be > 0 and finite, got -1"),
        (["schedule.lr=inf"], "schedule.lr must be > 0 and finite, got inf"),
        (["loss.logits_kl.weight=0"], "the losses are: logits_kl (prediction, of weight 0)"),
        (["+loss.soft={name: logits_kl, beta: 2}"], "loss.soft.beta must be in (0, 1), got 2"),
        (["+loss.rel={name: minilm_relation, relation_heads: 3}"], "loss.rel.relation_heads=3 must divide the width"),
        (["trainer.accumulate=true"], "trainer.accumulate must be a whole number from 1 to the 32 examples of a step"),
        (["trainer.compile=maybe"], "trainer.compile must be true or false, got 'maybe'"),
        (["schedule.examples=600", "schedule.flash_fidelity=0.05"], "at fidelity 0.05 is less than one batch of 32"),
        (["schedule=two_phase"], "Phase 'transfer' of the schedule needs a loss of role transfer, but the losses are"),
        (["schedule=two_phase", "schedule.examples=60", "schedule.flash_fidelity=1.0"], "is 1 step of 32, and"),
        (["schedule.stage_share=0.5"], "schedule.stage_share"),
        (["trainer.accumulate=33"], "trainer.accumulate must be a whole number from 1 to the 32 examples of a step"),
        (["trainer.devices=2"], "trainer.devices=2 needs trainer.strategy=ddp"),
        (["trainer.devices=3", "trainer.strategy=ddp"], "trainer.devices=3 must divide the 32 examples of a step"),
        (["baseline=[mobilebert]", "trainer.precision=16-mixed"], "is fp16, in which the activations of mobilebert"),
        (["picks.max=-1"], "picks.max must be >= 0, got -1"),
        (["study.name=a/b"], "study.name must be a plain folder name"),
        (["student.space.num_layers=[]"], "num_layers"),
        (["student.space.num_heads=[5]"], "num_heads"),
        (["+student.rules.none=num_layers > 7"], "none"),
        (["+student.rules.bad=__import__('os')"], "bad"),
        (["objectives.latency.metric=replay.speed"], "'replay.speed', which nothing in this study measures"),
        (["objectives.quality.metric=classification.acuracy"], "Did you mean 'classification.accuracy'?"),
        (["+constraints.size={metric: size.parametres, sense: '<=', bound: 1e6}"], "size.parametres"),
        (["+constraints.size={metric: size.parameters, sense: '<', bound: 1e6}"], "sense must be '<=' or '>='"),
        (
            ["+constraints.size={metric: size.parameters, sense: '<=', bound: 1}"],
            "The constraints leave no architecture of student.space to be trained: constraints.size wants "
            "size.parameters <= 1, and the smallest in the space is ",
        ),
        (
            ["+constraints.slow={metric: replay.p50_ms, sense: '>=', bound: 20}"],
            "constraints.slow wants replay.p50_ms >= 20, and the largest in the space is 8.74074",
        ),
        (["loss=[]"], "No distillation loss is chosen"),
        (["data.label_column=nonsense"], "nonsense"),
        (["data.text_columns=[nonsense]"], "nonsense"),
        (["data.max_length=65"], "data.max_length is 65, but"),
        (["data.train=/nowhere/train.tsv"], "/nowhere/train.tsv"),
        (["teacher.path=/nowhere/teacher"], "/nowhere/teacher"),
        (["latency.replay.path=/nowhere/latencies.json"], "/nowhere/latencies.json"),
        (["storage.url=nonsense"], "storage.url"),
        (["storage.url=sqlite:////dev/null/studies.db"], "/dev/null"),
        (["+trainer.max_steps=5"], "trainer.max_steps cannot be set"),
        (["+trainer.nonsense=5"], "nonsense"),
        (["trainer.accelerator=quantum"], "quantum"),
        (["+logger.mine={_target_: os.system, command: ls}"], "os.system"),
    ],
    ids=lambda value: value[0].replace("/", "|") if isinstance(value, list) else "",
)
def test_a_wrong_setting_is_named_before_any_training(refused: Refused, overrides: list[str], expected: str) -> None:
    assert expected in refused(*overrides)


def test_objectives_on_latency_need_a_backend(refused: Refused) -> None:
    assert "no latency backend is chosen" in refused("latency=[]", without=["latency.replay.path"])


def test_a_baseline_that_cannot_be_built_is_refused(refused: Refused) -> None:
    error = refused("baseline=[teacher_truncated]", "baseline.teacher_truncated.layers=[7]")
    assert "7" in error


def test_an_export_that_would_replace_the_trained_model_is_refused(refused: Refused) -> None:
    error = refused("export=[]", "+export.hf.name=onnx")
    assert "hf is the folder of the trained model itself" in error


def test_no_data_source_says_what_to_give(refused: Refused) -> None:
    error = refused(without=["data", "data.train", "data.test", "data.max_length"])
    assert "data=NAME" in error
    assert "experiment=quickstart" in error


def write_tsv(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return path


def test_an_empty_data_set_is_refused(refused: Refused, tmp_path: Path) -> None:
    assert "train.tsv" in refused(f"data.train={write_tsv(tmp_path / 'train.tsv', [])}")


def test_a_data_set_of_one_class_is_refused(refused: Refused, tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "train.tsv", [(f"w{index} cat", "animal") for index in range(40)])
    assert "class" in refused(f"data.train={path}")


@pytest.mark.parametrize("name", ["train.tsv", "train.parquet", "train.jsonl"])
def test_a_file_that_is_not_what_its_name_says_is_refused(refused: Refused, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04\x00\x00\xff\xfe\x00 not a table \x80\x81")
    assert name in refused(f"data.train={path}")


def test_a_teacher_without_weights_is_refused(refused: Refused, files: tuple[Path, list[str]], tmp_path: Path) -> None:
    shutil.copytree(files[0] / "teacher", tmp_path / "teacher")
    (tmp_path / "teacher" / "model.safetensors").unlink()
    assert "model.safetensors" in refused(f"teacher.path={tmp_path / 'teacher'}")


def test_a_teacher_with_another_vocabulary_than_its_tokeniser_is_refused(
    refused: Refused, files: tuple[Path, list[str]], tmp_path: Path
) -> None:
    shutil.copytree(files[0] / "teacher", tmp_path / "teacher")
    path = tmp_path / "teacher" / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary.update({f"extra{index}": len(vocabulary) for index in range(1)})
    vocabulary.update({f"more{index}": len(vocabulary) + index for index in range(30)})
    path.write_text(json.dumps(content))
    assert "they belong to different models" in refused(f"teacher.path={tmp_path / 'teacher'}")


def test_a_label_free_task_with_a_loss_on_labels_is_refused(
    refused: Refused, files: tuple[Path, list[str]], tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    teacher = tmp_path / "tuned"
    AutoModelForSequenceClassification.from_pretrained(files[0] / "teacher", num_labels=3).save_pretrained(teacher)
    AutoTokenizer.from_pretrained(files[0] / "teacher").save_pretrained(teacher)
    error = refused("data.label_column=null", f"teacher.path={teacher}", "loss=[hard_label]")
    assert "hard_label" in error
    assert "label" in error


def test_picks_of_a_trial_that_does_not_exist_are_refused(refused: Refused, files: tuple[Path, list[str]]) -> None:
    error = refused("trial=99", "study.name=nosuch", verb="distill")
    assert "99" in error or "nosuch" in error


def test_a_verb_on_a_study_that_does_not_exist_lists_what_does(refused: Refused) -> None:
    assert "nosuch" in refused("study.name=nosuch", verb="report")


# -- an existing study -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    overrides = tiny_study(tmp_path_factory.mktemp("explored"), "budget.trials=1", "study.name=first")
    autodistill.run(autodistill.compose(overrides), overrides=overrides, explore_only=True)
    return overrides


def output_of(overrides: Sequence[str]) -> Path:
    return Path(next(item for item in overrides if item.startswith("output_dir=")).partition("=")[2])


def stored(overrides: Sequence[str]) -> list[tuple[object, ...]]:
    with sqlite3.connect(output_of(overrides) / "studies.db") as connection:
        tables = ("studies", "trials", "runs", "steps")
        return [row for table in tables for row in connection.execute(f"select * from autodistill_{table}")]


def test_a_study_about_something_else_lists_differences_and_both_ways_on(
    explored: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(explored)
    assert (
        main(
            [
                "explore",
                *replaced(explored, "schedule.examples=960", "data.max_length=16", "teacher.fine_tune_epochs=7"),
            ]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert "The study 'first' exists and is about something else" in error
    assert "schedule.examples: the study has 640, now 960" in error
    assert "max_length: the study has 32, now 16" in error
    assert "teacher.fine_tuning.epochs: the study has 6.0, now 7.0" in error
    assert "leave these settings out" in error
    assert "study.name=NAME" in error
    assert stored(explored) == before


def test_a_trial_that_does_not_exist_in_a_study_is_named(
    explored: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(explored)
    output = f"output_dir={output_of(explored)}"
    assert main(["distill", "study.name=first", output, "trial=99"]) == 2
    error = capsys.readouterr().err
    assert "99" in error
    assert "Traceback" not in error
    assert stored(explored) == before


def test_trial_and_architecture_together_are_refused(explored: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    output = f"output_dir={output_of(explored)}"
    architecture = "architecture={num_layers: 1, hidden_size: 32, num_heads: 4, intermediate_size: 16}"
    assert main(["distill", "study.name=first", output, "trial=0", architecture]) == 2
    assert "not both" in capsys.readouterr().err


def test_an_architecture_that_cannot_be_built_is_refused(
    explored: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(explored)
    output = f"output_dir={output_of(explored)}"
    architecture = "architecture={num_layers: 1, hidden_size: 30, num_heads: 4, intermediate_size: 16}"
    assert main(["distill", "study.name=first", output, architecture]) == 2
    assert "hidden_size" in capsys.readouterr().err
    assert stored(explored) == before


def test_a_storage_of_a_newer_schema_is_refused_and_left_alone(
    explored: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(output_of(explored), tmp_path / "outputs")
    database = tmp_path / "outputs" / "studies.db"
    with sqlite3.connect(database) as connection:
        connection.execute("update autodistill_schema set version = 99")
    overrides = replaced(explored, f"output_dir={tmp_path / 'outputs'}")
    assert main(["explore", *overrides]) == 2
    assert "schema version 99" in capsys.readouterr().err
    with sqlite3.connect(database) as connection:
        assert connection.execute("select version from autodistill_schema").fetchall() == [(99,)]
