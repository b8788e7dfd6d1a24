"""Metrics as pure functions of labels and answers: shares, F1, Matthews, Pearson, Spearman.

A metric that is no mean of contributions is written as a function of the examples' weights, so that one piece of code
gives its value (all weights 1), its variance and its intervals (weights drawn by a bootstrap). Values equal those of
scikit-learn and SciPy; where these warn or answer NaN for want of variation, the value here is 0: nothing was learnt.

.. [Gorodkin2004] Comparing two K-category assignments by a K-category correlation coefficient. Computational Biology
   and Chemistry 28 (the multi-class form of Matthews' coefficient).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from autodistill.components.outcome import Score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.outcome import FloatArray, WeightedMetric

#: Bootstrap draws for a variance: the standard error is then known to about 5 %.
VARIANCE_DRAWS = 200

#: Bounds of a share or an F1, of a correlation, and of a loss or an error.
SHARE, CORRELATION, LOSS = (0.0, 1.0), (-1.0, 1.0), (0.0, float("inf"))

#: Numbers that a chunk of draws may hold, 8 bytes each.
CHUNK = 4_000_000


def draws(n: int, count: int, seed: int) -> Iterator[FloatArray]:
    """Weights of bootstrap samples, chunk by chunk: how often each of ``n`` examples is drawn, ``count`` times over.

    Returns:
        Arrays of draws x examples, float64, each row with the sum ``n``.
    """
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK // max(n, 1))
    for start in range(0, count, chunk):
        size = min(chunk, count - start)
        places = generator.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(places.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def weighted_score(
    metric: WeightedMetric, n: int, bounds: tuple[float, float] | None = None, worth: float | None = None
) -> Score:
    """The score of a metric that is a function of the examples' weights, its variance by a bootstrap."""
    value = float(metric(np.ones((1, n)))[0])
    values = np.concatenate([metric(weights) for weights in draws(n, VARIANCE_DRAWS, seed=0)])
    return Score(value, float(values.var(ddof=1)) if n > 1 else None, None, metric, n, bounds=bounds, worth=worth)


def is_share(score: Score) -> bool:
    """Whether a metric is a share: by its bounds, or by contributions that are all 0 or 1 where it has none."""
    if score.bounds is None and score.per_example is not None:
        return bool(np.isin(score.per_example, (0, 1)).all())
    return score.bounds == SHARE


def worth_of(score: Score) -> float | None:
    """See `Score.worth`, which is 1 of a share; None where a metric is not of right and wrong answers."""
    return 1.0 if score.worth is None and is_share(score) else score.worth


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """The quotient, 0 where the denominator is 0."""
    result: FloatArray = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
    return result


def _one_hot(values: NDArray[np.int64], classes: int) -> FloatArray:
    marked: FloatArray = (values[:, None] == np.arange(classes)).astype(np.float64)
    return marked


# -- shares and F1 -----------------------------------------------------------------------------------------------


def by_owner(values: NDArray[Any], owners: NDArray[np.int64] | None, examples: int) -> FloatArray:
    """Sum rows that belong to one example: words of a sentence are no independent examples.

    Args:
        values: rows, or rows x columns.
        owners: rows; None when rows are examples.
        examples: how many there are.
    """
    if owners is None:
        return np.asarray(values, dtype=np.float64)
    total = np.zeros((examples, *np.shape(values)[1:]))
    np.add.at(total, owners, values)
    return total


def pooled_mean(
    values: FloatArray,
    owners: NDArray[np.int64],
    examples: int,
    counted: int | None = None,
    bounds: tuple[float, float] | None = None,
) -> Score:
    """Mean over rows (words, masked tokens) whose uncertainty is that of the sampling of examples.

    Args:
        values: rows.
        owners: rows: the example of each.
        examples: how many there are.
        counted: see `Score`.
        bounds: see `Score`; of a share, a row is worth its share of an example.
    """
    total, rows = by_owner(values, owners, examples), by_owner(np.ones(len(values)), owners, examples)
    worth = examples / len(values) if bounds == SHARE else None
    score = weighted_score(lambda weights: _ratio(weights @ total, weights @ rows), examples, bounds, worth)
    return replace(score, value=float(np.mean(values)), counted=counted)


