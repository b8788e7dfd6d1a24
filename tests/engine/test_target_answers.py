"""Picks and baselines are scored as a target of another precision runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_studies import tiny_study

import autodistill
from autodistill.components.latency import LatencySubject
from autodistill.engine.scores import read_logits
from autodistill.engine.study import Study
from autodistill.errors import LatencyError
from autodistill.latency.onnxruntime import OnnxRuntimeLatency
from autodistill.registry import default_registry

METRIC = "classification.accuracy"


def run(folder: Path) -> Study:
    overrides = tiny_study(
        folder,
        "budget.trials=3",
        "picks.max=1",
        "+latency.int8={name: onnxruntime, precision: int8, max_seconds: 0.05, threads: 1}",
    )
    registry = default_registry()
    return autodistill.run(autodistill.compose(overrides, registry), overrides=overrides, registry=registry)


def trained(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [*summary["picks"], *summary["baselines"]]


def test_trained_models_are_scored_as_int8_runs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = run(tmp_path)
    summary = json.loads((study.directory / "summary.json").read_text())
    found = summary["pareto_sets"]["int8"]
    assert (found["precision"], summary["pareto_sets"]["replay"]["caveat"]) == ("int8", None)
    assert found["caveat"] == "quality is that of the fp32 model; trained models were scored in int8 too"
    for row in trained(summary):
        assert list(row["targets"]) == ["int8"]
        there = row["targets"]["int8"]
        own, change = there["metrics"][METRIC], there["change"]
        assert there["precision"] == "int8"
        assert (own["split"], own["n"]) == ("test", row["final"][METRIC]["n"])
        assert change["value"] == pytest.approx(own["value"] - row["final"][METRIC]["value"])
        assert change["low"] <= change["value"] <= change["high"]
        folder = study.directory / (f"picks/{row['trial']}" if row in summary["picks"] else f"baselines/{row['name']}")
        fp32, int8 = (read_logits(folder / f"predictions{name}.parquet") for name in ("", "_int8"))
        assert fp32.shape == int8.shape
        assert not np.allclose(fp32, int8, atol=1e-5)
        assert np.abs(fp32 - int8).mean() < 0.2 * np.abs(fp32).mean()
    page = (study.directory / "report.html").read_text()
    assert "In the precision of the target" in page

    def refuse(*_: Any) -> Any:
        raise AssertionError("asked again")

    monkeypatch.setattr(OnnxRuntimeLatency, "answer", refuse)
    assert trained(run(tmp_path).summary()) == trained(summary)


def test_a_target_that_cannot_answer_costs_nothing_but_its_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: OnnxRuntimeLatency, subject: LatencySubject, batches: Any) -> Any:
        raise LatencyError("no memory left")

    def overflow(self: OnnxRuntimeLatency, subject: LatencySubject, batches: Any) -> Any:
        yield from (np.full((len(batch["input_ids"]), 2), np.nan, dtype=np.float32) for batch in batches)

    for broken, reason in ((fail, "no memory left"), (overflow, "not finite")):  # what failed is tried again
        with monkeypatch.context() as patch:
            patch.setattr(OnnxRuntimeLatency, "answer", broken)
            study = run(tmp_path)
        summary = study.summary()
        for row in trained(summary):
            assert list(row["targets"]["int8"]) == ["precision", "left_out"]
            assert reason in row["targets"]["int8"]["left_out"]
        assert summary["pareto_sets"]["int8"]["caveat"] == "quality is that of the fp32 model"
        assert summary["pareto_sets"]["int8"]["final"]
        assert reason in (study.directory / "report.html").read_text()
    assert all("metrics" in row["targets"]["int8"] for row in trained(run(tmp_path).summary()))
