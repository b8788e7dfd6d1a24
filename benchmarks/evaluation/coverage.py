"""How often do the intervals cover the truth?

    python -m benchmarks.evaluation.coverage --repetitions 1000

Draws test sets from models whose true scores are known, makes the 95 % interval of each, and counts. Single scores
(accuracy, also of questions that share paragraphs, F1, Matthews, Spearman), paired differences of two models that share
what is hard, also of answers of which five are about a paragraph or 200 about a document (all differ, or only a few),
and means over three seeds whose true accuracies scatter. The standard error of a coverage is given beside it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autodistill.components.outcome import Score
from autodistill.engine.score_statistics import Estimate, difference, difference_over_seeds, estimate, over_seeds
from autodistill.evaluators.measures import SHARE, binary_f1, matthews, pooled_mean, spearman
from autodistill.evaluators.scoring import proportion
from benchmarks.evaluation.results import output_of, write_section
from benchmarks.sections import script_parser

#: Test examples: RTE and MRPC have about so many, SST-2 twice as many.
SIZES = (100, 400)

#: Examples from which the truth of a metric without a closed form is computed.
TRUTH = 100_000

Draw = Callable[[np.random.Generator, int], Estimate]


def answers(generator: Any, labels: Any, accuracy: float) -> Any:
    """Labels that are right with a probability."""
    return np.where(generator.random(len(labels)) < accuracy, labels, 1 - labels)


def labels_of(generator: Any, n: int) -> Any:
    """Three of ten examples are of class 1."""
    return (generator.random(n) < 0.3).astype(np.int64)


def right(generator: Any, n: int, accuracy: float) -> Score:
    """The accuracy of a model on one test set."""
    return proportion(generator.random(n) < accuracy)


def classified(metric: Callable[[Any, Any], Score]) -> Callable[[Any, int], Score]:
    """A metric of a model with 85 % right answers."""

    def draw(generator: Any, n: int) -> Score:
        labels = labels_of(generator, n)
        return metric(labels, answers(generator, labels, 0.85))

    return draw


def ranked(generator: Any, n: int) -> Score:
    """Spearman's correlation of answers to labels that are rounded to halves, as in STS-B."""
    x = generator.normal(size=n)
    y = 0.88 * x + math.sqrt(1 - 0.88**2) * generator.normal(size=n)
    return spearman(np.round(2 * x) / 2, y)


def paired(metric: Callable[[Any, Any], Score]) -> Callable[[Any, int], tuple[Score, Score]]:
    """A metric of two models, the second of which repeats most answers of the first."""

    def draw(generator: Any, n: int) -> tuple[Score, Score]:
        labels = labels_of(generator, n)
        first = answers(generator, labels, 0.80)
        second = np.where(generator.random(n) < 0.2, answers(generator, labels, 0.95), first)
        return metric(labels, second), metric(labels, first)

    return draw


def accuracy(labels: Any, given: Any) -> Score:
    """The share of right answers."""
    return proportion(labels == given)


def mcc(labels: Any, given: Any) -> Score:
    """Matthews' coefficient of two classes."""
    return matthews(labels, given, 2)


def hardness(generator: Any, n: int) -> Any:
    """How far a test set's examples are from being as hard as most, in answers of ten that are right."""
    return np.tanh(generator.normal(0.0, 0.5, size=n))


def seeds(generator: Any, hard: Any, mean: float) -> list[Score]:
    """Three training runs whose accuracies scatter by two points, on one test set whose examples differ in hardness."""
    shares = generator.normal(mean, 0.02, size=3)
    return [proportion(generator.random(len(hard)) < np.clip(share + 0.1 * hard, 0.0, 1.0)) for share in shares]


def two_recipes(generator: Any, n: int) -> Estimate:
    """The interval of what one recipe gains over another, by three seeds of each on one test set."""
    hard = hardness(generator, n)
    return difference_over_seeds(seeds(generator, hard, 0.8), seeds(generator, hard, 0.75))


def shared(generator: Any, n: int, mean: float) -> Score:
    """Right answers to questions, five about each paragraph; some paragraphs are hard."""
    paragraphs = n // 5
    owners = np.repeat(np.arange(paragraphs), 5)
    shares = generator.beta(4 * mean, 4 * (1 - mean), size=paragraphs)[owners]
    right = (generator.random(len(owners)) < shares).astype(np.float64)
    return pooled_mean(right, owners, paragraphs, bounds=SHARE)


