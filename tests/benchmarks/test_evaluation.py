"""The benchmark of the evaluation: its scripts run on a tiny setting and write their sections."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import autodistill
from autodistill.testing.tiny import write_tiny_teacher

ROOT = Path(__file__).parents[2]


def script(name: str, *arguments: str, output: Path) -> tuple[str, dict[str, Any]]:
    """What a script prints, and its section."""
    command = [sys.executable, "-m", f"benchmarks.evaluation.{name}", *arguments, "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    section = json.loads(output.read_text())[name]
    assert section["command"].startswith(f"python -m benchmarks.evaluation.{name}")
    return done.stdout, section["results"]


def write_rte(folder: Path) -> Path:
    """RTE in the official layout: whether a sentence has an animal in it."""
    generator = random.Random(0)
    (folder / "RTE").mkdir(parents=True)
    for name, count in (("train", 120), ("dev", 40)):
        lines = ["index\tsentence1\tsentence2\tlabel"]
        for row in range(count):
            clue, label = generator.choice([("cat", "entailment"), ("red", "not_entailment")])
            words = [f"w{generator.randrange(40)}" for _ in range(4)]
            lines.append(f"{row}\t{' '.join([*words, clue])}\tw{row % 40}\t{label}")
        (folder / "RTE" / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def write_squad(path: Path) -> Path:
    answers = [{"text": "The Cat", "answer_start": 0}, {"text": "cat", "answer_start": 4}]
    paragraph = {"context": "The Cat sat.", "qas": [{"id": "q", "question": "Who?", "answers": answers}]}
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}], "version": "1.1"}))
    return path


def test_metrics_are_compared_and_equal(tmp_path: Path) -> None:
    glue, squad = write_rte(tmp_path / "glue"), write_squad(tmp_path / "dev.json")
    given = ["--glue", str(glue), "--tasks", "rte", "--squad", str(squad)]
    _, results = script("metrics", *given, output=tmp_path / "out.json")
    assert results["glue"] == {"rte": {"accuracy": 0.0}}
    assert results["squad"]["answers"] == 7
    assert results["squad"]["different"] == 0


def test_coverage_is_counted(tmp_path: Path) -> None:
    given = ["--repetitions", "5", "--only", "accuracy 0.9", "three seeds"]
    _, results = script("coverage", *given, output=tmp_path / "out.json")
    assert len(results) == 4
    assert all(0 <= row["coverage"] <= 1 and row["median_width"] > 0 for row in results.values())


def test_each_of_mnlis_metrics_is_compared_on_its_own_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    metrics: Any = importlib.import_module("benchmarks.evaluation.metrics")
    (tmp_path / "MNLI").mkdir()
    kinds = ["entailment", "neutral", "contradiction"]
    for name, count in (("train", 30), ("dev_matched", 40), ("dev_mismatched", 25)):
        lines = ["index\tsentence1\tsentence2\tgold_label"]
        lines += [f"{row}\tw{row} a\tw{row} b\t{kinds[row * row % 3]}" for row in range(count)]
        (tmp_path / "MNLI" / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    assert metrics.glue_differences(tmp_path, ["mnli"]) == {"mnli": {"accuracy": 0.0, "accuracy_mismatched": 0.0}}


def test_what_cannot_be_compared_is_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    metrics: Any = importlib.import_module("benchmarks.evaluation.metrics")
    differences = metrics.Differences("a dev set", ["f1", "accuracy"])
    differences.compare({"f1": 0.5, "score": 1.0}, {"f1": 0.25})
    with pytest.raises(SystemExit, match="accuracy of a dev set was not compared"):
        differences.largest()
    with pytest.raises(SystemExit, match=r"f1 of a dev set is nan here and 0.5 elsewhere"):
        differences.compare({"f1": math.nan}, {"f1": 0.5})
    differences.compare({"f1": 0.5, "accuracy": 1.0}, {"f1": 0.5, "accuracy": 1.0})
    assert differences.largest() == {"f1": 0.25, "accuracy": 0.0}


def test_two_recipes_are_compared_on_one_test_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    coverage: Any = importlib.import_module("benchmarks.evaluation.coverage")
    given: list[Any] = []
    drawn = coverage.seeds

    def seeds(generator: Any, hard: Any, mean: float) -> Any:
        given.append(hard)
        return drawn(generator, hard, mean)

    monkeypatch.setattr(coverage, "seeds", seeds)
    assert coverage.two_recipes(np.random.default_rng(0), 50).seeds == 3
    assert given[0] is given[1]


def test_the_protocol_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glue, model, output = write_rte(tmp_path / "glue"), write_tiny_teacher(tmp_path / "model"), tmp_path / "out.json"
    given = ["--glue", str(glue), "--work", str(tmp_path / "runs"), "--model", str(model), "--tasks", "rte"]
    given += ["--learning-rates", "3e-3", "--epochs", "1", "--seeds", "2", "--threads", "1", "--max-length", "32"]
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "argv", ["glue_protocol.py", *given, "--output", str(output)])
    protocol: Any = importlib.import_module("benchmarks.evaluation.glue_protocol")
    protocol.main()
    first = json.loads(output.read_text())["glue_protocol"]["results"]
    assert first["tasks"]["rte"]["metrics"]["glue.accuracy"]["seeds"] == 2
    assert first["averages"]["leaderboard"]["tasks"] == ["rte"]
    kept = sorted((tmp_path / "runs").rglob("result.json"))
    times = [path.stat().st_mtime_ns for path in kept]
    protocol.main()
    assert json.loads(output.read_text())["glue_protocol"]["results"] == first
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_jobs_wait_for_what_they_need_and_a_failure_stops_only_what_needs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    jobs: Any = importlib.import_module("benchmarks.evaluation.jobs")
    done: list[str] = []

    def work(name: str) -> None:
        if name == "broken":
            raise ValueError("no such thing")
        done.append(name)

    def job(name: str, *after: str) -> Any:
        return jobs.Job(name, work, (name,), after)

    given = [
        job("last", "first", "made before"),
        job("broken"),
        job("needs", "broken"),
        job("more", "needs"),
        job("first"),
    ]
    assert jobs.run_jobs(given) == ["broken", "needs", "more"]
    assert done == ["first", "last"]
    assert "no such thing" in capsys.readouterr().err
    assert jobs.run_jobs([job("late")], seconds=0) == ["late"]


def test_a_killed_job_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    jobs: Any = importlib.import_module("benchmarks.evaluation.jobs")
    given = [
        jobs.Job("beside it", time.sleep, (1,)),
        jobs.Job("killed", os._exit, (3,)),
        jobs.Job("needs", os.mkdir, (tmp_path / "needs",), ("killed",)),
        jobs.Job("later", os.mkdir, (tmp_path / "later",), ("beside it",)),
    ]
    assert jobs.run_jobs(given, workers=2) == ["killed", "needs"]
    assert [path.name for path in tmp_path.iterdir()] == ["later"]


def test_an_end_of_the_jobs_ends_their_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    jobs: Any = importlib.import_module("benchmarks.evaluation.jobs")

    def interrupt(running: dict[str, Any]) -> None:
        begun.update(running)
        raise KeyboardInterrupt

    begun: dict[str, Any] = {}
    monkeypatch.setattr(jobs, "first_ended", interrupt)
    with pytest.raises(KeyboardInterrupt):
        jobs.run_jobs([jobs.Job("long", time.sleep, (600,))], workers=2)
    begun["long"].join()
    assert begun["long"].exitcode == -signal.SIGTERM


def test_what_is_set_of_the_protocol_holds_for_jobs_and_runs_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    glue, model = write_rte(tmp_path / "glue"), write_tiny_teacher(tmp_path / "model")
    protocol: Any = importlib.import_module("benchmarks.evaluation.glue_protocol")
    tuning: Any = importlib.import_module("benchmarks.evaluation.fine_tuning_jobs")
    parser = argparse.ArgumentParser()
    protocol.arguments(parser)
    changed = ["fine_tuning.learning_rates=[3e-4]", "fine_tuning.epochs=[2]", "fine_tuning.seeds=2"]
    read = parser.parse_args(
        ["--work", str(tmp_path / "runs"), "--seeds", "3", "--max-length", "32", "--set", *changed]
    )
    setup = tuning.setup_of(read, glue, tmp_path / "runs")
    names = [job.name for job in tuning.jobs_of(setup, "rte", model, "rte")]
    assert names == ["rte, lr0.0003-batch32-epochs2", "rte, seed 1", "rte"]
    assert tuning.make_tuner(setup, "rte", model, "rte").protocol == setup.protocol("rte")


def test_a_student_whose_run_failed_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    study: Any = importlib.import_module("benchmarks.evaluation.chain_study")
    runs = [
        SimpleNamespace(trial=4, kind=kind, state=state) for kind, state in (("flash", "failed"), ("full", "complete"))
    ]
    worked: list[tuple[str, bool]] = []

    def runner(retry_failed: bool = False) -> Any:
        def work(job: Any) -> Any:
            worked.append((job.run, retry_failed))
            return SimpleNamespace(state="complete")

        return SimpleNamespace(work=work)

    session = SimpleNamespace(
        storage=SimpleNamespace(runs=lambda study: runs), study=SimpleNamespace(id=1, name="chain"), runner=runner
    )
    monkeypatch.setattr(study, "open_chain", lambda setup: nullcontext(session))
    monkeypatch.setattr(study, "trials_of", lambda session: {"bert_half": SimpleNamespace(number=4)})
    monkeypatch.setattr(study, "model_directory", lambda session, trial: tmp_path)
    study.distil(SimpleNamespace(model=lambda name: tmp_path / "models" / name), "bert_half")
    assert worked == [("flash", True)]


def test_the_chain_is_a_study_and_the_protocol_on_each_of_its_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    (tmp_path / "chain" / "corpus").mkdir(parents=True)
    given = ["--data", str(tmp_path), "--work", str(tmp_path / "chain"), "--tasks", "rte", "--examples", "400"]
    chain: Any = importlib.import_module("benchmarks.evaluation.chain")
    read = chain.make_parser().parse_args([*given, "--models", "teacher", "bert_half", "--seeds", "2"])
    setup, tuning = chain.chain_setup(read), chain.setup_of(read, tmp_path / "glue", tmp_path / "fine_tuning")
    settings = autodistill.compose(setup.overrides())
    assert [item.metric for item in settings.objectives] == ["default.quality", "size.flops"]
    assert settings.one("schedule").parameters["flash_fidelity"] == 0.05
    assert settings.one("data").parameters["test"].endswith("wikitext2.test.txt.gz")
    jobs = {job.name: job.after for job in chain.all_jobs(read, setup, tuning)}
    assert list(jobs)[:2] == ["prepare", "bert_half"]
    points = [name for name in jobs if name.startswith("bert_half-rte, lr")]
    assert len(points) == 3
    assert all(jobs[name] == ("bert_half",) for name in points)
    assert jobs["bert_half-rte, seed 1"] == tuple(points)
    assert set(jobs["bert_half-rte"]) == {*points, "bert_half-rte, seed 1"}
    assert jobs["teacher-rte, lr5e-05-batch32-epochs5"] == ("prepare",)


def test_articles_and_not_their_sections_are_independent_in_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    study: Any = importlib.import_module("benchmarks.evaluation.chain_study")
    parts = [["= One =", "text", "= = Part = =", "more"], ["again", "= Two = ", "last"], []]
    for part, numbers in enumerate(([0, 1, 1, 3], [0, 2], [])):
        (tmp_path / f"part-{part:05}").mkdir()
        np.save(tmp_path / f"part-{part:05}" / "documents.npy", np.array(numbers, dtype=np.int32))
    split = SimpleNamespace(directory=tmp_path, documents="sections")
    stream = SimpleNamespace(parts=3, documents=lambda part: iter(parts[part]))
    session = SimpleNamespace(
        bench=SimpleNamespace(splits={"test": split}, data=SimpleNamespace(splits={"test": stream}))
    )
    study.by_article(session)
    assert split.documents.tolist() == [0, 0, 0, 0, 0, 1]
