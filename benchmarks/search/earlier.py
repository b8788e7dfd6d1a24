"""Earlier studies to start from warmly: one of a related problem, as after a change of teacher, and an unrelated one.

Both have seen 40 random architectures of the same space, with the noise of its trials. ``related``: the true accuracy
with a smaller slope, and a smooth deviation whose spread is a third of it, which reorders architectures as another
teacher would. ``unrelated``: a smooth function that has nothing to do with it; a search must not be worse for having
seen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import EarlierStudy, History
from benchmarks.search.problems import ACCURACY, LATENCY, Problem

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

KINDS = ("related", "unrelated")

#: Trials of the earlier study.
TRIALS = 40

#: Of the related study: slope on the true accuracy, and the deviation's share of its spread.
SLOPE, DEVIATION = 0.8, 1 / 3


def earlier_study(problem: Problem, kind: str, seed: int) -> EarlierStudy:
    """An earlier study of the given kind."""
    drawn = list(dict.fromkeys(problem.space.sample(2 * TRIALS, seed + 1)))[:TRIALS]
    truth = problem.truth(drawn)
    accuracy = truth[ACCURACY.metric]
    smooth = smooth_values(problem, drawn, seed) * float(accuracy.std())
    count, variance = len(drawn), problem.observe(drawn[0], 0, seed)[1]
    values = SLOPE * accuracy + DEVIATION * smooth if kind == "related" else accuracy.mean() + smooth
    values += np.sqrt(variance) * np.random.default_rng([seed, 1]).standard_normal(count)  # as flash scores have it
    history = History(
        architectures=tuple(drawn),
        replicates=(0,) * count,
        states=("complete",) * count,
        in_space=(True,) * count,
        metrics={ACCURACY.metric: values, LATENCY.metric: truth[LATENCY.metric]},
        variances={ACCURACY.metric: np.full(count, variance), LATENCY.metric: np.zeros(count)},
        told=tuple(range(count)),
        notes=(None,) * count,
    )
    return EarlierStudy(kind, problem.space, history)


def smooth_values(problem: Problem, architectures: Sequence[Architecture], seed: int) -> FloatArray:
    """A random linear function of the encoding plus products of pairs, with mean 0 and deviation 1."""
    rng = np.random.default_rng(seed)
    encoded = problem.space.encode(architectures) - 0.5
    linear = encoded @ rng.standard_normal(encoded.shape[1])
    first, second = rng.integers(encoded.shape[1], size=(2, encoded.shape[1]))
    values = linear + 2 * (encoded[:, first] * encoded[:, second]) @ rng.standard_normal(len(first))
    standardised: FloatArray = (values - values.mean()) / values.std()
    return standardised
