"""From records to the table: medians over seeds with quartiles, trials to targets, paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import wilcoxon

from benchmarks.search.searchers import OURS, parse

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Trials at which hypervolumes are compared.
MARKS = (20, 40, 80)

#: What every other searcher is tested against: the default strategy with a latency that is known before training, and
#: with one that is measured, as that of the default backend is.
FIRST = ("botorch", "botorch:known=sizes")


def summarise(records: Sequence[Mapping[str, Any]], trials: int) -> dict[str, Any]:
    """Problem -> searcher -> figures."""
    problems = list(dict.fromkeys(item["problem"] for item in records))
    return {name: _problem([item for item in records if item["problem"] == name], trials) for name in problems}


def _problem(records: Sequence[Mapping[str, Any]], trials: int) -> dict[str, Any]:
    curves = _curves(records, "curve", trials)
    recommended = _curves(records, "recommended", trials)
    targets = _targets(curves)
    return {
        "targets": targets,
        "searchers": {
            name: {
                "seeds": len(by_seed),
                "hypervolume": _marks(by_seed, trials),
                "regret": _marks({seed: 1.0 - curve for seed, curve in by_seed.items()}, trials),
                "recommended": _marks(recommended[name], trials),
                "trials_to": {target: _quartiles(_first(by_seed, value)) for target, value in targets.items()},
                **_costs([item for item in records if item["searcher"] == name]),
                **_against_first(curves, recommended, name, trials),
            }
            for name, by_seed in curves.items()
        },
    }


def _curves(records: Sequence[Mapping[str, Any]], key: str, trials: int) -> dict[str, dict[int, FloatArray]]:
    """Searcher -> seed -> values after 1, 2, ... trials."""
    found: dict[str, dict[int, FloatArray]] = {}
    for item in records:
        found.setdefault(item["searcher"], {})[item["seed"]] = _padded(item[key], trials)
    return found


def _marks(by_seed: Mapping[int, FloatArray], trials: int) -> dict[str, Any]:
    return {str(mark): _quartiles(_at(by_seed, mark)) for mark in MARKS if mark <= trials}


def _against_first(
    curves: Mapping[str, Mapping[int, FloatArray]],
    recommended: Mapping[str, Mapping[int, FloatArray]],
    name: str,
    trials: int,
) -> dict[str, Any]:
    """Paired tests of what was found and of what would be recommended."""
    found: dict[str, Any] = {}
    for first in (item for item in FIRST if item != name and item in curves):
        found[f"{first}_minus"] = _tests(curves, first, name, trials)
        found[f"{first}_minus_recommended"] = _tests(recommended, first, name, trials)
    return found


def _padded(curve: Sequence[float], trials: int) -> FloatArray:
    """A search that ended early stays where it was."""
    return np.array([*curve, *[curve[-1]] * (trials - len(curve))][:trials])


def _at(by_seed: Mapping[int, FloatArray], mark: int) -> FloatArray:
    return np.array([curve[mark - 1] for curve in by_seed.values()])


def _targets(curves: Mapping[str, Mapping[int, FloatArray]]) -> dict[str, float]:
    """Median final hypervolume of random search, and of the best peer."""
    ends = {name: float(np.median([curve[-1] for curve in by_seed.values()])) for name, by_seed in curves.items()}
    ours = {parse(name).name for name in OURS}
    peers = [value for name, value in ends.items() if parse(name).name not in ours]
    found = {"random": ends["random"]} if "random" in ends else {}
    return found | ({"best_peer": max(peers)} if peers else {})


def _first(by_seed: Mapping[int, FloatArray], target: float) -> FloatArray:
    """Trials until the target is reached; infinite where it is not."""
    return np.array([1.0 + np.argmax(curve >= target) if curve[-1] >= target else np.inf for curve in by_seed.values()])


def _quartiles(values: FloatArray) -> dict[str, float | None]:
    """Median and quartiles, between two values the mean; None where one of the two is infinite."""
    finite = np.isfinite(values)
    most = values[finite].max(initial=-np.inf)
    cuts = np.quantile(np.where(finite, values, 1e12), [0.25, 0.5, 0.75])  # a mean with infinity would be no number
    return {
        name: round(float(value), 5) if value <= most else None
        for name, value in zip(("q1", "median", "q3"), cuts, strict=True)
    }


def _costs(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Repeated architectures and seconds per proposal."""
    late = [seconds for item in records for seconds in item["seconds"][-10:]]
    return {
        "repeats_median": float(np.median([item["repeats"] for item in records])),
        "last_proposals_seconds_median": round(float(np.median(late)), 4),
        "cpu_seconds_median": round(float(np.median([item["cpu_seconds"] for item in records])), 2),
    }


def _tests(curves: Mapping[str, Mapping[int, FloatArray]], first: str, name: str, trials: int) -> dict[str, Any]:
    """Median difference and two-sided Wilcoxon signed-rank test over the seeds that both have."""
    seeds = sorted(set(curves[first]) & set(curves[name]))
    found: dict[str, Any] = {}
    for mark in (mark for mark in MARKS if mark <= trials):
        gain = np.array([curves[first][seed][mark - 1] - curves[name][seed][mark - 1] for seed in seeds])
        p = float(wilcoxon(gain).pvalue) if len(seeds) > 1 and np.any(gain) else 1.0
        found[str(mark)] = {
            "median": round(float(np.median(gain)), 5),
            "wins": int((gain > 0).sum()),
            "n": len(seeds),
            "wilcoxon_p": float(f"{p:.3g}"),
        }
    return found


def show(summary: Mapping[str, Any]) -> None:
    """Print one table per problem: what was found, and below it what would be recommended where that differs."""
    for problem, found in summary.items():
        targets = ", ".join(f"{name} {value:.3f}" for name, value in found["targets"].items())
        print(f"\n{problem}: normalised hypervolume, median [quartiles]; targets at the last trial: {targets}")
        print(f"{'searcher':40s} {'n':>3s} " + " ".join(f"{mark:>21d}" for mark in MARKS) + "  trials to   s/proposal")
        rows = sorted(found["searchers"].items(), key=lambda row: -_last(row[1]["hypervolume"]))
        for name, row in rows:
            reached = "/".join(_trials(row["trials_to"].get(target)) for target in ("random", "best_peer"))
            seconds = row["last_proposals_seconds_median"]
            print(f"{name:40s} {row['seeds']:3d} {_cells(row['hypervolume'])}  {reached:>9s}  {seconds:9.2f}")
        if all(row["recommended"] == row["hypervolume"] for _, row in rows):
            continue
        print("of the front by what was observed, which one would recommend:")
        for name, row in sorted(rows, key=lambda row: -_last(row[1]["recommended"])):
            print(f"{name:40s} {row['seeds']:3d} {_cells(row['recommended'])}")


def _last(marks: Mapping[str, Any]) -> float:
    return float(list(marks.values())[-1]["median"]) if marks else 0.0


def _cells(marks: Mapping[str, Any]) -> str:
    return " ".join(_cell(marks.get(str(mark))) for mark in MARKS)


def _cell(cuts: Mapping[str, float] | None) -> str:
    return f"{'':>21s}" if cuts is None else f"{cuts['median']:.3f} [{cuts['q1']:.3f}, {cuts['q3']:.3f}]"


def _trials(cuts: Mapping[str, float | None] | None) -> str:
    return "-" if cuts is None or cuts["median"] is None else f"{cuts['median']:g}"
