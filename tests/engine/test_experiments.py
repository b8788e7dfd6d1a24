"""Every experiment composes and takes a tiny step: data in the published layouts, two models, a handful of steps."""

from __future__ import annotations

import json
import random
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tiny_studies import command, environment

import autodistill
from autodistill.engine.plan import make_plan
from autodistill.evaluators.glue_tasks import SMALL_TASKS
from autodistill.registry import Registry
from autodistill.testing.sources import VOCABULARY, write_tiny_corpus, write_tiny_glue, write_tiny_squad
from autodistill.testing.tiny import write_tiny_teacher

#: Tasks of the preset fine_tuning=glue.
GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")

#: Sizes alone: an experiment keeps every component and preset that it chooses.
SIZES = (
    "teacher.allow_weak=true",  # random words teach nothing
    "teacher.fine_tune_epochs=1",
    "schedule.examples=160",
    "schedule.batch_size=4",
    "trainer.threads=1",
    "budget.trials=1",
    "picks.max=1",
)
BERT_SIZES = (
    "student.space.num_layers=[1]",
    "student.space.hidden_size=[32]",
    "student.space.num_heads=[4]",
    "student.space.intermediate_size=[16,32]",
    "latency.onnxruntime.max_seconds=0.05",
)
MOBILEBERT_SIZES = (
    "student.space.num_layers=[2]",
    "student.space.hidden_size=[256]",
    "student.space.bottleneck_size=[64]",
    "student.space.num_heads=[4]",
    "student.space.intermediate_size=[384]",
    "student.space.num_ffn=[2]",
)

#: What makes any study small, whatever it chooses.
SMALL = (
    "teacher.allow_weak=true",  # random words teach nothing
    "teacher.fine_tune_epochs=1",
    "student=bert",
    "student.space={num_layers: [1], hidden_size: [32], num_heads: [4], intermediate_size: [16, 32]}",
    "schedule.examples=64",
    "schedule.flash_fidelity=0.5",
    "schedule.batch_size=8",
    "schedule.optimizer=null",
    "search=random",
    "baseline=[]",
    "reference=[]",
    "latency=[]",
    "export=[huggingface]",
    "objectives.latency.metric=size.flops",
    "constraints={}",
    "trainer.threads=1",
    "budget.trials=1",
    "picks.max=1",
)


def tasks(folder: Path) -> list[str]:
    """Tiny data for the tasks of paper_like."""
    for task in GLUE:
        write_tiny_glue(folder / "glue", task)
    return [
        f"fine_tuning.root={folder / 'glue'}",
        f"fine_tuning.tasks.squad.train={write_tiny_squad(folder / 'train.json')}",
        f"fine_tuning.tasks.squad.test={write_tiny_squad(folder / 'dev.json', 8, seed=1)}",
        "fine_tuning.tasks.squad.stride=8",
        "fine_tuning.tasks.squad.max_length=32",
        *(f"fine_tuning.tasks.{task}.max_length=32" for task in GLUE),
    ]


