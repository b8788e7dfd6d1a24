"""References: which backends time them, and what is made up for by the next call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autodistill.components.latency import LatencyReport, LatencySubject
from autodistill.engine import references
from autodistill.engine.references import measure_references
from autodistill.engine.storage import Storage
from autodistill.errors import LatencyError


class Backend:
    """Times ONNX files, once it is not busy any more."""

    def __init__(self, busy: bool = False) -> None:
        self.busy = busy
        self.asked: list[LatencySubject] = []

    def measure(self, subject: LatencySubject) -> LatencyReport:
        self.asked.append(subject)
        if self.busy:
            raise LatencyError("the device is busy")
        given: dict[str, Any] = {"backend": "onnxruntime", "kind": "measured", "workload": {}, "device": "cpu"}
        return LatencyReport(**given, precision="fp32", threads=1, median=2.0)


def test_references_are_timed_by_what_runs_onnx_files_and_again_where_that_failed(
    open_storage: Callable[..., Storage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, measured = open_storage(), list[str]()
    study = storage.create_study("study", {}, {}, {}, {})
    file = tmp_path / "references" / "teacher_int8" / "teacher_int8.onnx"
    backends = {"fast": Backend(), "other": Backend(busy=True), "torch": Backend()}
    names = {"fast": "onnxruntime", "other": "onnxruntime", "torch": "torch"}
    session: Any = SimpleNamespace(
        storage=storage,
        study=study,
        backends=backends,
        settings=SimpleNamespace(
            study_dir=tmp_path,
            several={
                "reference": {"teacher_int8": SimpleNamespace(identity={"name": "teacher_int8"})},
                "latency": {label: SimpleNamespace(name=name) for label, name in names.items()},
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
        return {label: report["precision"] for label, report in stored["latencies"].items()}

    monkeypatch.setattr(references, "_measure", measure)
    assert timed() == {"fast": "int8"}
    assert [subject.artifacts for subject in backends["fast"].asked] == [{"onnx": file}]
    backends["other"].busy = False
    assert timed() == {"fast": "int8", "other": "int8"}
    assert [len(backend.asked) for backend in backends.values()] == [1, 2, 0]
    assert timed() == {"fast": "int8", "other": "int8"}
    assert [len(backend.asked) for backend in backends.values()] == [1, 2, 0]
    assert measured == ["teacher_int8"]
