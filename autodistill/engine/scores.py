"""From logits to metrics: predictions on a split, every evaluator's scores, and what is stored of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.outcome import Predictions, Score, of_test_alone
from autodistill.engine.score_statistics import estimate
from autodistill.engine.workbench import Workbench
from autodistill.folders import private_directory
from autodistill.training.packed import PackedSplit
from autodistill.training.predict import targets_of

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray


def predictions_of(bench: Workbench, role: str, logits: FloatArray, teacher_logits: FloatArray | None) -> Predictions:
    """A model's answers on a split, with ids, labels and what else evaluators need of it."""
    split, task = bench.splits[role], bench.task
    if task.kind == "question_answering":
        source = bench.data.splits[role]
        accepted = None if task.label_free else [list(answers["text"]) for answers in source["answers"]]
        ids, contexts = [str(one) for one in source["id"]], list(source[task.text_columns[1]])
        return Predictions(ids, logits, accepted, teacher_logits, task, texts=contexts)
    targets = targets_of(split)
    groups = split.documents if isinstance(split, PackedSplit) else None
    return Predictions(split.ids, logits, targets.labels, teacher_logits, task, targets.owners, groups=groups)


def score_all(bench: Workbench, predictions: Predictions) -> dict[str, Score]:
    """Metrics ``<label>.<metric>`` of every evaluator that scores predictions on this split."""
    return {
        f"{label}.{name}": score
        for label, evaluator in bench.evaluators.items()
        if not evaluator.before_training and not (predictions.labels is None and of_test_alone(evaluator, bench.task))
        for name, score in evaluator.score(predictions).items()
    }


def stored_metrics(scores: Mapping[str, Score], split: str) -> dict[str, dict[str, Any]]:
    """Scores as the storage keeps them, with their 95 % intervals, which their variances alone do not tell."""
    return {name: _stored(score, split) for name, score in scores.items()}


def _stored(score: Score, split: str) -> dict[str, Any]:
    found = estimate(score)
    kept = {"value": score.value, "variance": score.variance, "low": found.low, "high": found.high}
    return {**kept, "n": found.n, "split": split}


def write_predictions(path: Path, predictions: Predictions, split: str) -> None:
    """Write ids and logits (no texts) as Parquet; an example has as many lines as rows belong to it."""
    import pyarrow
    import pyarrow.parquet

    private_directory(path.parent)
    ids, owners = predictions.ids, predictions.owners
    named = list(ids) if owners is None else [ids[owner] for owner in owners.tolist()]
    table = pyarrow.table(
        {
            "id": named,
            "split": [split] * len(named),
            "logits": pyarrow.array(
                list(np.asarray(predictions.logits, dtype=np.float32)), pyarrow.list_(pyarrow.float32())
            ),
        }
    )
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    pyarrow.parquet.write_table(table, scratch)
    os.replace(scratch, path)


def read_logits(path: Path) -> FloatArray:
    """Read back the logits that `write_predictions` wrote: examples x classes."""
    import pyarrow.parquet

    column = pyarrow.parquet.read_table(path, columns=["logits"]).column("logits")
    return np.array(column.to_pylist(), dtype=np.float32)
