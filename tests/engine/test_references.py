"""References: which backends time them, what the next call makes up for; and what exports are checked with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autodistill.components.latency import LatencyReport, LatencySubject, formats_taken
from autodistill.engine import references
from autodistill.engine.finals import parity_sample_of
from autodistill.engine.references import measure_references
from autodistill.engine.storage import Storage
from autodistill.errors import LatencyError
from autodistill.latency.onnxruntime import OnnxRuntimeLatency
from autodistill.latency.replay import ReplayLatency
from autodistill.latency.torch import TorchLatency


class Backend:
    """Times files of a format, once it is not busy any more."""

    def __init__(self, takes: str = "onnx", busy: bool = False) -> None:
        self.takes, self.busy = frozenset({takes}), busy
        self.asked: list[LatencySubject] = []

    def measure(self, subject: LatencySubject) -> LatencyReport:
        self.asked.append(subject)
        if self.busy:
            raise LatencyError("the device is busy")
        given: dict[str, Any] = {"backend": "onnxruntime", "kind": "measured", "device": "cpu"}
        return LatencyReport(**given, workload={"precision": "fp32"}, precision="fp32", threads=1, median=2.0)


def test_references_are_timed_by_what_runs_onnx_files_and_again_where_that_failed(
    open_storage: Callable[..., Storage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, measured = open_storage(), list[str]()
    study = storage.create_study("study", {}, {}, {}, {})
    file = tmp_path / "references" / "teacher_int8" / "teacher_int8.onnx"
    backends = {"fast": Backend(), "other": Backend(busy=True), "torch": Backend("huggingface")}
    session: Any = SimpleNamespace(
        storage=storage,
        study=study,
        backends=backends,
        settings=SimpleNamespace(
            study_dir=tmp_path,
            several={
                "reference": {"teacher_int8": SimpleNamespace(identity={"name": "teacher_int8"})},
                "latency": dict.fromkeys(backends),
            },
        ),
        progress=SimpleNamespace(**dict.fromkeys(("stage", "advance", "message"), lambda *_: None)),
        check_stop=lambda: None,
        timed=lambda _: nullcontext(),
    )

    def measure(session: Any, label: str, chosen: Any) -> dict[str, Any]:
        measured.append(label)
        place = references._place(session, file)
        return {"name": label, "latencies": {}, "onnx": place, "notes": {"precision": "int8"}}

    def timed() -> dict[str, str]:
        measure_references(session)
        stored = storage.step(study.id, "reference:teacher_int8")
        reports = stored["latencies"]
        assert all(report["workload"]["precision"] == report["precision"] for report in reports.values())
        return {label: report["precision"] for label, report in reports.items()}

    monkeypatch.setattr(references, "_measure", measure)
    assert timed() == {"fast": "int8"}
    assert [subject.artifacts for subject in backends["fast"].asked] == [{"onnx": file}]
    backends["other"].busy = False
    assert timed() == {"fast": "int8", "other": "int8"}
    assert [len(backend.asked) for backend in backends.values()] == [1, 2, 0]
    assert timed() == {"fast": "int8", "other": "int8"}
    assert [len(backend.asked) for backend in backends.values()] == [1, 2, 0]
    assert measured == ["teacher_int8"]


def test_built_in_backends_say_what_they_take() -> None:
    assert formats_taken(OnnxRuntimeLatency) == {"onnx"}  # type: ignore[arg-type]
    assert formats_taken(TorchLatency) == {"huggingface"}  # type: ignore[arg-type]
    assert formats_taken(ReplayLatency) == frozenset()  # type: ignore[arg-type]


def test_parity_is_checked_with_padding_where_neighbours_are_alike() -> None:
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
