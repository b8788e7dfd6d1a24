"""Tasks as heads of stock transformers models: class names, label fields and widths of the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autodistill.components.task import TaskSpec
from autodistill.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Head:
    """What stands on top of an encoder.

    Args:
        suffix: of the transformers class, e.g. ``"ForMaskedLM"``.
        pooled: whether the encoder keeps its pooler (a dense layer on the first token).
    """

    suffix: str
    pooled: bool


HEADS: dict[str, Head] = {
    "classification": Head("ForSequenceClassification", pooled=True),
    "regression": Head("ForSequenceClassification", pooled=True),
    "token_classification": Head("ForTokenClassification", pooled=False),
    "question_answering": Head("ForQuestionAnswering", pooled=False),
    "mlm": Head("ForMaskedLM", pooled=False),
    "embedding": Head("Model", pooled=True),
}

#: Logits per token of extractive question answering: start and end.
SPAN_LOGITS = 2


def head_of(task: TaskSpec) -> Head:
    """The head of a task.

    Raises:
        ConfigError: the kind of task is unknown, or classes are asked for and none are named.
    """
    if task.kind not in HEADS:
        raise ConfigError(f"The task kind {task.kind!r} is unknown to student families; known are {', '.join(HEADS)}.")
    if task.kind in ("classification", "token_classification") and not task.labels:
        raise ConfigError(
            f"A {task.kind.replace('_', ' ')} task needs its class names before a model can be built, and it has none. "
            "Name them in the data source, or use a teacher whose checkpoint has a classification head."
        )
    return HEADS[task.kind]


def head_width(task: TaskSpec) -> int:
    """Outputs of the linear layer that the head adds to the encoder; 0 where the head is not of that form."""
    return {
        "classification": task.num_labels,
        "regression": 1,
        "token_classification": task.num_labels,
        "question_answering": SPAN_LOGITS,
    }.get(task.kind, 0)


def label_fields(task: TaskSpec) -> dict[str, Any]:
    """Fields of a transformers configuration that say what the logits mean."""
    if task.kind == "regression":
        return {"num_labels": 1, "problem_type": "regression"}
    if task.kind not in ("classification", "token_classification"):
        return {}
    names = dict(enumerate(task.labels))
    fields: dict[str, Any] = {"id2label": names, "label2id": {name: index for index, name in names.items()}}
    if task.kind == "classification":
        fields["problem_type"] = "multi_label_classification" if task.multi_label else "single_label_classification"
    return fields
