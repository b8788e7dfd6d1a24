"""Scores of a model that gives every word a class, against reference labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.evaluators.classification import checked_labels, cross_entropy
from autodistill.evaluators.entities import OUTSIDE, are_entity_tags, entity_f1
from autodistill.evaluators.measures import LOSS, SHARE, ClassCounts, pooled_mean
from autodistill.evaluators.scoring import checked_logits, describes_nothing, rows_of


class TokenClassification:
    """``f1`` (all decisions about classes other than ``O`` together), ``macro_f1`` (mean over the classes that occur,
    ``O`` included), ``accuracy`` and ``loss`` (nats), over words, as scikit-learn has them; and ``entity_f1``, over
    whole entities as seqeval has it, where the classes are tags such as ``B-PER`` and ``I-PER``.

    Words of one sentence are no independent examples: uncertainty is that of the sampling of sentences.
    """

    metrics: Mapping[str, Direction] = {
        "entity_f1": "maximize",
        "f1": "maximize",
        "macro_f1": "maximize",
        "accuracy": "maximize",
        "loss": "minimize",
    }
    before_training = False
    needs_teacher = False

    def supports(self, task: TaskSpec) -> str | None:
        """None for classification of words with labels, else the reason why not."""
        if task.kind != "token_classification":
            return f"it scores classes of words, the task is {task.kind}"
        return "the task has no reference labels; use the evaluator 'agreement'" if task.label_free else None

    def metrics_of(self, task: TaskSpec) -> Mapping[str, Direction]:
        """The metrics that this task has."""
        tags = are_entity_tags(task.labels)
        return {name: direction for name, direction in self.metrics.items() if tags or name != "entity_f1"}

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise describes_nothing("token_classification")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Score the words of a split with labels.

        Raises:
            DataError: the split has no labels, or some that are no classes.
            TrialError: the model has diverged.
        """
        logits = checked_logits(predictions.logits, rows_of(predictions))
        labels = checked_labels(predictions.labels, *logits.shape)
        answers, classes, examples = logits.argmax(axis=1), logits.shape[1], len(predictions.ids)
        owners = np.arange(len(labels)) if predictions.owners is None else predictions.owners
        named = np.array([one for one in range(classes) if predictions.task.labels[one] != OUTSIDE], dtype=np.int64)
        counts = ClassCounts.of_classes(labels, answers, classes, owners, examples)
        named_counts = ClassCounts(labels[:, None] == named, answers[:, None] == named, owners, examples)
        tags = predictions.task.labels
        of_entities = {"entity_f1": entity_f1(labels, answers, tags, owners, examples)} if are_entity_tags(tags) else {}
        return {
            **of_entities,
            "f1": named_counts.micro_f1(),
            "macro_f1": counts.macro_f1(absent=False),
            "accuracy": pooled_mean((answers == labels).astype(np.float64), owners, examples, bounds=SHARE),
            "loss": pooled_mean(cross_entropy(logits, labels), owners, examples, bounds=LOSS),
        }