def overrides(folder: Path, experiment: str) -> list[str]:
    """An experiment on tiny data and the tiny teacher."""
    corpus = [
        f"data.path={write_tiny_corpus(folder / 'corpus.txt')}",
        "data.select_documents=20",
        "data.test_documents=20",
    ]
    data = {
        "glue_sst2": lambda: [f"data.root={write_tiny_glue(folder / 'glue', 'sst2')}"],
        "squad": lambda: [
            f"data.train={write_tiny_squad(folder / 'train.json')}",
            f"data.test={write_tiny_squad(folder / 'dev.json', 8, seed=1)}",
            "data.stride=8",
        ],
        "corpus_mlm": lambda: corpus,
        "paper_like": lambda: [*corpus, *tasks(folder)],
    }[experiment]()
    teacher = write_tiny_teacher(folder / "teacher", layers=3)
    return [
        f"experiment={experiment}",
        *data,
        "data.max_length=32",
        f"teacher.path={teacher}",
        f"output_dir={folder / 'outputs'}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["glue_sst2", "squad", "corpus_mlm", "paper_like"])
def test_an_experiment_takes_a_tiny_step(experiment: str, tmp_path: Path, fresh_registry: Registry) -> None:
    # MobileBERT itself, the paper's baseline, has no small size: minutes of training.
    sizes = [*MOBILEBERT_SIZES, "baseline=[]"] if experiment == "paper_like" else BERT_SIZES
    given = [*overrides(tmp_path, experiment), *SIZES, *sizes]
    if experiment == "paper_like":  # each of its tasks is a task like the others
        left_out = tuple(f"fine_tuning.tasks.{task}." for task in GLUE if task != "rte")
        given = [item for item in given if not item.startswith(left_out)]
        given += [f"~fine_tuning.tasks.{task}" for task in GLUE if task != "rte"]
        given += ["fine_tuning.learning_rates=[1e-3]", "fine_tuning.epochs=[0.2]", "fine_tuning.seeds=1"]
    study = autodistill.run(autodistill.compose(given, fresh_registry), registry=fresh_registry, overrides=given)
    summary = study.summary()
    assert {row["state"] for row in summary["baselines"]} <= {"complete"}
    assert bool(summary["baselines"]) == (experiment != "paper_like")
    expected = {"glue_sst2": "glue.score", "squad": "squad.f1"}.get(experiment, "mlm.accuracy")
    assert len(summary["picks"]) == 1
    if experiment == "corpus_mlm":  # the runs of all architectures read the same features of the teacher
        (folder,) = tmp_path.rglob("teacher_features")
        assert len([entry for entry in folder.iterdir() if entry.is_dir()]) == 1
    assert f'"{expected}"' in json.dumps(summary["picks"][0])
    if experiment == "paper_like":
        teacher, pick = summary["tasks"]["models"]
        assert set(teacher["tasks"]) == {"rte", "squad"}
        assert pick["tasks"]["squad"]["metrics"]["squad.f1"]["split"] == "test"


def own_task(folder: Path, kind: str) -> list[str]:
    """A data source, and what it reads."""
    rng = random.Random(0)

    def row() -> dict[str, Any]:
        words = rng.choices(VOCABULARY, k=8)
        labels = ["X" if word.startswith("w") else "O" for word in words]
        return {
            "text_classification": {"text": " ".join(words), "label": rng.sample(["a", "b", "c"], rng.randint(0, 3))},
            "text_regression": {"text": " ".join(words), "label": rng.random()},
            "token_classification": {"words": words, "labels": labels},
            "sentences": {"text": " ".join(words)},
        }[kind]

    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(row()) + "\n" for _ in range(120)))
    more = {"text_classification": ["data.multi_label=true"], "sentences": ["loss=[hidden_mse]"]}
    return [f"data={kind}", f"data.train={path}", *more.get(kind, [])]


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("text_classification", "classification.micro_f1"),
        ("text_regression", "regression.spearman"),
        ("token_classification", "token_classification.f1"),
        ("sentences", "embedding.retrieval"),
    ],
)
def test_own_tasks_need_no_code(kind: str, metric: str, tmp_path: Path, fresh_registry: Registry) -> None:
    given = [
        *own_task(tmp_path, kind),
        "data.max_length=32",
        f"teacher.path={write_tiny_teacher(tmp_path / 'teacher')}",
        f"output_dir={tmp_path / 'outputs'}",
        *SMALL,
        "export=[huggingface,onnx]",
    ]
    study = autodistill.run(autodistill.compose(given, fresh_registry), registry=fresh_registry, overrides=given)
    pick = study.summary()["picks"][0]
    assert f'"{metric}"' in json.dumps(pick)
    assert {export["format"] for export in pick["exports"]} == {"huggingface", "onnx"}


