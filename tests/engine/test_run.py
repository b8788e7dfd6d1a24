"""A whole study in this process: its files, summary, privacy and observers, and what happens the second time."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.resources import files
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console
from safetensors import SafetensorError
from tiny_studies import TEACHER_MS, architecture, replaced, timeless, tiny_study, weights

import autodistill
from autodistill.cli import main
from autodistill.cli.sweep import print_sweep
from autodistill.components.outcome import Job, JobResult
from autodistill.engine.cache import EVICTABLE
from autodistill.engine.plan import Plan, make_plan
from autodistill.engine.storage import Storage
from autodistill.engine.study import Study, open_study
from autodistill.errors import MachineError, PluginError, TeacherError, TrialError
from autodistill.hookspecs import hookimpl
from autodistill.plugin_manager import PluginManager, Provider
from autodistill.references.tfidf_linear import TfidfLinear
from autodistill.registry import Registry, default_registry
from autodistill.report import tables
from autodistill.report.plan import render_plan

#: In one training example and nowhere else.
SECRET = "w7 w3 w39 w20 zebra w31 w11"


@dataclass(eq=False)
class Recorder:
    """An observer that writes down what it is told, and how often which split is predicted."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @hookimpl
    def autodistill_before_study_run(self, study: str, config: dict[str, Any]) -> None:
        self.calls.append(("before_study", {"study": study, "config": config}))
        config["budget"]["trials"] = 1000  # a copy: this must change nothing

    @hookimpl
    def autodistill_after_study_run(self, study: str, summary: dict[str, Any]) -> None:
        self.calls.append(("after_study", {"study": study, "summary": summary}))

    @hookimpl
    def autodistill_before_trial_run(self, study: str, trial: int, run: str, architecture: Any) -> None:
        told = {"study": study, "trial": trial, "run": run, "architecture": architecture}
        self.calls.append(("before_trial", told))

    @hookimpl
    def autodistill_after_trial_run(
        self, study: str, trial: int, run: str, state: str, metrics: dict[str, float]
    ) -> None:
        told = {"study": study, "trial": trial, "run": run, "state": state, "metrics": metrics}
        self.calls.append(("after_trial", told))

    @hookimpl
    def autodistill_on_trial_error(self, study: str, trial: int, run: str, error: BaseException) -> None:
        self.calls.append(("trial_error", {"study": study, "trial": trial, "run": run, "error": error}))

    def names(self) -> list[str]:
        return [name if "trial" not in told else f"{name} {told['run']}" for name, told in self.calls]

    def of(self, name: str) -> list[dict[str, Any]]:
        return [told for called, told in self.calls if called == name]


def registry_with(*plugins: object) -> Registry:
    manager = PluginManager()
    manager.load_builtins()
    for index, plugin in enumerate(plugins):
        manager.register(plugin, Provider("autodistill-watcher", "1.5", f"watcher{index}"))
    return Registry(manager)


@dataclass
class Done:
    """A study that was run once, with what was seen on the way."""

    overrides: list[str]
    study: Study
    recorder: Recorder
    predicted: Counter[str]
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def counted() -> Iterator[Counter[str]]:
    """How often each split is predicted by anything, by the number of its examples."""
    from autodistill.engine import comparison, teacher
    from autodistill.training import predict as module

    seen: Counter[str] = Counter()
    real = module.predict

    def predict(model: Any, split: Any, **options: Any) -> Any:
        seen[str(len(split))] += 1
        return real(model, split, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "predict", predict)
        patch.setattr(teacher, "predict", predict)
        patch.setattr(comparison, "predict", predict)
        yield seen


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, counted: Counter[str]) -> Done:
    directory = tmp_path_factory.mktemp("run")
    overrides = tiny_study(directory, "budget.trials=4", "picks.max=2", "reference=[tfidf_linear]")
    train = directory / "data" / "train.tsv"
    train.write_text(train.read_text() + f"{SECRET} cat\tanimal\n")
    recorder = Recorder()
    registry = registry_with(recorder)
    study = autodistill.run(autodistill.compose(overrides, registry), overrides=overrides, registry=registry)
    summary = json.loads((study.directory / "summary.json").read_text())
    return Done(overrides, study, recorder, Counter(counted), summary)


