"""Picks and baselines that are trained from several seeds: means with intervals, without a change of the search."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from tiny_studies import replaced, timeless, tiny_study, weights

import autodistill
from autodistill.components.architecture import Architecture
from autodistill.engine.plan import make_plan
from autodistill.engine.records import TrialRecord
from autodistill.engine.repeats import repeats_of
from autodistill.engine.runner import Runner
from autodistill.engine.storage import Storage
from autodistill.engine.study import Study
from autodistill.engine.verdict import ONE_RUN, Contender, Judge, verdict
from autodistill.evaluators.scoring import proportion
from autodistill.registry import default_registry
from autodistill.report import tables

METRIC = "classification.accuracy"


def run(overrides: list[str], *new: str) -> Study:
    chosen = replaced(overrides, *new)
    return autodistill.run(autodistill.compose(chosen), overrides=chosen)


@dataclass
class Seeds:
    """A study whose models were trained once, and then once more."""

    overrides: list[str]
    once: dict[str, Any]
    twice: dict[str, Any]
    kept: dict[str, str]
    study: Study


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    overrides = tiny_study(tmp_path_factory.mktemp("seeds"), "budget.trials=3", "picks.max=2", "export=[]")
    study = run(overrides)
    once, kept = study.summary(), weights(study.directory)
    study = run(overrides, "picks.seeds=2")
    return Seeds(overrides, once, study.summary(), kept, study)


def students(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [*summary["picks"], *summary["baselines"]]


def full_scores(study: Study) -> dict[int, float]:
    with Storage(study.config["storage"]["url"]) as storage:
        runs = storage.runs(storage.get_study(study.name).id)
    return {run.trial: run.metrics[f"test/{METRIC}"]["value"] for run in runs if f"test/{METRIC}" in run.metrics}


def test_every_pick_and_baseline_is_the_mean_of_its_runs(seeds: Seeds) -> None:
    repeats = [row for row in seeds.twice["history"] if row["origin"] == "repeat"]
    assert len(repeats) == len(students(seeds.twice)) >= 3
    scores = full_scores(seeds.study)
    for row, before in zip(students(seeds.twice), students(seeds.once), strict=True):
        (repeat,) = (item for item in repeats if item["architecture"] == row["architecture"])
        assert (repeat["replicate"], repeat["name"]) == (1, f"{row['name']}, replicate 1")
        entry, first = row["final"][METRIC], before["final"][METRIC]
        assert (entry["seeds"], first["seeds"], entry["n"]) == (2, 1, first["n"])
        other = scores[repeat["trial"]]
        assert entry["value"] == pytest.approx((first["value"] + other) / 2)
        assert entry["low"] < entry["value"] < entry["high"]
        assert row["latencies"] == before["latencies"]
    assert any(row["final"][METRIC]["value"] != old["final"][METRIC]["value"] for row, old in pairs(seeds))
    assert seeds.twice["teacher"]["metrics"][METRIC]["seeds"] == 1
    schema = json.loads(files("autodistill.testing").joinpath("summary.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(seeds.twice)


def pairs(seeds: Seeds) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return list(zip(students(seeds.twice), students(seeds.once), strict=True))


def test_nothing_else_of_the_study_changes_when_seeds_are_added_later(seeds: Seeds) -> None:
    before, after = timeless(seeds.once), timeless(seeds.twice)
    assert after["history"][: len(before["history"])] == before["history"]
    for name in ("pareto", "hypervolume", "hypervolume_curve", "trials", "flash_fidelity"):
        assert after[name] == before[name]
    assert weights(seeds.study.directory).items() >= seeds.kept.items()
    assert all(seeds.twice["cost"][group] == seeds.once["cost"][group] for group in seeds.once["cost"])
    assert seeds.twice["cost"]["repeats"]["examples"] > 0
    equal = [summary["verdict"]["equal_compute"]["budget_flops"] for summary in (seeds.once, seeds.twice)]
    assert equal[0] == equal[1]


def test_the_verdict_and_the_page_say_over_how_many_runs(seeds: Seeds) -> None:
    assert seeds.once["verdict"]["seeds"] == 1
    assert ONE_RUN in tables.verdict_limits(seeds.once)
    assert seeds.twice["verdict"]["seeds"] == 2
    limits = tables.verdict_limits(seeds.twice)
    assert ONE_RUN not in limits
    assert any("means over 2 training runs each" in item for item in limits)
    assert ", 2 seeds" in seeds.twice["verdict"]["claim"]
    page = (seeds.study.directory / "report.html").read_text()
    assert "means over 2 training runs each" in page


def test_a_plan_counts_them_and_knows_what_is_done(seeds: Seeds) -> None:
    def told(*new: str) -> dict[str, tuple[int, int]]:
        plan = make_plan(autodistill.compose(replaced(seeds.overrides, *new)), default_registry())
        return {stage.name: (stage.done, stage.runs) for stage in plan.stages}

    count = len(students(seeds.twice))
    assert "full recipe: other seeds" not in told("study.name=other")
    assert told("study.name=other", "picks.seeds=3")["full recipe: other seeds"] == (0, 2 * count)
    assert told("picks.seeds=2")["full recipe: other seeds"] == (count, count)
    assert told("picks.seeds=3")["full recipe: other seeds"] == (count, 2 * count)


def test_the_search_goes_on_as_if_there_were_none(seeds: Seeds, tmp_path: Path) -> None:
    plain = tiny_study(tmp_path, "budget.trials=5", "picks.max=2", "export=[]")
    larger = run(seeds.overrides, "picks.seeds=2", "budget.trials=5").summary()
    found, expected = (
        [row["architecture"] for row in summary["history"] if row["origin"] == "search"]
        for summary in (larger, run(plain).summary())
    )
    assert found == expected


def test_a_run_from_another_seed_that_fails_or_diverges_is_in_no_mean_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = tiny_study(tmp_path, "budget.trials=1", "picks.max=1", "export=[]", "picks.seeds=3")
    build = Runner.build_student

    def broken(self: Runner, trial: TrialRecord) -> Any:
        if trial.origin == "repeat" and trial.replicate == 1:
            raise RuntimeError("no luck")
        student, initialisation = build(self, trial)
        if trial.origin == "repeat" and str(trial.label).startswith("pick"):
            for parameter in student.parameters():
                parameter.data.fill_(float("nan"))
        return student, initialisation

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "build_student", broken)
        found = run(overrides).summary()
    entries = {row["name"]: row["final"][METRIC] for row in students(found)}
    pick = found["picks"][0]["name"]
    assert {name: entry["seeds"] for name, entry in entries.items()} == {
        name: 1 if name == pick else 2 for name in entries
    }
    rows = {row["name"]: row["alarm"] for row in found["checks"] if "replicate" in row["name"]}
    assert len(rows) == len(entries) + 1
    assert "no luck" in rows[f"training of {pick}, replicate 1"]
    assert "is in no mean" in rows[f"training of {pick}, replicate 2"]
    assert found["verdict"]["claim"]
    again = run(overrides).summary()  # what failed is tried again
    assert all(row["final"][METRIC]["seeds"] == 3 for row in students(again) if row["name"] != pick)


def test_repeats_are_other_replicates_of_the_architecture() -> None:
    architecture = Architecture("bert", {"num_layers": 2})

    def trial(number: int, origin: Any, replicate: int, of: Architecture = architecture) -> TrialRecord:
        return TrialRecord(number, 1, of, replicate, origin, None, True, "complete", None, number, None, 0)

    other = Architecture("bert", {"num_layers": 3})
    trials = [
        *(trial(0, "search", 0), trial(1, "search", 1), trial(2, "baseline", 0), trial(3, "manual", 0)),
        *(trial(4 + replicate, "repeat", replicate) for replicate in range(4)),
        trial(8, "repeat", 1, other),
    ]
    numbers = {place: [one.number for one in repeats_of(trials[place], trials, 3)] for place in (0, 1, 2)}
    assert numbers == {0: [5, 6], 1: [4, 6], 2: [5, 6]}
    assert repeats_of(trials[0], trials, 1) == []


def test_a_gain_that_one_lucky_run_shows_does_not_hold_over_runs_that_differ() -> None:
    judge, rng = Judge("x.accuracy", "maximize", 0.5, None, "test"), np.random.default_rng(0)

    def rated(name: str, *shares: float) -> Contender:
        first, *others = ({"x.accuracy": proportion(rng.random(2000) < share)} for share in shares)
        return Contender(name, first, {}, None, others)

    pick, rival, teacher = rated("pick 1", 0.9, 0.8, 0.86), rated("cut", 0.85, 0.86, 0.84), rated("teacher", 0.95)
    alone = verdict(judge, [pick.one_run()], [rival.one_run()], teacher)
    together = verdict(judge, [pick], [rival], teacher)
    assert (alone["holds"], alone["seeds"]) == (True, 1)
    assert (together["holds"], together["seeds"]) == (False, 3)
    assert judge.kept(pick, teacher) == pytest.approx(
        pick.final("x.accuracy").value / teacher.final("x.accuracy").value
    )


def test_the_strongest_baseline_is_that_of_the_best_mean() -> None:
    judge = Judge("x.accuracy", "maximize", 0.5, None, "test")

    def rated(name: str, *right: int) -> Contender:
        first, *others = ({"x.accuracy": proportion(np.arange(400) < count)} for count in right)
        return Contender(name, first, {}, None, others)

    lucky, steady = rated("lucky", 380, 300, 310), rated("steady", 360, 362, 358)
    assert judge.strongest([lucky, steady], rated("pick", 350)) is steady
    assert judge.strongest([lucky.one_run(), steady.one_run()], rated("pick", 350)) is not steady
