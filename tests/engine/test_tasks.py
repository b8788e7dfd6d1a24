"""A tiny task-agnostic study whose models are fine-tuned on two tasks of GLUE at its end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import autodistill
from autodistill.engine.fine_tuning import FineTuner
from autodistill.engine.plan import make_plan
from autodistill.engine.study import Study
from autodistill.engine.task_bench import check_tasks
from autodistill.engine.tasks import _averages, _Tuned
from autodistill.engine.workbench import Workbench
from autodistill.errors import ConfigError, DataError
from autodistill.registry import default_registry
from autodistill.report.html import render_html
from autodistill.testing.check_summary import main as check
from autodistill.testing.sources import write_tiny_corpus, write_tiny_glue
from autodistill.testing.tiny import write_tiny_teacher

TASKS = ("mrpc", "rte")


def study_overrides(folder: Path) -> list[str]:
    for task in TASKS:
        write_tiny_glue(folder / "glue", task)
    return [
        *("data=corpus", f"data.path={write_tiny_corpus(folder / 'corpus.txt', 80)}", "data.max_length=24"),
        *("data.select_documents=10", "data.test_documents=10", "data.workers=1"),
        *("teacher=with_mlm_head", f"teacher.path={write_tiny_teacher(folder / 'teacher')}", "teacher.allow_weak=true"),
        "student.space={num_layers: [1], hidden_size: [32], num_heads: [4], intermediate_size: [16, 32]}",
        *("schedule.examples=32", "schedule.batch_size=16", "schedule.flash_fidelity=0.5", "loss=[mlm_soft]"),
        *("search=random", "latency=[]", "objectives.latency.metric=size.flops", "baseline=[teacher_truncated]"),
        *("export=[]", "logger=none", "trainer.threads=1", "budget.trials=1", "picks.max=1"),
        *(
            f"+fine_tuning.tasks.{task}={{name: glue, task: {task}, root: {folder / 'glue'}, max_length: 24}}"
            for task in TASKS
        ),
        *("fine_tuning.learning_rates=[1e-3]", "fine_tuning.epochs=[1]", "fine_tuning.seeds=2"),
        f"output_dir={folder / 'outputs'}",
    ]


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return study_overrides(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def study(overrides: list[str]) -> Study:
    return autodistill.run(autodistill.compose(overrides), overrides=overrides)


@pytest.fixture(scope="module")
def summary(study: Study) -> dict[str, Any]:
    return study.summary()


def test_a_model_that_failed_on_a_task_has_no_average_beside_those_that_did_not() -> None:
    entry = {"value": 0.8, "low": 0.7, "high": 0.9}
    rte, cola, wnli = (
        _Tuned(task, {"benchmark": f"glue/{task}"}, {}, scores)
        for task, scores in (("rte", {"a": [], "b": []}), ("cola", {"a": []}), ("wnli", {}))
    )
    whole = {"rte": {"glue.accuracy": entry}, "cola": {"glue.matthews": entry}}
    assert _averages([rte, cola, wnli], whole)["paper"]["tasks"] == ("cola", "rte")
    assert _averages([rte, cola, wnli], {"rte": whole["rte"]}) == {}
    assert _averages([rte, wnli], {"rte": whole["rte"]})["paper"]["tasks"] == ("rte",)
    again = replace(rte, label="rte_long")
    assert _averages([rte, again], {**whole, "rte_long": whole["rte"]}) == {}


@pytest.mark.slow
def test_picks_baselines_and_teacher_are_fine_tuned_and_compared_in_pairs(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(summary))
    assert check([str(path)]) == 0
    assert {label: facts["metric"] for label, facts in summary["tasks"]["tasks"].items()} == dict.fromkeys(
        TASKS, "glue.score"
    )
    teacher, baseline, pick = summary["tasks"]["models"]
    assert [row["role"] for row in (teacher, baseline, pick)] == ["teacher", "baseline", "pick"]
    for row in (teacher, baseline, pick):
        entry = row["tasks"]["rte"]["metrics"]["glue.accuracy"]
        assert (entry["seeds"], entry["n"], entry["split"]) == (2, 40, "test")
        assert entry["low"] <= entry["value"] <= entry["high"]
    assert set(pick["versus"]) == {"teacher", baseline["name"]}
    gain = pick["versus"]["teacher"]["gains"]["rte"]
    expected = [row["tasks"]["rte"]["metrics"]["glue.score"]["value"] for row in (pick, teacher)]
    assert gain["value"] == pytest.approx(expected[0] - expected[1])
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert gain["seeds"] == 2


def test_the_averages_over_glue_say_what_they_cover(summary: dict[str, Any]) -> None:
    teacher, _, pick = summary["tasks"]["models"]
    paper = pick["averages"]["paper"]
    assert paper["tasks"] == ["mrpc", "rte"]
    assert paper["missing"] == ["cola", "sst2", "stsb", "qqp", "mnli", "qnli"]
    values = [
        pick["tasks"][task]["metrics"][f"glue.{name}"]["value"] for task, name in (("mrpc", "f1"), ("rte", "accuracy"))
    ]
    assert paper["value"] == pytest.approx(sum(values) / 2)
    assert paper["low"] <= paper["value"] <= paper["high"]
    gain = pick["versus"]["teacher"]["averages"]["paper"]
    assert gain["value"] == pytest.approx(paper["value"] - teacher["averages"]["paper"]["value"])


def test_the_claim_on_the_average_stands_in_the_summary(summary: dict[str, Any]) -> None:
    claim, (_, baseline, pick) = summary["tasks"]["claim"], summary["tasks"]["models"]
    assert claim["pick"] == pick["name"]
    # So short a recipe teaches the baseline nothing. What is claimed over one that has learnt: `test_average_claim`.
    assert claim["voided"] == [baseline["name"]]
    assert f"Void: {baseline['name']}" in claim["limits"][0]
    assert claim["unclaimed"] == "no baseline has learnt all of its tasks"
    assert (claim["baseline"], claim["gain"], claim["holds"]) == (None, None, None)


def test_fine_tuning_is_accounted(summary: dict[str, Any]) -> None:
    cost = summary["cost"]["fine_tuning"]
    outcomes = [outcome for row in summary["tasks"]["models"] for outcome in row["tasks"].values()]
    assert cost["examples"] == sum(outcome["cost"]["examples"] for outcome in outcomes)
    assert cost["flops"] > 0
    assert summary["seconds"]["fine_tune"] > 0


def test_both_reports_show_the_tasks(summary: dict[str, Any], study: Study) -> None:
    page = render_html(summary)
    assert "Tasks after fine-tuning" in page
    assert "it lacks cola, sst2, stsb, qqp, mnli, qnli" in page
    assert (study.directory / "report.html").is_file()


def test_nothing_is_fine_tuned_twice_and_weights_are_not_kept(
    overrides: list[str], study: Study, summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not list((study.directory / "fine_tuning").rglob("model.safetensors"))
    monkeypatch.setattr(FineTuner, "run", lambda self: pytest.fail("fine-tuned again"))
    again = autodistill.run(autodistill.compose(overrides), overrides=overrides).summary()
    assert again["tasks"] == summary["tasks"]


def test_other_texts_of_a_task_are_fine_tuned_on_anew(tmp_path: Path) -> None:
    """Under the same name and in the same folder: an earlier outcome is of other examples."""
    overrides = [*study_overrides(tmp_path), "~fine_tuning.tasks.mrpc"]
    found = []
    for examples in (40, 60):
        write_tiny_glue(tmp_path / "glue", "rte", test=examples)
        tasks = autodistill.run(autodistill.compose(overrides), overrides=overrides).summary()["tasks"]
        found.append(set(map(int, re.findall(r'"n": (\d+)', json.dumps(tasks)))))
    assert 40 in found[0]
    assert 60 in found[1]
    assert 40 not in found[1]


def test_the_plan_counts_grid_and_seeds_of_every_model(overrides: list[str]) -> None:
    registry = default_registry()
    more = ["fine_tuning.learning_rates=[1e-3,1e-4]", "fine_tuning.seeds=3", "fine_tuning.batch_sizes=[16]"]
    stages = {stage.name: stage for stage in make_plan(autodistill.compose([*overrides, *more]), registry).stages}
    rte = stages["fine-tuning: rte"]
    assert rte.runs == (2 + 2) * 3
    assert rte.examples == 108  # one epoch of the 120 training examples but for select
    assert rte.flops > 0
    assert rte.seconds > 0


def test_only_task_agnostic_studies_have_tasks(overrides: list[str]) -> None:
    root = next(item for item in overrides if "root: " in item).partition("root: ")[2].partition(",")[0]
    given = [item for item in overrides if not item.startswith(("data", "loss", "teacher=", "evaluator"))]
    given += ["data=glue", "data.task=rte", f"data.root={root}", "data.max_length=24"]
    with pytest.raises(ConfigError, match=r"fine_tuning\.tasks\.mrpc: models of this study are trained for one task"):
        autodistill.run(autodistill.compose(given))


def test_batches_of_the_protocol_that_devices_cannot_share_are_refused_before_training(overrides: list[str]) -> None:
    given = [*overrides, "fine_tuning.batch_sizes=[16,15]", "trainer.devices=2", "trainer.strategy=ddp"]
    with pytest.raises(ConfigError, match=r"the 15 examples of a step.* Change fine_tuning\.batch_sizes or trainer\."):
        check_tasks(Workbench(autodistill.compose(given), default_registry()))


def test_a_task_without_its_files_is_refused_before_training(overrides: list[str], tmp_path: Path) -> None:
    given = [*overrides, "fine_tuning.tasks.rte.root=/nowhere", f"output_dir={tmp_path}"]
    with pytest.raises(DataError, match="'/nowhere' does not exist"):
        autodistill.run(autodistill.compose(given))
    assert not list(tmp_path.rglob("hf"))