def again(done: Done, *new: str) -> tuple[Study, Recorder]:
    """Run the study once more."""
    recorder = Recorder()
    registry = registry_with(recorder)
    overrides = replaced(done.overrides, *new)
    return autodistill.run(autodistill.compose(overrides, registry), overrides=overrides, registry=registry), recorder


# -- the summary -------------------------------------------------------------------------------------------------


def test_the_summary_satisfies_the_schema_and_is_what_the_study_says(done: Done) -> None:
    schema = json.loads(files("autodistill.testing").joinpath("summary.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(done.summary)
    assert done.summary == json.loads(json.dumps(done.study.summary()))


def test_a_plan_of_it_leaves_nothing_to_do_but_what_is_new(done: Done) -> None:
    def plan(*new: str) -> Plan:
        return make_plan(autodistill.compose(replaced(done.overrides, *new)), default_registry())

    finished = plan()
    assert finished.seconds_left == 0
    assert all(stage.done == stage.runs for stage in finished.stages)
    larger = plan("budget.trials=6", "+baseline.new.name=tinybert_4l")
    told = {stage.name: (stage.done, stage.runs) for stage in larger.stages}
    assert told["flash distillation"] == (4, 6)
    assert told["teacher's features"] == (1, 1)
    assert told["full recipe: picks"] == (2, 2)  # frozen
    compared = len(done.summary["baselines"])
    assert told["full recipe: baselines"] == (compared, compared + 1)
    assert all(stage.seconds >= 0 for stage in larger.stages)
    assert 0 < larger.seconds_left < larger.seconds
    text = StringIO()
    render_plan(larger, Console(file=text, width=80))
    for name in told:
        assert f" {name} " in text.getvalue()


def test_the_budget_counts_search_trials_and_no_baseline(done: Done) -> None:
    assert done.summary["trials"]["complete"] == 4
    origins = Counter(row["origin"] for row in done.summary["history"])
    assert origins == {"search": 4, "baseline": len(done.summary["baselines"])}
    assert len({json.dumps(row["architecture"]) for row in done.summary["history"][:4]}) == 4


def test_latencies_come_from_the_file_and_speedups_from_them(done: Done) -> None:
    for row in done.summary["picks"]:
        choices = row["architecture"]
        expected = 1.0 + choices["num_layers"] * (1.5 + choices["intermediate_size"] / 27.0)
        assert row["latencies"]["replay"]["median"] == pytest.approx(expected)
        assert row["versus"]["teacher"]["speedup"] == pytest.approx(TEACHER_MS / expected)


def test_final_metrics_have_split_n_seeds_and_interval(done: Done) -> None:
    for row in [done.summary["teacher"], *done.summary["picks"], *done.summary["baselines"]]:
        metrics = row.get("final") or row["metrics"]
        entry = metrics["classification.accuracy"]
        assert entry["split"] == "test"
        assert entry["n"] == 120
        assert entry["seeds"] == 1
        assert entry["low"] < entry["value"] < entry["high"]


def test_picks_are_complete_feasible_trials_with_the_best_full_score_first(done: Done) -> None:
    complete = {row["trial"] for row in done.summary["history"] if row["origin"] == "search"}
    picks = done.summary["picks"]
    assert len(picks) == 2
    assert {row["trial"] for row in picks} <= complete
    scores = [row["final"]["select/classification.accuracy"]["value"] for row in picks]
    assert scores[0] == max(scores)
    assert done.summary["hypervolume_curve"][-1] == pytest.approx(done.summary["hypervolume"], rel=1e-12)


def test_the_verdict_names_a_baseline_and_an_interval(done: Done) -> None:
    verdict = done.summary["verdict"]
    assert verdict["baseline"] in {row["name"] for row in done.summary["baselines"]}
    assert "95 % interval" in verdict["claim"]
    pick = done.summary["picks"][0]
    assert set(pick["versus"]) >= {"teacher", verdict["baseline"]}
    assert verdict["holds"] == (pick["versus"][verdict["baseline"]]["gain"]["low"] > 0)


# -- files -------------------------------------------------------------------------------------------------------


def test_a_study_has_the_documented_files(done: Done) -> None:
    folder = done.study.directory
    for name in ("resolved_config.yaml", "components.json", "environment.json", "report.html", "summary.json"):
        assert (folder / name).stat().st_size > 0, name
    for number in range(4):
        latency = json.loads((folder / "trials" / str(number) / "latency.json").read_text())
        assert latency["replay"]["kind"] == "replayed"
    assert (folder / "teacher" / "predictions.parquet").is_file()
    for pick in done.summary["picks"]:
        place = folder / "picks" / str(pick["trial"])
        assert json.loads((place / "onnx" / "parity.json").read_text())
        assert (place / "onnx" / "model.onnx").is_file()
        assert pick["paths"]["hf"] == f"picks/{pick['trial']}/hf"


def test_only_this_user_may_enter_the_studys_folder_and_the_cache(done: Done) -> None:
    for place in (done.study.directory, done.study.directory.parent / "cache"):
        assert place.stat().st_mode & 0o077 == 0, place


def test_everything_that_a_study_caches_can_be_evicted(done: Done) -> None:
    kinds = {path.name for path in (done.study.directory.parent / "cache").iterdir()}
    assert {"teachers", "tokenised", "teacher_features"} <= kinds <= set(EVICTABLE)


def test_a_pick_loads_with_the_auto_classes_and_gives_the_stored_logits(done: Done) -> None:
    import pyarrow.parquet
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    place = done.study.directory / "picks" / str(done.summary["picks"][0]["trial"])
    model = AutoModelForSequenceClassification.from_pretrained(place / "hf").eval()
    tokenizer = AutoTokenizer.from_pretrained(place / "hf")
    assert list(model.config.id2label.values()) == done.summary["task"]["labels"]
    stored = pyarrow.parquet.read_table(place / "predictions.parquet").to_pydict()
    lines = (done.study.directory.parents[1] / "data" / "test.tsv").read_text().splitlines()[1:]
    texts = [line.partition("\t")[0] for line in lines]
    with torch.inference_mode():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()
    np.testing.assert_allclose(logits, np.array(stored["logits"]), atol=1e-5)


def test_predictions_have_ids_and_logits_and_no_texts(done: Done) -> None:
    import pyarrow.parquet

    found = [*done.study.directory.glob("picks/*/predictions.parquet")]
    assert len(found) == len(done.summary["picks"]) > 0
    for path in [*found, done.study.directory / "teacher" / "predictions.parquet"]:
        table = pyarrow.parquet.read_table(path)
        assert set(table.column_names) == {"id", "logits", "split"}
        assert set(table.column("split").to_pylist()) == {"test"}
        assert table.num_rows == 120
        assert all(" " not in name for name in table.column("id").to_pylist())


def test_the_gain_over_the_teacher_can_be_made_again_from_the_files(done: Done) -> None:
    import pyarrow.parquet

    lines = (done.study.directory.parents[1] / "data" / "test.tsv").read_text().splitlines()[1:]
    labels = [done.summary["task"]["labels"].index(line.partition("\t")[2]) for line in lines]
    for pick in done.summary["picks"]:
        ours, theirs = (
            pyarrow.parquet.read_table(done.study.directory / place / "predictions.parquet").to_pydict()
            for place in (f"picks/{pick['trial']}", "teacher")
        )
        assert ours["id"] == theirs["id"]
        right, expected = (np.argmax(found["logits"], axis=1) == labels for found in (ours, theirs))
        gain = pick["versus"]["teacher"]["gain"]["value"]
        assert np.mean(right) - np.mean(expected) == pytest.approx(gain)


def test_every_pick_and_baseline_has_its_final_metrics_beside_its_model(done: Done) -> None:
    for group, key in (("picks", "trial"), ("baselines", "name")):
        for row in done.summary[group]:
            content = json.loads((done.study.directory / group / str(row[key]) / "metrics.json").read_text())
            assert content["metrics"]["classification.accuracy"] == row["final"]["classification.accuracy"]
            assert content["latencies"] == row["latencies"]


def test_no_text_of_the_data_is_in_databases_logs_reports_or_models(done: Done) -> None:
    folder = done.study.directory
    kept = [folder.parent / "studies.db", *(path for path in folder.rglob("*") if path.is_file())]
    assert len(kept) > 20
    for path in kept:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert b"w3 w39" not in content, path


# -- another quality ---------------------------------------------------------------------------------------------


def test_a_study_is_judged_by_the_quality_that_it_was_to_find(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    macro_f1 = "classification.macro_f1"
    quality = ("~objectives.quality", f"+objectives.f1.metric={macro_f1}")  # so that latency is the first objective
    overrides = tiny_study(tmp_path, *quality, "budget.trials=2", "baseline=[teacher_truncated]")
    study = autodistill.run(autodistill.compose(overrides), overrides=overrides)
    summary = study.summary()
    (pick, *_), teacher, verdict = summary["picks"], summary["teacher"], summary["verdict"]
    value, other = (row["final"][macro_f1]["value"] for row in (pick, summary["baselines"][0]))
    versus = pick["versus"][summary["baselines"][0]["name"]]
    assert versus["gain"]["value"] == pytest.approx(value - other)
    assert pick["versus"]["teacher"]["retained"] == pytest.approx(value / teacher["metrics"][macro_f1]["value"])
    assert (verdict["metric"], tables.main_metric(summary)) == (macro_f1, macro_f1)
    assert f"of the teacher's {macro_f1}" in verdict["claim"]
    learnt = [row["found"] for row in summary["checks"] if row["name"].endswith("against the trivial answer")]
    assert learnt
    assert all(macro_f1 in found for found in learnt)
    # Flash is judged by what it estimates, whichever objective stands first.
    assert (summary["flash_spread"]["metric"], summary["flash_spread"]["n"]) == (macro_f1, 2)
    assert summary["flash_fidelity"]["n"] == len(summary["picks"])
    assert summary["objectives"][0]["metric"] == "replay.p50_ms"
    print_sweep([{"study": study.directory, "exit_code": 0}])
    assert f"{value:.4f}" in capsys.readouterr().out


# -- again -------------------------------------------------------------------------------------------------------


def test_the_test_split_is_predicted_once_per_model(done: Done) -> None:
    students = len(done.summary["picks"]) + len(done.summary["baselines"])
    assert done.predicted["120"] == students + 1  # and the teacher


def test_running_again_trains_nothing_and_gives_the_same_summary(done: Done, counted: Counter[str]) -> None:
    before = weights(done.study.directory)
    counted.clear()
    study, recorder = again(done)
    assert recorder.names() == ["before_study", "after_study"]
    assert timeless(study.summary()) == timeless(done.summary)
    assert weights(study.directory) == before
    assert counted["120"] <= 1  # the teacher at most


def test_a_larger_budget_goes_on_up_to_the_whole_space_baselines_included(done: Done, tmp_path: Path) -> None:
    shutil.copytree(done.study.directory.parent, tmp_path / "outputs")
    study, recorder = again(done, f"output_dir={tmp_path / 'outputs'}", "budget.trials=6")
    summary = study.summary()
    assert recorder.names() == ["before_study", *["before_trial flash", "after_trial flash"] * 2, "after_study"]
    assert summary["trials"]["complete"] == 6  # all there are, a baseline among them
    assert timeless(summary)["history"][:4] == timeless(done.summary)["history"][:4]
    assert [row["trial"] for row in summary["picks"]] == [row["trial"] for row in done.summary["picks"]]
    assert weights(study.directory) == weights(done.study.directory)  # picks are frozen


def test_a_baseline_trained_after_the_verdict_suspends_it_until_the_next_run(done: Done, tmp_path: Path) -> None:
    output = f"output_dir={tmp_path / 'outputs'}"
    shutil.copytree(done.study.directory.parent, tmp_path / "outputs")
    assert main(["distill", "study.name=study", output, "baseline=[tinybert_4l]"]) == 0
    summary = open_study("study", output_dir=tmp_path / "outputs").summary()
    assert summary["baselines"][-1]["state"] == "complete"
    assert summary["verdict"]["claim"].startswith("Not compared yet: tinybert_4l, trained after the comparison. `autod")
    assert (summary["verdict"]["holds"], summary["verdict"]["baseline"]) == (None, None)
    assert tables.verdict_heading(summary) == "No verdict"
    assert tables.verdict_limits(summary) == [summary["verdict"]["claim"]]  # stands beside what the pick reaches
    compared = again(done, output)[0].summary()
    assert "tinybert_4l" in compared["picks"][0]["versus"]
    assert "Not compared" not in compared["verdict"]["claim"]


def test_a_smaller_budget_than_what_was_done_is_no_error(done: Done) -> None:
    study, recorder = again(done, "budget.trials=1")
    assert recorder.names() == ["before_study", "after_study"]
    assert study.summary()["trials"]["complete"] == 4


def test_the_studys_own_python_door_finds_it_again(done: Done) -> None:
    study = open_study("study", output_dir=done.study.directory.parent)
    assert len(study.trials()) == len(study.history()) == 4 + len(done.summary["baselines"])
    assert study.trials()[0].architecture in {architecture(a, b) for a in (1, 2) for b in (16, 32, 64)}
    assert repr(study).startswith("Study('study'")


# -- observers ---------------------------------------------------------------------------------------------------


def test_observers_are_called_in_order_with_the_documented_arguments(done: Done) -> None:
    names = done.recorder.names()
    trained = len(done.summary["picks"]) + len(done.summary["baselines"])
    flash = ["before_trial flash", "after_trial flash"] * 4
    full = ["before_trial full", "after_trial full"] * trained
    assert names == ["before_study", *flash, *full, "after_study"]
    assert {told["study"] for _, told in done.recorder.calls} == {"study"}
    assert done.recorder.of("after_study")[0]["summary"]["verdict"] == done.summary["verdict"]
    assert [told["trial"] for told in done.recorder.of("before_trial")][:4] == [0, 1, 2, 3]
    first = done.recorder.of("before_trial")[0]
    assert dict(first["architecture"].choices) == done.summary["history"][0]["architecture"]


def test_observers_get_test_metrics_of_baselines_alone(done: Done) -> None:
    baselines = {row["trial"] for row in done.summary["baselines"]}
    assert baselines
    for told in done.recorder.of("after_trial"):  # a pick is scored on the test split after the last has been frozen
        splits = {name.partition("/")[0] for name in told["metrics"]}
        assert splits == ({"select", "test"} if told["trial"] in baselines else {"select"})
        assert told["state"] == "complete"
        assert all(isinstance(value, float) for value in told["metrics"].values())


def test_what_an_observer_does_to_the_configuration_changes_nothing(done: Done) -> None:
    assert done.study.config["budget"]["trials"] in (1, 4)  # of the last run of this module, and not 1000


def test_a_failing_observer_ends_the_command_and_is_named(tmp_path: Path) -> None:
    class Broken:
        @hookimpl
        def autodistill_before_trial_run(self, trial: int) -> None:
            raise RuntimeError(f"no room for trial {trial}")

    registry = registry_with(Broken())
    overrides = tiny_study(tmp_path)
    settings = autodistill.compose(overrides, registry)
    expected = r"plugin 'watcher0' of autodistill-watcher 1\.5 .*autodistill_before_trial_run.*no room for trial 0"
    with pytest.raises(PluginError, match=expected):
        autodistill.run(settings, overrides=overrides, registry=registry, explore_only=True)
    with sqlite3.connect(tmp_path / "outputs" / "studies.db") as connection:
        states = connection.execute("select state from autodistill_trials").fetchall()
    assert states == [("pending",)]  # the trial is kept and taken up by the next run


def test_a_trial_that_fails_is_told_and_the_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autodistill.engine import runner

    real, count = runner.distil, iter(range(100))

    def distil(request: Any) -> Any:
        result = real(request)
        if next(count) == 1:
            raise MemoryError("out of memory")
        return result

    monkeypatch.setattr(runner, "distil", distil)
    recorder = Recorder()
    registry = registry_with(recorder)
    overrides = tiny_study(tmp_path, "baseline=[]")
    settings = autodistill.compose(overrides, registry)
    study = autodistill.run(settings, overrides=overrides, registry=registry, explore_only=True)
    summary = study.summary()
    assert summary["trials"]["failed"] == 1
    assert summary["trials"]["complete"] == 2  # a trial that began training and failed is paid for
    assert summary["history"][1]["error"] == "MemoryError: out of memory"
    told = recorder.of("trial_error")
    assert [(item["trial"], item["run"], str(item["error"])) for item in told] == [(1, "flash", "out of memory")]
    assert "nothing is claimed" in summary["verdict"]["claim"]
    assert list((tmp_path / "outputs" / "study" / "trials").glob("*/checkpoint/*")) == []  # nothing goes on from them


def test_what_a_run_cost_before_it_failed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autodistill.engine import runner

    real, count = runner.distil, iter(range(100))
    passed, clock = 0.0, time.monotonic  # the teacher's pass is booked elsewhere, however long it takes

    def slow(*given: Any) -> Any:
        nonlocal passed
        passed += 1e6
        return features(*given)

    features = runner.StudyFeatures.get
    monkeypatch.setattr(runner.StudyFeatures, "get", slow)
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: clock() + passed))
    monkeypatch.setattr(runner, "processes", lambda trainer: 2)  # as if on two devices

    def distil(request: Any) -> Any:
        nonlocal passed
        if next(count) != 1:
            result, passed = real(request), 0.0
            return result

        def progress(step: int, steps: int) -> None:
            request.progress(step, steps)
            if step == 3:
                raise MemoryError("out of memory")

        return real(replace(request, progress=progress))

    monkeypatch.setattr(runner, "distil", distil)
    registry = registry_with()
    overrides = tiny_study(tmp_path, "baseline=[]", "budget.trials=2", "cache_max_gb=0")
    study = autodistill.run(
        autodistill.compose(overrides, registry), overrides=overrides, registry=registry, explore_only=True
    )
    with Storage(study.config["storage"]["url"]) as storage:
        runs = storage.runs(storage.get_study("study").id)
    assert [run.state for run in runs] == ["complete", "failed"]
    for run in runs:  # nothing is cached, so the teacher runs in every step
        assert run.cost["teacher_examples"] == run.cost["examples"]
        assert 0 < run.cost["teacher_flops"] < run.cost["flops"]
    size = study.config["schedule"]["batch_size"]
    steps = [run.cost["examples"] / size for run in runs]
    assert steps[1] == 3 < steps[0]
    assert runs[1].cost["flops"] > 0
    assert 0 < runs[1].cost["device_seconds"] < 1e6
    alone = runs[0].seconds["prepare"] + runs[0].seconds["evaluate"]
    assert runs[0].cost["device_seconds"] == pytest.approx(2 * runs[0].seconds["train"] + alone)


def test_a_full_run_that_a_callback_stops_is_no_result_and_is_made_again_without_it(tmp_path: Path) -> None:
    registry = registry_with()

    def run(*more: str) -> Study:
        given = ("budget.trials=1", "picks.max=1", "baseline=[]", *more)
        overrides = tiny_study(tmp_path, *given)
        return autodistill.run(autodistill.compose(overrides, registry), overrides=overrides, registry=registry)

    stopping = "+trainer.callbacks.stop={_target_: pytorch_lightning.callbacks.Timer, duration: {seconds: 0}}"
    overrides = tiny_study(tmp_path, "budget.trials=1", "picks.max=1", "baseline=[]")
    autodistill.run(autodistill.compose(overrides, registry), overrides=overrides, registry=registry, explore_only=True)
    with pytest.raises(TrialError, match=r"A callback \(trainer.callbacks\) stopped the full run after step 0 of \d+"):
        run(stopping)
    assert [pick["trial"] for pick in run().summary()["picks"]] == [0]


def test_a_disk_that_fills_up_in_the_teachers_pass_fails_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_with()
    overrides = tiny_study(tmp_path, "budget.trials=1", "baseline=[]")
    settings = autodistill.compose(overrides, registry)

    def run() -> Study:
        return autodistill.run(settings, overrides=overrides, registry=registry, explore_only=True)

    def full(*given: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("autodistill.training.teacher_features.write_cache", full)
        with pytest.raises(
            TeacherError, match=r"The teacher's features could not be computed.*No space left on device"
        ):
            run()
    trials = run().summary()["trials"]
    assert (trials["complete"], trials["failed"]) == (1, 0)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("Error: No space left on device (os error 28)")]
)
def test_a_disk_that_fills_up_under_a_trial_does_not_fail_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from autodistill.engine import runner

    registry = registry_with()
    settings = autodistill.compose(tiny_study(tmp_path, "budget.trials=1", "baseline=[]"), registry)

    def full(request: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(runner, "distil", full)
        with pytest.raises(MachineError, match=r"trial 0 \(flash\): .*No space left.*the same command goes on"):
            autodistill.run(settings, registry=registry, explore_only=True)
    trials = autodistill.run(settings, registry=registry, explore_only=True).summary()["trials"]
    assert (trials["complete"], trials["failed"]) == (1, 0)


def test_a_run_that_another_process_has_taken_over_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autodistill.engine import runner

    recorder, states, tried, saves = Recorder(), list[str](), list[bool](), list[bool]()
    registry = registry_with(recorder)
    real, work = runner.distil, runner.Runner.work
    overrides = tiny_study(tmp_path, "budget.trials=1", "baseline=[]")

    def distil(request: Any) -> Any:
        result = real(request)
        tried.append(not tried)
        if len(tried) > 1:
            return result
        with sqlite3.connect(tmp_path / "outputs" / "studies.db") as connection:  # the other one has died since
            connection.execute("update autodistill_runs set token = 'of another', expires = 0")
        saves.append(request.may_save())
        raise MemoryError("out of memory")

    def noted(self: runner.Runner, job: Job) -> JobResult:
        states.append((found := work(self, job)).state)
        return found

    monkeypatch.setattr(runner, "distil", distil)
    monkeypatch.setattr(runner.Runner, "work", noted)
    settings = autodistill.compose(overrides, registry)
    autodistill.run(settings, overrides=overrides, registry=registry, explore_only=True)
    assert states == ["complete"]
    assert tried == [True, False]
    assert saves == [False]
    assert recorder.of("trial_error") == []


def test_the_next_session_removes_what_a_run_that_has_ended_left(tmp_path: Path) -> None:
    settings = autodistill.compose(tiny_study(tmp_path, "budget.trials=1", "baseline=[]"))
    autodistill.run(settings, explore_only=True)
    folders = [tmp_path / "outputs" / "study" / "trials" / "0" / "checkpoint" / run for run in ("flash", "full")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "last.ckpt").write_bytes(b"whole")
    autodistill.run(settings, explore_only=True)
    assert [folder.exists() for folder in folders] == [False, True]  # there was no full run yet


def test_an_export_that_failed_is_tried_again_by_the_next_run(tmp_path: Path) -> None:
    registry = registry_with()

    def run(*more: str) -> dict[str, Any]:
        overrides = tiny_study(tmp_path, "budget.trials=1", "picks.max=1", "baseline=[]", "export=[onnx]", *more)
        study = autodistill.run(autodistill.compose(overrides, registry), overrides=overrides, registry=registry)
        return study.summary()["picks"][0]["exports"][0]  # type: ignore[no-any-return]

    failed = run("export.onnx.absolute_tolerance=0", "export.onnx.relative_tolerance=0")
    assert "path" not in failed
    assert "allowed are 0" in failed["error"]
    done = run()
    assert "error" not in done
    assert (tmp_path / "outputs" / "study" / done["path"]).exists()


def test_a_reference_whose_answers_are_no_numbers_is_told_and_costs_no_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, measure = registry_with(), TfidfLinear.measure

    def diverged(self: Any) -> Any:
        found = measure(self)
        return replace(found, logits={role: logits * np.nan for role, logits in found.logits.items()})

    given = ("budget.trials=1", "picks.max=1", "baseline=[]", "reference=[tfidf_linear]")
    overrides = tiny_study(tmp_path, *given)

    def run() -> dict[str, Any]:
        study = autodistill.run(autodistill.compose(overrides, registry), overrides=overrides, registry=registry)
        with Storage(study.config["storage"]["url"]) as storage:
            return {**study.summary(), "stored": storage.step(storage.get_study("study").id, "reference:tfidf_linear")}

    with monkeypatch.context() as patch:
        patch.setattr(TfidfLinear, "measure", diverged)
        found = run()
    assert found["references"] == []
    assert found["verdict"]["claim"]
    assert "examples are not finite: the model has diverged" in found["stored"]["left_out"]
    assert [row["name"] for row in run()["references"]] == ["tfidf_linear"]


def test_exports_references_and_latencies_are_made_again_where_they_failed_or_are_chosen_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_with()

    def run(*more: str) -> Study:
        given = ("budget.trials=1", "picks.max=1", "baseline=[]", "export=[onnx]", "reference=[tfidf_linear]", *more)
        overrides = tiny_study(tmp_path, *given)
        return autodistill.run(autodistill.compose(overrides, registry), overrides=overrides, registry=registry)

    def full(self: Any) -> Any:
        raise MemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(TfidfLinear, "measure", full)
        first = run().summary()
    assert first["references"] == []
    pick = first["picks"][0]
    with Storage(run().config["storage"]["url"]) as storage:
        study, name = storage.get_study("study"), f"latency:{pick['trial']}"
        timed = storage.step(study.id, name)
        storage.replace_step(study.id, name, {})  # as a device that was busy leaves it
        again = run().summary()
        assert storage.step(study.id, name) == timed
        assert [row["name"] for row in again["references"]] != []
        made = storage.step(study.id, f"export:{pick['trial']}:onnx")
        run("export.onnx.opset=18")
        other = storage.step(study.id, f"export:{pick['trial']}:onnx")
        assert other["sha256"] != made["sha256"] == pick["exports"][0]["sha256"]
        assert storage.step(study.id, name).keys() == timed.keys()
        broken = ("export.onnx.absolute_tolerance=0", "export.onnx.relative_tolerance=0")
        run(*broken)
        storage.replace_step(study.id, name, timed)
        with monkeypatch.context() as patch:
            patch.setattr("autodistill.engine.finals.time_subject", full)  # nothing is timed because it failed again
            run(*broken)
        assert storage.step(study.id, name) == timed
