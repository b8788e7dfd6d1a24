"""Picks and baselines that are trained from several seeds: means with intervals, without a change of the search."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console
from tiny_studies import replaced, timeless, tiny_study, weights

import autodistill
from autodistill.components.architecture import Architecture
from autodistill.engine.plan import make_plan
from autodistill.engine.records import TrialRecord
from autodistill.engine.repeats import repeats_of
from autodistill.engine.runner import Runner
from autodistill.engine.storage import Storage
from autodistill.engine.study import Study
from autodistill.engine.verdict import ONE_RUN, Contender, Judge, gain, verdict
from autodistill.evaluators.scoring import proportion
from autodistill.registry import default_registry
from autodistill.report import tables
from autodistill.report.terminal import render_summary

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
        assert (repeat["replicate"], repeat["name"]) == (1, f"{row['name']}, run 2")
        entry, first = row["final"][METRIC], before["final"][METRIC]
        assert (entry["seeds"], first["seeds"], entry["n"]) == (2, 1, first["n"])
        other = scores[repeat["trial"]]
        assert entry["value"] == pytest.approx((first["value"] + other) / 2)
        assert entry["runs"] == pytest.approx([first["value"], other])
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
    assert "Picks and baselines are means over 2 training runs each." in page
    own, other = seeds.twice["picks"][0]["final"][METRIC]["runs"]
    assert f"{own:.1%}; the other training runs {other:.1%}".replace("%", " %") in page.replace("\xa0", " ")
    text = StringIO()
    render_summary(seeds.twice, Console(file=text, width=100))
    assert "Picks and baselines are means over 2 training runs each." in text.getvalue()
    assert tables.runs_note(seeds.once) == ""


def test_a_plan_counts_them_and_knows_what_is_done(seeds: Seeds) -> None:
    def told(*new: str) -> dict[str, tuple[int, int]]:
        plan = make_plan(autodistill.compose(replaced(seeds.overrides, *new)), default_registry())
        return {stage.name: (stage.done, stage.runs) for stage in plan.stages}

    count = len(students(seeds.twice))
    name = "full recipe: repeats"
    assert name not in told("study.name=other")
    assert told("study.name=other", "picks.seeds=3")[name] == (0, 2 * count)
    assert told("picks.seeds=2")[name] == (count, count)
    assert told("picks.seeds=2", "picks.margin=0.1", "picks.max=5")[name] == (count + 3, count + 3)  # they are frozen
    assert told("picks.seeds=3")[name] == (count, 2 * count)
    assert told("picks.seeds=2", "+baseline.new.name=tinybert_4l")[name] == (count, count + 1)


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
    rows = {row["name"]: row["alarm"] for row in found["checks"] if row["name"].startswith("training")}
    assert {name for name, alarm in rows.items() if "no luck" in str(alarm)} == {
        f"training of {name}, run 2" for name in entries
    }
    assert "'logits_kl' became nan" in rows[f"training of {pick}, run 3"]
    assert tables.runs_note(found).endswith(f"means over 2 training runs each, but for {pick} of 1.")
    limits = [one for one in found["verdict"]["limits"] if one.startswith("The pick is the mean over 1 training run, ")]
    assert [", of which the single one is taken to scatter as the others do" in one for one in limits] == [True]
    again = run(overrides).summary()  # what failed is tried again
    assert all(row["final"][METRIC]["seeds"] == 3 for row in students(again) if row["name"] != pick)
    alone = run(overrides, "picks.seeds=1").summary()
    assert all(row["final"][METRIC]["seeds"] == 1 for row in students(alone))
    assert [row for row in alone["checks"] if row["name"].startswith("training runs of")] == []


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
    assert judge.kept(pick, teacher) == pytest.approx(pick.value("x.accuracy") / teacher.value("x.accuracy"))


def test_a_baseline_whose_runs_differ_is_no_rival_less() -> None:
    judge, rng = Judge("x.accuracy", "maximize", 0.509, None, "test"), np.random.default_rng(0)

    def rated(name: str, *shares: float) -> Contender:
        first, *others = ({"x.accuracy": proportion(rng.random(872) < share)} for share in shares)
        return Contender(name, first, {}, None, others)

    strong, weak = rated("strong", 0.8, 0.9), rated("weak", 0.7, 0.705)
    assert strong.estimate("x.accuracy").low < judge.floor  # two runs that differ tell little of their mean
    found = verdict(judge, [rated("pick 1", 0.8, 0.81)], [strong, weak], rated("teacher", 0.92))
    assert (found["baseline"], found["holds"], found["voided"]) == ("strong", False, [])
    assert judge.learnt_by_run(rated("luck", 0.5, 0.9, 0.1)) == ["nothing", "learnt", "worse"]
    assert judge.learnt(rated("bad", 0.3, 0.5)) == "nothing"


def test_what_is_fixed_does_not_scatter() -> None:
    metric, answers = "x.accuracy", np.arange(900)
    teacher, reference = (
        Contender("teacher", {metric: proportion(answers < 830)}, {}, None, fixed=fixed) for fixed in (True, False)
    )
    runs = [{metric: proportion((answers + shift) % 900 < count)} for shift, count in ((0, 720), (5, 740), (9, 700))]
    pick = Contender("pick 1", runs[0], {}, None, runs[1:])
    exact, loose = gain(pick, teacher, metric, "test"), gain(pick, reference, metric, "test")
    assert (exact["seeds"], loose["seeds"]) == (3, 1)
    assert exact["value"] == pytest.approx(loose["value"])
    assert exact["high"] - exact["low"] < loose["high"] - loose["low"]


def test_the_strongest_baseline_is_that_of_the_best_mean() -> None:
    judge = Judge("x.accuracy", "maximize", 0.5, None, "test")

    def rated(name: str, *right: int) -> Contender:
        first, *others = ({"x.accuracy": proportion(np.arange(400) < count)} for count in right)
        return Contender(name, first, {}, None, others)

    lucky, steady = rated("lucky", 380, 300, 310), rated("steady", 360, 362, 358)
    assert judge.strongest([lucky, steady], rated("pick", 350)) is steady
    assert judge.strongest([lucky.one_run(), steady.one_run()], rated("pick", 350)) is not steady
