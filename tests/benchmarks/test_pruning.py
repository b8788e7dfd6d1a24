"""The benchmark of pruners replays toy curves, and those of a recorded study."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodistill.engine.storage import Storage
from autodistill.testing.pruners import toy_curve
from autodistill.testing.search import ACCURACY, LATENCY, toy_space

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pruning.py"
RUNGS = [0.25, 0.5]


def run(monkeypatch: pytest.MonkeyPatch, output: Path, *arguments: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--replays", "2", "--output", str(output), *arguments])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return json.loads(output.read_text())  # type: ignore[no-any-return]


def record(url: str) -> None:
    """A study of twenty complete flash runs with their learning curves."""
    identity = {
        "objectives": {item.label: [item.metric, item.direction] for item in (ACCURACY, LATENCY)},
        "constraints": {},
        "task": {},
    }
    teacher = {
        "values": {ACCURACY.metric: 0.95, LATENCY.metric: 12.0},
        "trivial": {ACCURACY.metric: 0.5},
        "metrics": {},
        "latencies": {},
        "alarms": [],
    }
    report = {"backend": "replay", "kind": "replayed", "precision": "fp32", "workload": {}, "device": "replayed"}
    with Storage(url) as storage:
        study = storage.create_study("curves", identity, {"pruner": {"rungs": RUNGS}}, {}, {})
        storage.set_step(study.id, "teacher", teacher)
        for item in list(dict.fromkeys(toy_space().sample(60, 0)))[:20]:
            added = storage.add_trial(
                study.id, item, replicate=0, origin="search", label=None, in_space=True, note=None, seed=1
            )
            curve = toy_curve(item, added.number, RUNGS)
            latency = {"onnxruntime": {**report, "median": curve.known[LATENCY.metric]}}
            storage.update_trial(study.id, added.number, latencies=latency, began_training=True)
            for reached in curve.rungs:
                storage.report_rung(study.id, added.number, "flash", reached.rung, reached.share, reached.metrics)
            lease = storage.lease_run(study.id, added.number, "flash", "me", 60.0)
            assert lease is not None
            metrics = {ACCURACY.metric: {"value": curve.final[ACCURACY.metric], "variance": 1e-4, "split": "select"}}
            storage.finish_run(lease, state="complete", metrics=metrics, trial_state="complete")


@pytest.mark.parametrize("recorded", [False, True])
def test_pruners_save_examples_and_none_loses_nothing(
    recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    if recorded:
        record(url)
    found = run(monkeypatch, tmp_path / "pruning.json", *(["--study", "curves", "--storage", url] if recorded else []))
    rows = found["results"]
    assert rows["none"]["hypervolume_kept_share"] == [1.0, 1.0, 1.0]
    assert rows["none"]["examples_saved_share"] == [0.0, 0.0, 0.0]
    assert rows["latency_bands"]["examples_saved_share"][1] > 0
    for row in rows.values():
        assert np.array(row["hypervolume_kept_share"]).max() <= 1.0 + 1e-9
    assert found["settings"]["ground"].startswith("study curves, 20 trials" if recorded else "toy, 40 trials")
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(rows)
