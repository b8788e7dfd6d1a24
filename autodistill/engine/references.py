"""References of a study: rows that are not distilled, measured once, after the picks are frozen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autodistill.components.latency import LatencySubject, formats_taken
from autodistill.components.students import ReferenceContext, ReferenceResult
from autodistill.configs.settings import Chosen
from autodistill.engine.cache import cache_key
from autodistill.engine.finals import time_subject
from autodistill.engine.scores import predictions_of, score_all, write_predictions
from autodistill.engine.session import Session
from autodistill.errors import TrialError
from autodistill.folders import private_directory


def measure_references(session: Session) -> None:
    """Measure every configured reference that is possible for the task; the others are named."""
    chosen = session.settings.several["reference"]
    session.progress.stage("references", len(chosen))
    for label, item in chosen.items():
        session.check_stop()
        key = cache_key(item.identity)
        stored = session.storage.step(session.study.id, f"reference:{label}")
        if stored is None or stored.get("failed") or stored.get("chosen", key) != key:
            stored = {**_measure(session, label, item), "chosen": key}
            session.storage.replace_step(session.study.id, f"reference:{label}", stored)
        if waiting := _not_timed(session, stored):
            stored = {**stored, "latencies": {**stored["latencies"], **_timed(session, stored, waiting)}}
            session.storage.replace_step(session.study.id, f"reference:{label}", stored)
        session.progress.advance()


def _measure(session: Session, label: str, chosen: Chosen) -> dict[str, Any]:
    bench = session.bench
    folder = private_directory(session.settings.study_dir / "references" / label)
    reference = bench.create(
        chosen,
        ReferenceContext(
            label=label,
            task=bench.task,
            splits=bench.data.splits,
            teacher_dir=session.teacher.directory,
            max_length=bench.max_length,
            work_dir=folder,
        ),
    )
    role = bench.final_role
    with session.timed("evaluate"):
        try:
            reason = reference.available()
            result: ReferenceResult | None = reference.measure() if reason is None else None
            answers = None if result is None else np.asarray(result.logits[role], dtype=np.float32)
        except Exception as error:  # a row beside the comparison must not cost the comparison
            return _failed(session, label, chosen, error)
    if result is None or answers is None:
        session.progress.message(f"reference {label} is left out: {reason}")
        return {"left_out": reason}
    predictions = predictions_of(bench, role, answers, session.teacher.logits(bench, role))
    try:
        score_all(bench, predictions)
    except TrialError as error:  # its answers are no numbers
        return _failed(session, label, chosen, error)
    write_predictions(folder / "predictions.parquet", predictions, role)
    return {
        "name": result.name,
        "parameters": result.parameters,
        "predictions": str((folder / "predictions.parquet").relative_to(session.settings.study_dir)),
        "latencies": {},
        "onnx": None if result.onnx_path is None else _place(session, result.onnx_path),
        "notes": dict(result.notes),
    }


def _failed(session: Session, label: str, chosen: Chosen, error: Exception) -> dict[str, Any]:
    """The row of a reference that failed, perhaps for want of memory: it is tried again by the next call."""
    failed = f"{type(error).__name__}: {error}"
    session.progress.message(f"reference {label} ({chosen.name!r} of {chosen.registered.provider}) failed: {failed}")
    return {"left_out": failed, "failed": True}


def _place(session: Session, path: Path) -> str:
    """Relative to the study's folder, which may be moved, where it lies in there."""
    folder = session.settings.study_dir
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _not_timed(session: Session, stored: Mapping[str, Any]) -> list[str]:
    """Labels of the backends that run ONNX files and have not timed a reference's, perhaps because one failed."""
    if not stored.get("onnx"):
        return []
    takes = [label for label, backend in session.backends.items() if "onnx" in formats_taken(backend)]
    return [label for label in takes if label not in stored["latencies"]]


def _timed(session: Session, stored: Mapping[str, Any], labels: Collection[str]) -> dict[str, Any]:
    subject = LatencySubject(stored["name"], None, None, {"onnx": session.settings.study_dir / stored["onnx"]})
    return time_subject(session, subject, str(stored["notes"].get("precision", "fp32")), labels)