@pytest.mark.slow
def test_the_plan_of_the_paper_prints_its_cost(tmp_path: Path, fresh_registry: Registry) -> None:
    given = [*overrides(tmp_path, "paper_like"), *MOBILEBERT_SIZES]  # with MobileBERT itself among the baselines
    plan = make_plan(autodistill.compose(given, fresh_registry), fresh_registry)
    stages = {stage.name: stage for stage in plan.stages}
    assert stages["full recipe: picks"].runs == 7
    assert stages["full recipe: picks"].steps == 740_000
    assert stages["flash distillation"].steps == 37_000
    assert stages["flash distillation"].runs == 100
    assert stages["full recipe: baselines"].runs == 1
    held_out = sum(int(plan.facts["examples"][role]) for role in ("select", "test"))
    assert stages["teacher's answers"].examples == held_out
    assert stages["teacher's answers"].flops > 0  # a BERT, though the students are MobileBERTs
    for task in (*GLUE, "squad"):
        assert stages[f"fine-tuning: {task}"].runs == (3 + (4 if task in SMALL_TASKS else 2)) * 9, task
    assert plan.seconds > 0


@pytest.mark.slow
def test_all_of_glue_is_a_sweep(tmp_path: Path) -> None:
    # Every kind of score: Matthews' coefficient, correlations, accuracy with F1, and two parts of the test split.
    metrics = {
        "cola": {"matthews"},
        "stsb": {"pearson", "spearman"},
        "qqp": {"accuracy", "f1"},
        "mnli": {"accuracy", "accuracy_mismatched"},
    }
    for task in metrics:
        write_tiny_glue(tmp_path / "glue", task)
    given = [
        "experiment=glue_all",
        f"hydra.sweeper.params.data='{','.join(f'glue_{task}' for task in metrics)}'",
        f"data.root={tmp_path / 'glue'}",
        "data.max_length=32",
        f"teacher.path={write_tiny_teacher(tmp_path / 'teacher')}",
        f"output_dir={tmp_path / 'outputs'}",
        *(item for item in SMALL if not item.startswith("teacher.allow_weak")),  # the sweep's own
    ]
    done = subprocess.run(command("run", *given), capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = {path.parent.name: path for path in (tmp_path / "outputs").glob("*/summary.json")}
    assert set(found) == {f"glue_all-data=glue_{task}" for task in metrics}
    weak = []
    for task, expected in metrics.items():
        summary = json.loads(found[f"glue_all-data=glue_{task}"].read_text())
        (pick,) = summary["picks"]
        scores = {name: entry for name, entry in pick["final"].items() if name.startswith("glue.")}
        assert set(scores) == {"glue.score", *(f"glue.{name}" for name in expected)}, task
        assert all(entry["split"] == "test" for entry in scores.values())
        weak.append(any(alarm.startswith("the teacher scores") for alarm in summary["alarms"]))
    assert any(weak)  # random words teach nothing, and stop no study of the sweep


def test_all_of_glue_goes_on_where_a_task_is_not_learnt_and_one_task_alone_does_not(fresh_registry: Registry) -> None:
    every, one = (
        autodistill.compose([f"experiment={name}", "data.root=/glue"], fresh_registry).one("teacher").parameters
        for name in ("glue_all", "glue_sst2")
    )
    assert (every["allow_weak"], one["allow_weak"]) == (True, False)
    assert {**every, "allow_weak": False} == one  # the same recipe


def test_every_experiment_is_tested() -> None:
    found = {
        path.name for path in files("autodistill.conf").joinpath("experiment").iterdir() if path.name.endswith(".yaml")
    }
    tested = {"glue_sst2", "glue_all", "squad", "corpus_mlm", "paper_like", "quickstart"}
    assert {name.removesuffix(".yaml") for name in found} == tested


@pytest.mark.parametrize("task", ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"])
def test_every_task_of_glue_has_a_preset(task: str, tmp_path: Path, fresh_registry: Registry) -> None:
    settings: Any = autodistill.compose([f"data=glue_{task}", f"output_dir={tmp_path}"], fresh_registry)
    assert settings.one("data").parameters["task"] == task
