"""References of a study: which backends time them; and the examples that exports are checked with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_studies import tiny_study

import autodistill
from autodistill.components.latency import LatencyReport, LatencySubject, formats_taken
from autodistill.components.students import ReferenceResult
from autodistill.engine.finals import parity_sample_of
from autodistill.engine.references import _latencies
from autodistill.engine.session import open_session
from autodistill.engine.stop import StopSignal
from autodistill.latency.replay import ReplayLatency
from autodistill.registry import default_registry
from autodistill.report.progress import QuietProgress


class Taking(ReplayLatency):
    """A backend of a plugin that runs ONNX files."""

    takes = frozenset({"onnx"})

    def measure(self, subject: LatencySubject) -> LatencyReport:
        assert list(subject.artifacts) == ["onnx"]
        return super().measure(LatencySubject("teacher", None, None))


def test_every_backend_that_runs_onnx_files_times_them_and_no_other_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny_study(tmp_path)
    with (
        StopSignal() as stop,
        open_session(autodistill.compose(given), default_registry(), progress=QuietProgress(), stop=stop) as session,
    ):
        (replay,) = session.backends.values()
        path = str(tmp_path / "latencies.json")
        context = type("Context", (), {"label": "plugin", "lengths": (4,)})()
        session.backends = {"replay": replay, "plugin": Taking(context, path=path)}  # type: ignore[arg-type]
        monkeypatch.setattr(replay, "measure", _refuse)
        result = ReferenceResult("teacher_int8", {}, 1, tmp_path / "x.onnx", {"precision": "int8"})
        found = _latencies(session, result)
    assert list(found) == ["plugin"]
    assert found["plugin"]["precision"] == "int8"


def _refuse(subject: LatencySubject) -> LatencyReport:
    raise AssertionError("it takes no files")


def test_built_in_backends_say_what_they_take(tmp_path: Path) -> None:
    from autodistill.latency.onnxruntime import OnnxRuntimeLatency
    from autodistill.latency.torch import TorchLatency

    assert formats_taken(OnnxRuntimeLatency) == {"onnx"}  # type: ignore[arg-type]
    assert formats_taken(TorchLatency) == {"huggingface"}  # type: ignore[arg-type]
    assert formats_taken(ReplayLatency) == frozenset()  # type: ignore[arg-type]


def test_parity_is_checked_with_padding_where_neighbours_are_alike(tmp_path: Path) -> None:
    """A format that forgets the attention mask answers as the model where nothing is padded."""
    lengths = np.array([3] * 20 + [5] * 20 + [9] * 20)

    def batch(rows: NDArray[np.int64]) -> Any:
        mask = torch.arange(9)[None] < torch.tensor(lengths[rows])[:, None]
        mask = mask[:, : int(lengths[rows].max())]
        return SimpleNamespace(input_ids=mask.long(), attention_mask=mask, token_type_ids=mask.long())

    bench: Any = SimpleNamespace(splits={"select": SimpleNamespace(lengths=lengths, batch=batch)})
    masks = [columns["attention_mask"] for columns in parity_sample_of(bench)]
    assert [mask.shape for mask in masks] == [(8, 9), (8, 5), (8, 9)]
    assert sorted(masks[0].sum(axis=1)) == [3] * 4 + [9] * 4