class ClassCounts:
    """Hits, labels and answers of each example and class: what every F1 is made of.

    Args:
        labels: rows x classes, 0 or 1.
        answers: likewise.
        owners: rows; None when rows are examples.
        examples: how many there are.
    """

    def __init__(
        self, labels: NDArray[Any], answers: NDArray[Any], owners: NDArray[np.int64] | None, examples: int
    ) -> None:
        truth, given = labels.astype(np.float64), answers.astype(np.float64)
        self.examples, self.rows, self.decisions = examples, len(labels), labels.size
        self.positives = truth.sum(axis=0)
        self.hits = by_owner(truth * given, owners, examples)
        self.both = by_owner(truth, owners, examples) + by_owner(given, owners, examples)

    @classmethod
    def of_classes(
        cls,
        labels: NDArray[np.int64],
        answers: NDArray[np.int64],
        classes: int,
        owners: NDArray[np.int64] | None = None,
        examples: int | None = None,
    ) -> ClassCounts:
        """From one class per row."""
        many = len(labels) if examples is None else examples
        return cls(_one_hot(labels, classes), _one_hot(answers, classes), owners, many)

    def macro_f1(self, *, absent: bool) -> Score:
        """Mean F1 of the classes; a class that occurs nowhere counts 0 when ``absent``, else it is left out."""

        def metric(weights: FloatArray) -> FloatArray:
            both = weights @ self.both
            counted = np.ones_like(both) if absent else (both > 0).astype(np.float64)
            return _ratio(_ratio(2 * (weights @ self.hits), both).sum(axis=1), counted.sum(axis=1))

        return weighted_score(metric, self.examples, SHARE, self._worth_in_macro_f1())

    def micro_f1(self) -> Score:
        """F1 of all decisions together."""
        hits, both, positives = self.hits.sum(axis=1), self.both.sum(axis=1), float(self.positives.sum())
        # Of P positives, one that is missed or one answer too many takes 1 / (2 P) from an F1 of 1; where they are most
        # of the decisions, an answer is worth no less than its share of these.
        worth = self.examples / min(2 * positives, self.decisions) if positives else None
        return weighted_score(lambda weights: _ratio(2 * (weights @ hits), weights @ both), self.examples, SHARE, worth)

    def _worth_in_macro_f1(self) -> float | None:
        """What a wrong answer, about any row alike, takes from the mean F1: its own class misses, another has one more.

        Classes without a label are left out.
        """
        positives = self.positives[self.positives > 0]
        if not len(positives) or not self.rows:
            return None
        own = positives / self.rows
        others = (1 - own) / max(1, len(self.positives) - 1)
        return float(self.examples * ((own + others) / (2 * positives)).mean())


