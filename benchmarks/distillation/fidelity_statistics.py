"""Statistics of flash fidelity: rank correlations with intervals, what is left given latency, and the regret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import kendalltau, rankdata, spearmanr

from autodistill.pareto import hypervolume, non_dominated

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Resamples of the architectures for an interval.
RESAMPLES = 2000


def correlations(one: FloatArray, other: FloatArray) -> dict[str, Any]:
    """Spearman and Kendall (tau-b) with 95 % bootstrap intervals over the architectures.

    Args:
        one: a value per architecture, or several replicates of it (``replicates x architectures``).
        other: the same; all pairs of replicates are averaged.
    """
    first, second = np.atleast_2d(one), np.atleast_2d(other)
    found: dict[str, Any] = {"n": first.shape[1]}
    for name, statistic in (("spearman", spearmanr), ("kendall", kendalltau)):
        value, low, high = _with_interval(first, second, statistic)
        found[name] = {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}
    return found


def _with_interval(first: FloatArray, second: FloatArray, statistic: Callable[..., Any]) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    count = first.shape[1]
    value = _mean(first, second, statistic)
    draws = [_mean(first[:, rows], second[:, rows], statistic) for rows in rng.integers(0, count, (RESAMPLES, count))]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return value, float(low), float(high)


def _mean(first: FloatArray, second: FloatArray, statistic: Callable[..., Any]) -> float:
    """The mean over all pairs of replicates; a constant column has no rank correlation and counts as 0."""
    values = [
        0.0 if np.ptp(one) == 0 or np.ptp(other) == 0 else float(statistic(one, other)[0])
        for one in first
        for other in second
    ]
    return float(np.mean(values))


def given(values: FloatArray, known: FloatArray) -> FloatArray:
    """Ranks of the values without what the ranks of ``known`` explain linearly: for partial rank correlations."""
    design = np.column_stack([np.ones(len(values)), rankdata(known)])
    ranks = rankdata(values)
    solution, *_ = np.linalg.lstsq(design, ranks, rcond=None)
    left: FloatArray = ranks - design @ solution
    return left


def regret(flash: FloatArray, full: FloatArray, latency: FloatArray, floor: float) -> float:
    """Share of the hypervolume that is lost by training in full what is on the front of the flash scores.

    Args:
        flash: score per architecture by which is chosen, more is better.
        full: score that counts.
        latency: milliseconds, less is better; its logarithm is taken.
        floor: trivial score, the reference point together with the largest latency.
    """
    costs = np.log(latency)
    reference = (-floor, float(costs.max()) + 1e-9)
    chosen = non_dominated(np.column_stack([-flash, costs]))
    everything = np.column_stack([-full, costs])
    best = hypervolume(everything, reference)
    return 0.0 if best <= 0 else 1.0 - hypervolume(everything[chosen], reference) / best


def judge(
    flash: FloatArray, full: FloatArray, sizes: Mapping[str, FloatArray], latency: FloatArray, floor: float
) -> dict[str, Any]:
    """Everything that is said about one fidelity.

    Args:
        flash: ``seeds x architectures``.
        full: ``seeds x architectures``.
        sizes: name -> what is known before training, per architecture.
        latency: milliseconds per architecture.
        floor: trivial score.
    """
    ceiling = correlations(full[:1], full[1:]) if len(full) > 1 else None
    mean_full = full.mean(axis=0)
    predictor = correlations(flash, full)
    found: dict[str, Any] = {
        "flash_with_full": predictor,
        "flash_mean_with_full_mean": correlations(flash.mean(axis=0), mean_full),
        "full_with_full_between_seeds": ceiling,
        "flash_with_flash_between_seeds": correlations(flash[:1], flash[1:]) if len(flash) > 1 else None,
        "flash_with_full_given_latency": correlations(
            np.stack([given(row, latency) for row in flash]), np.stack([given(row, latency) for row in full])
        ),
        "predictors": {name: correlations(values, full) for name, values in sizes.items()},
        "regret": round(float(np.mean([regret(row, mean_full, latency, floor) for row in flash])), 5),
        "regret_of_log_flops": round(regret(np.log(sizes["flops"]), mean_full, latency, floor), 5),
    }
    if ceiling is not None and ceiling["spearman"]["value"] > 0:
        found["share_of_ceiling"] = round(predictor["spearman"]["value"] / ceiling["spearman"]["value"], 4)
    return found