def pooled(documents: int, rows: int, *, differ: float, gain: float) -> Callable[[Any], tuple[Score, Score]]:
    """Right answers of two models about the same documents, of which some are hard for both.

    In a share of the documents one answer of five is right in one model alone; how much more often that is the second
    model scatters by two points among documents. What it gains in truth is ``differ * gain``.

    Args:
        documents: that are sampled.
        rows: answers about each.
        differ: share of the documents in which answers differ.
        gain: of the second model in one of these, at most 0.1.
    """
    owners = np.repeat(np.arange(documents), rows)

    def draw(generator: Any) -> tuple[Score, Score]:
        hard, gains = generator.beta(3.2, 0.8, size=documents), generator.normal(gain, 0.02, size=documents)
        both = generator.random(len(owners)) < hard[owners]
        one = (generator.random(len(owners)) < 0.2) & (generator.random(documents) < differ)[owners]
        second = generator.random(len(owners)) < (0.5 + gains / 0.4)[owners]
        ours, theirs = np.where(one, second, both), np.where(one, ~second, both)
        return score(ours), score(theirs)

    def score(right: Any) -> Score:
        return pooled_mean(right.astype(np.float64), owners, documents, bounds=SHARE)

    return draw


def single(draw: Callable[[Any, int], Score]) -> tuple[Draw, float]:
    """Intervals of one score, and its truth."""
    truth = draw(np.random.default_rng(99), TRUTH).value
    return (lambda generator, n: estimate(draw(generator, n))), truth


def between(draw: Callable[[Any, int], tuple[Score, Score]]) -> tuple[Draw, float]:
    """Intervals of a paired difference, and its truth."""
    ours, theirs = draw(np.random.default_rng(99), TRUTH)
    return (lambda generator, n: difference(*draw(generator, n))), ours.value - theirs.value


def between_pooled(rows: int, examples: int, differ: float, gain: float) -> tuple[Draw, float]:
    """Intervals of a paired difference of answers about documents, one for so many of the ``n`` examples; its truth."""

    def draw(generator: Any, n: int) -> Estimate:
        return difference(*pooled(n // examples, rows, differ=differ, gain=gain)(generator))

    return draw, differ * gain


def cases() -> dict[str, Callable[[], tuple[Draw, float]]]:
    """Name -> what gives (how an interval is drawn, the truth), which may take a while."""
    return {
        "accuracy 0.9": lambda: (lambda generator, n: estimate(right(generator, n, 0.9)), 0.9),
        "f1": lambda: single(classified(binary_f1)),
        "matthews": lambda: single(classified(mcc)),
        "spearman": lambda: single(ranked),
        "questions of paragraphs": lambda: (lambda generator, n: estimate(shared(generator, n, 0.8)), 0.8),
        "paired accuracy": lambda: between(paired(accuracy)),
        "paired f1": lambda: between(paired(binary_f1)),
        "paired matthews": lambda: between(paired(mcc)),
        "paired answers of paragraphs": lambda: between_pooled(5, 5, 1.0, 0.02),
        "paired answers of documents": lambda: between_pooled(200, 1, 1.0, 0.02),
        "paired, few documents differ": lambda: between_pooled(200, 1, 0.05, 0.0),
        "three seeds": lambda: (lambda generator, n: over_seeds(seeds(generator, hardness(generator, n), 0.8)), 0.8),
        "three seeds, difference": lambda: (two_recipes, 0.05),
    }


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    return {"repetitions": given.repetitions, "level": 0.95, "only": given.only}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--only", nargs="+", help="names of cases")
    return parser


def main() -> None:
    """Count, print and write."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, "coverage", settings_of)
    results: dict[str, dict[str, Any]] = {}
    for name, make in cases().items():
        if given.only and name not in given.only:
            continue
        draw, truth = make()
        for n in SIZES:
            generator = np.random.default_rng(n)
            found = [draw(generator, n) for _ in range(given.repetitions)]
            ends = [(one.low, one.high) for one in found if one.low is not None and one.high is not None]
            covered = sum(low <= truth <= high for low, high in ends) / given.repetitions  # none at all is a miss
            widths = [high - low for low, high in ends]
            error = math.sqrt(max(covered * (1 - covered), 0.0) / given.repetitions)
            key = f"{name}, n = {n}"
            width = float(np.median(widths))
            results[key] = {"coverage": float(covered), "standard_error": error, "median_width": width}
            print(f"{key:34} {covered:.1%} ± {error:.1%}, median width {width:.4f}")
    write_section(output, "coverage", settings_of(given), results)


if __name__ == "__main__":
    main()
