"""What trained models answer as their targets run them: the price of another number format in quality.

Trials are scored as trained, in fp32. A target that times another format answers the final split as well, once per
pick and baseline: by its own runtime, in batches of the size that it times, since formats that scale activations as
they come answer by the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from autodistill.components.latency import AnsweringBackend
from autodistill.engine.finals import final_subject
from autodistill.engine.places import final_folder
from autodistill.engine.records import TrialRecord
from autodistill.engine.scores import predictions_of, score_all, write_predictions
from autodistill.engine.session import Session
from autodistill.engine.targets import QUALITY_PRECISION
from autodistill.errors import LatencyError, TrialError
from autodistill.training.predict import predict_elsewhere

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Kinds of tasks whose outputs are too many to be kept: a vocabulary's worth for every token.
UNSUITED = ("mlm",)


def answer_for_targets(session: Session, trials: Iterable[TrialRecord]) -> None:
    """Let every target of another precision answer the final split; one that cannot is named and left out.

    Args:
        session: of the study; its picks are frozen.
        trials: with a complete full run and the step ``latency:N``.
    """
    work = [(trial, *target) for trial in trials for target in _other_precisions(session, trial)]
    if work:
        session.progress.stage("answering as targets run the models", len(work))
    for trial, label, precision in work:
        stored = stored_answers(session, trial, label)
        if stored is None or "left_out" in stored:  # what failed may have lacked memory, or time
            session.check_stop()
            session.storage.replace_step(
                session.study.id, _step(trial, label), _answer(session, trial, label, precision)
            )
        session.progress.advance()


def stored_answers(session: Session, trial: TrialRecord, label: str) -> dict[str, Any] | None:
    """``precision`` and the file of ``predictions``, relative to the study's folder, or ``left_out`` with the reason;
    None before the target was asked.
    """
    found: dict[str, Any] | None = session.storage.step(session.study.id, _step(trial, label))
    return found


def _step(trial: TrialRecord, label: str) -> str:
    return f"answers:{trial.number}:{label}"


def _other_precisions(session: Session, trial: TrialRecord) -> Iterator[tuple[str, str]]:
    """Label and precision of targets that have timed the model in another than it is scored in, and can answer."""
    reports = session.storage.step(session.study.id, f"latency:{trial.number}") or {}
    for label, report in reports.items():
        able = isinstance(session.backends.get(label), AnsweringBackend)
        if able and report["precision"] != QUALITY_PRECISION and session.bench.task.kind not in UNSUITED:
            yield label, str(report["precision"])


def _answer(session: Session, trial: TrialRecord, label: str, precision: str) -> dict[str, Any]:
    bench, backend, role = session.bench, session.backends[label], session.bench.final_role
    assert isinstance(backend, AnsweringBackend)
    subject = final_subject(session, trial)

    def answer(batches: Iterable[Mapping[str, Any]]) -> Iterator[NDArray[np.float32]]:
        return backend.answer(subject, _until_stopped(session, batches))

    try:
        with session.timed("evaluate"):
            logits = predict_elsewhere(answer, bench.splits[role], backend.workload.batch_size)
            predictions = predictions_of(bench, role, logits, session.teacher.logits(bench, role))
            score_all(bench, predictions)  # fp16 may overflow, and what is no number cannot be scored
    except (LatencyError, TrialError) as error:
        session.progress.message(f"What {subject.name} answers on {label} is not known: {error}")
        return {"precision": precision, "left_out": str(error)}
    file = final_folder(session.storage, session.study, trial) / f"predictions_{label}.parquet"
    write_predictions(session.settings.study_dir / file, predictions, role)
    return {"precision": precision, "predictions": str(file)}


def _until_stopped(session: Session, batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        session.check_stop()
        yield batch
