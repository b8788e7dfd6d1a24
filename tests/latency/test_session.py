"""What a session reports of what its worker tells."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from autodistill.components.latency import LatencyContext, LatencySubject, Precision, Workload
from autodistill.latency.session import Artifact, Session
from autodistill.latency.timing import StoppingRule

#: A runtime that takes fp32 for the bf16 that it is asked for, as OpenVINO on a processor without bf16.
RUNNER = """
class Runner:
    def __init__(self, path, setup): pass
    def prepare(self, inputs): return inputs
    def run(self, request): pass
    def facts(self): return {"versions": {}, "precision": "fp32"}
"""


@pytest.mark.parametrize(("weights", "reported"), [("bf16", "fp32"), ("int8", "int8")])
def test_what_a_runtime_takes_instead_is_told_of_what_it_was_asked_for_and_not_of_quantised_files(
    weights: Precision, reported: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other_precision.py").write_text(RUNNER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    session = Session(
        LatencyContext("ov", (4,), tmp_path / "work", None),
        component="openvino",
        workload=Workload(1, (4,), "bf16"),
        runner="other_precision:Runner",
        options={},
        prepare=lambda _: nullcontext(Artifact(tmp_path, 60, weights)),
        rule=StoppingRule(0.5, 0.01, 1),
        restart_after=10,
        timeout_seconds=60,
    )
    report = session.measure(LatencySubject("teacher_int8", None, None))
    session.close()
    assert report.precision == report.workload["precision"] == reported
