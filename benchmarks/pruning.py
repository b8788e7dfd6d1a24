"""What pruners save and what they lose: recorded flash runs are replayed in many orders, stopped or not.

A study explored with `pruner=none` and rungs has the whole learning curve of every trial. Replaying it with another
pruner tells exactly which runs would have been stopped at which rung, without training anything again:

    autodistill explore experiment=quickstart study.name=curves budget.trials=40 'pruner.rungs=[0.25,0.5]'
    .venv/bin/python benchmarks/pruning.py --study curves --storage sqlite:///outputs/studies.db

Without `--study`, toy curves with a closed form take its place (`autodistill.testing.pruners`): small models learn
fast, large ones end higher; every replay draws other architectures and other noise.

Per pruner and over all replays: share of the examples of all flash runs that was not read, share of the hypervolume of
the complete study that is left (of scores at the end, relative to the teacher where a study is replayed), and trials of
the front that were stopped. The order in which trials come is random; a search would choose it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from autodistill.components.pruning import Pruner, PrunerContext, TrialCurve
from autodistill.engine.environment import describe_environment
from autodistill.engine.pruning import read_curves
from autodistill.engine.relative import relative
from autodistill.engine.storage import Storage
from autodistill.engine.summary import SummaryBuilder
from autodistill.pareto import hypervolume, non_dominated
from autodistill.pruners.configs import LatencyBandsConfig, LearningCurveConfig
from autodistill.pruners.latency_bands import LatencyBandsPruner
from autodistill.pruners.learning_curve import LearningCurvePruner
from autodistill.pruners.none import NonePruner
from autodistill.testing.pruners import prune, toy_curves
from autodistill.testing.search import ACCURACY, LATENCY

RESULTS = Path(__file__).parent / "results"

#: Standard deviation of the toy's scores: the sampling error of an accuracy of 0.8 on 1,600 examples.
TOY_NOISE = 0.01
TOY_TRIALS = 40

Point = Callable[[TrialCurve], Sequence[float]]
Make = Callable[[PrunerContext, Sequence[float]], Pruner]


def _bands(**changes: Any) -> Make:
    return lambda context, rungs: LatencyBandsPruner(
        context, **{**vars(LatencyBandsConfig()), **changes, "rungs": rungs}
    )


def _curves(**changes: Any) -> Make:
    return lambda context, rungs: LearningCurvePruner(
        context, **{**vars(LearningCurveConfig()), **changes, "rungs": rungs}
    )


#: Row of the table -> pruner; the defaults first, then the same without bands, bolder, and more careful.
PRUNERS: dict[str, Make] = {
    "none": lambda context, rungs: NonePruner(context, rungs=rungs),
    "latency_bands": _bands(),
    "latency_bands bands=1": _bands(bands=1),
    "latency_bands reduction_factor=4": _bands(reduction_factor=4.0),
    "learning_curve": _curves(),
    "learning_curve confidence=0.8": _curves(confidence=0.8),
    "learning_curve confidence=0.95": _curves(confidence=0.95),
}


@dataclass(frozen=True)
class Ground:
    """What is replayed: complete curves for every replay, the context, and trials as points to be minimised."""

    name: str
    context: PrunerContext
    rungs: tuple[float, ...]
    replay: Callable[[int], list[TrialCurve]]
    point: Point
    corner: Sequence[float]


def toy() -> Ground:
    """Toy curves, other architectures in every replay."""
    context, rungs = PrunerContext((ACCURACY, LATENCY)), (0.25, 0.5)
    recorder = NonePruner(context, rungs=rungs)
    return Ground(
        name=f"toy, {TOY_TRIALS} trials, noise {TOY_NOISE}",
        context=context,
        rungs=rungs,
        replay=lambda seed: toy_curves(recorder, TOY_TRIALS, noise=TOY_NOISE, seed=seed),
        point=lambda curve: (-curve.final[ACCURACY.metric], float(np.log(curve.known[LATENCY.metric]))),
        corner=(-0.5, float(np.log(12.0))),
    )


def recorded(url: str, name: str) -> Ground:
    """The curves of a study, in another order in every replay."""
    with Storage(url) as storage:
        builder = SummaryBuilder(storage, storage.get_study(name))
        rungs = tuple(float(share) for share in builder.study.config["pruner"]["rungs"])
        curves = [item for item in read_curves(storage, builder.study.id, rungs) if item.state == "complete"]
    objectives, teacher = builder.objectives, builder.teacher

    def row(values: Callable[[Any], float]) -> list[float]:
        return [float(relative(np.array([values(item)]), item, teacher)[0]) for item in objectives]

    return Ground(
        name=f"study {name}, {len(curves)} trials",
        context=PrunerContext(objectives, builder.constraints),
        rungs=rungs,
        replay=lambda seed: [curves[index] for index in np.random.default_rng(seed).permutation(len(curves))],
        point=lambda curve: row(lambda item: curve.value(item.metric)),
        corner=row(lambda item: builder.point[item.label]),
    )


def measure(ground: Ground, make: Make, replays: int) -> dict[str, Any]:
    """One row of the table."""
    saved, kept, lost, stopped = [], [], [], []
    for seed in range(replays):
        curves = ground.replay(seed)
        points = {curve.trial: ground.point(curve) for curve in curves}
        front = {curve.trial for curve, on in zip(curves, non_dominated(list(points.values())), strict=True) if on}
        study = prune(make(ground.context, ground.rungs), curves)
        left = [points[curve.trial] for curve in study.curves if curve.state == "complete"]
        whole = hypervolume(list(points.values()), ground.corner)
        saved.append(1.0 - study.spent)
        kept.append(hypervolume(left, ground.corner) / whole)
        lost.append(len(front & set(study.stopped)))
        stopped.append(len(study.stopped))
    return {
        "n": replays,
        "examples_saved_share": [float(value) for value in np.quantile(saved, [0.25, 0.5, 0.75])],
        "hypervolume_kept_share": [float(value) for value in np.quantile(kept, [0.25, 0.5, 0.75])],
        "hypervolume_kept_share_worst": min(kept),
        "front_trials_lost_mean": float(np.mean(lost)),
        "stopped_mean": float(np.mean(stopped)),
    }


def _row(name: str, found: dict[str, Any]) -> str:
    saved, kept = (
        f"{100 * middle:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"
        for low, middle, high in (found["examples_saved_share"], found["hypervolume_kept_share"])
    )
    worst = f"{100 * found['hypervolume_kept_share_worst']:.1f} %"
    return f"{name:<34} {saved:<24} {kept:<26} {worst:<8} {found['front_trials_lost_mean']:.2f}"


def main() -> None:
    """Replay, print the table, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--study", help="a study explored with pruner=none and rungs; default: toy curves")
    parser.add_argument("--storage", default="sqlite:///outputs/studies.db")
    parser.add_argument("--replays", type=int, default=40)
    parser.add_argument("--output", type=Path, default=RESULTS / "pruning.json")
    options = parser.parse_args()
    ground = recorded(options.storage, options.study) if options.study else toy()
    print(f"{ground.name}; rungs {list(ground.rungs)}; n = {options.replays} replays; medians [quartiles]")
    print(f"{'pruner':<34} {'examples saved':<24} {'hypervolume kept':<26} {'worst':<8} front trials lost")
    results = {}
    for name, make in PRUNERS.items():
        found = results[name] = measure(ground, make, options.replays)
        print(_row(name, found))
    content = {
        "benchmark": "pruning",
        "command": " ".join(["benchmarks/pruning.py", *sys.argv[1:]]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_environment(),
        "settings": {"ground": ground.name, "rungs": list(ground.rungs), "replays": options.replays},
        "results": results,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