def binary_f1(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> Score:
    """F1 of class 1, as GLUE computes it for MRPC and QQP.

    Args:
        labels: examples, 0 or 1.
        answers: likewise.
    """
    return ClassCounts((labels == 1)[:, None], (answers == 1)[:, None], None, len(labels)).micro_f1()


def macro_f1(labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int) -> Score:
    """Mean F1 over the classes that occur among labels or answers.

    Args:
        labels: examples, whole numbers from 0.
        answers: examples, likewise.
        classes: how many there are.
    """
    return ClassCounts.of_classes(labels, answers, classes).macro_f1(absent=False)


def many_label_f1(labels: NDArray[Any], answers: NDArray[Any]) -> dict[str, Score]:
    """``micro_f1`` (all decisions together) and ``macro_f1`` (mean over all classes) where examples have many labels.

    Args:
        labels: examples x classes, 0 or 1.
        answers: likewise.
    """
    counts = ClassCounts(labels, answers, None, len(labels))
    return {"micro_f1": counts.micro_f1(), "macro_f1": counts.macro_f1(absent=True)}


# -- correlations ------------------------------------------------------------------------------------------------


def matthews(labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int) -> Score:
    """Matthews' correlation coefficient, for any number of classes [Gorodkin2004]_; 0 when one side is constant.

    Args:
        labels: examples, whole numbers from 0.
        answers: examples, likewise.
        classes: how many there are.
    """
    truth, given = _one_hot(labels, classes), _one_hot(answers, classes)
    correct = (labels == answers).astype(np.float64)
    # Of n answers, one that is wrong takes about 1 / (n (1 - sum of squares of the classes' shares)) from a value of 1.
    mixed = 1.0 - float((truth.mean(axis=0) ** 2).sum()) if len(labels) else 0.0

    def metric(weights: FloatArray) -> FloatArray:
        n = weights.sum(axis=1)
        wanted, answered = weights @ truth, weights @ given
        covariance = (weights @ correct) * n - (wanted * answered).sum(axis=1)
        spread = (n**2 - (wanted**2).sum(axis=1)) * (n**2 - (answered**2).sum(axis=1))
        return _ratio(covariance, np.sqrt(spread))

    return weighted_score(metric, len(labels), CORRELATION, 1.0 / mixed if mixed > 0 else None)


def _weighted_pearson(x: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    """Pearson's correlation under weights; ``x`` and ``y`` are examples, or draws x examples."""
    n = weights.sum(axis=1)

    def centred(values: FloatArray) -> FloatArray:
        values = np.broadcast_to(values, weights.shape)
        moved: FloatArray = values - ((weights * values).sum(axis=1) / n)[:, None]
        return moved

    left, right = centred(x), centred(y)
    products = [(weights * a * b).sum(axis=1) for a, b in ((left, right), (left, left), (right, right))]
    # What is left of equal numbers after centring is rounding, not variation.
    scale = [np.finfo(np.float64).eps * np.abs(values).max(initial=0.0) for values in (x, y)]
    varies = (products[1] > 16 * n * scale[0] ** 2) & (products[2] > 16 * n * scale[1] ** 2)
    r = np.where(varies, _ratio(products[0], np.sqrt(products[1]) * np.sqrt(products[2])), 0.0)
    result: FloatArray = np.clip(r, -1.0, 1.0)
    return result


def pearson(labels: FloatArray, answers: FloatArray) -> Score:
    """Pearson's correlation; 0 when one side is constant.

    Args:
        labels: examples.
        answers: examples.
    """
    x, y = np.asarray(labels, dtype=np.float64), np.asarray(answers, dtype=np.float64)
    x, y = x - x.mean(), y - y.mean()  # for digits: centring under weights then subtracts little
    return weighted_score(lambda weights: _weighted_pearson(x, y, weights), len(x), CORRELATION)


class _Ranks:
    """Mid-ranks of values under weights: where an example stands when each counts as often as its weight says."""

    def __init__(self, values: FloatArray) -> None:
        distinct, self._group = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
        self._order = np.argsort(self._group, kind="stable")
        self._starts = np.searchsorted(self._group[self._order], np.arange(len(distinct)))

    def __call__(self, weights: FloatArray) -> FloatArray:
        """Draws x examples; equal weights of 1 give the usual average ranks, less 1/2."""
        sizes = np.add.reduceat(weights[:, self._order], self._starts, axis=1)
        middles = np.cumsum(sizes, axis=1) - sizes / 2
        ranks: FloatArray = middles[:, self._group]
        return ranks


def spearman(labels: FloatArray, answers: FloatArray) -> Score:
    """Spearman's rank correlation, ties at their mean rank; 0 when one side is constant.

    Args:
        labels: examples.
        answers: examples.
    """
    x, y = _Ranks(labels), _Ranks(answers)

    def metric(weights: FloatArray) -> FloatArray:
        return _weighted_pearson(x(weights), y(weights), weights)

    score = weighted_score(metric, len(labels), CORRELATION)
    return replace(score, value=pearson_value(rankdata(labels), rankdata(answers)))


def pearson_value(x: FloatArray, y: FloatArray) -> float:
    """Pearson's correlation of two columns; 0 when one is constant."""
    return float(_weighted_pearson(np.asarray(x) - np.mean(x), np.asarray(y) - np.mean(y), np.ones((1, len(x))))[0])
