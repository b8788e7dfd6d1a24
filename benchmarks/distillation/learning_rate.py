"""Which learning rate is best at the corners of a search space, and what is lost by one rate for all, or by the rule?

    python -m benchmarks.distillation.learning_rate --work DIR --output FILE [--seeds 2] [--rates 7] [OVERRIDE ...]

Four architectures, shallow or deep and narrow or wide, the rest in the middle, are flash-distilled at rates in steps
of a factor of two around ``schedule.lr``. The score is the task's own metric on the select split. Per corner: the best
rate. Over the corners: the mean score that is lost against each corner's best rate when all of them have the same rate
(the best such rate), and when the rate follows the family's rule (again with the best base); scores between the rates
that were tried are interpolated in the logarithm of the rate.

Every run is a study of one trial below DIR, so that a benchmark that was cut off goes on with the same command;
processes with ``--shard I/N`` make every Nth of the runs and write nothing.
Overrides replace the presets of the quickstart, e.g. ``student=mobilebert teacher.path=DIR data=text_classification``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

import autodistill
from autodistill.components.architecture import Architecture
from autodistill.engine.workbench import Workbench
from autodistill.registry import default_registry
from benchmarks.distillation.flash_fidelity import shard
from benchmarks.distillation.results import output_of, study_parser, write_section

PRESETS = [f"{group}=quickstart" for group in ("data", "teacher", "student", "schedule")]
BARE = [
    "schedule.scale_lr=false",
    "loss=[logits_kl]",
    "search=grid",
    "latency=[]",
    "baseline=[]",
    "reference=[]",
    "export=[]",
    "logger=none",
]
WIDTHS = {"bert": "hidden_size", "mobilebert": "bottleneck_size"}


def corners(bench: Workbench) -> dict[str, Architecture]:
    """``"shallow narrow"`` and so on -> the architecture of median cost among those at that corner."""
    width = WIDTHS[bench.family_name]
    pool = bench.some_architectures
    depths, widths = (sorted({item.choices[name] for item in pool}) for name in ("num_layers", width))
    found = {}
    for (deep, depth), (wide, size) in product(
        (("shallow", depths[0]), ("deep", depths[-1])), (("narrow", widths[0]), ("wide", widths[-1]))
    ):
        here = [item for item in pool if item.choices["num_layers"] == depth and item.choices[width] == size]
        cost = {item: bench.family.parameters(item, bench.task, bench.vocabulary) for item in here}
        found[f"{deep} {wide}"] = sorted(here, key=cost.__getitem__)[len(here) // 2]
    return found


def score(
    bench: Workbench, overrides: Sequence[str], architecture: Architecture, rate: float, seed: int, study: Path
) -> float:
    """The flash score of one architecture at one rate, 0 when its training diverged; read from the study's summary when
    it has been found before.
    """
    given = [
        *overrides,
        *(f"student.space.{key}=[{value}]" for key, value in architecture.choices.items()),
        f"schedule.lr={rate}",
        f"seed={seed}",
        "budget.trials=1",
        f"study.name={study.name}",
        f"output_dir={study.parent}",
    ]
    if not (study / "summary.json").exists():
        autodistill.run(autodistill.compose(given), overrides=given, explore_only=True)
    (row,) = json.loads((study / "summary.json").read_text())["history"]
    return 0.0 if row["state"] == "failed" else float(row["metrics"][bench.task.metric]["value"])


def study_folder(work: Path, corner: str, rate: float, seed: int) -> Path:
    """Of the study of one run."""
    return work / f"{corner.replace(' ', '-')}-{rate:.3g}-{seed}"


def make_runs(
    given: argparse.Namespace,
    bench: Workbench,
    overrides: Sequence[str],
    rates: Sequence[float],
    chosen: Mapping[str, Architecture],
) -> None:
    """Make this shard's runs."""
    index, count = given.shard
    for corner, rate, seed in list(product(chosen, rates, range(given.seeds)))[index::count]:
        found = score(bench, overrides, chosen[corner], rate, seed, study_folder(given.work, corner, rate, seed))
        print(f"{corner} {rate:.2e} {seed}: {found:.4f}", flush=True)


def at(rates: Sequence[float], scores: Sequence[float], rate: float) -> float:
    """The score at a rate between those that were tried; that of the nearest beyond them."""
    return float(np.interp(np.log(rate), np.log(rates), scores))


def lost(
    table: Mapping[str, Sequence[float]], rates: Sequence[float], factors: Mapping[str, float]
) -> dict[str, float]:
    """The best base rate under a rule, and the mean score that it loses against every corner's own best rate."""
    best = {corner: max(scores) for corner, scores in table.items()}
    low, high = rates[0] / max(factors.values()), rates[-1] / min(factors.values())
    bases = np.geomspace(low, high, 16 * len(rates))
    losses = {
        float(base): fmean(best[corner] - at(rates, scores, base * factors[corner]) for corner, scores in table.items())
        for base in bases
    }
    base = min(losses, key=losses.__getitem__)
    return {"base_rate": base, "mean_score_lost": losses[base]}


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    return {"overrides": given.overrides, "seeds": given.seeds, "rates": given.rates}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = study_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rates", type=int, default=7, help="odd number of rates, a factor of two apart")
    parser.add_argument("--shard", type=shard, help="I/N: only every Nth run, from the Ith")
    return parser


def main() -> int:
    """Run, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    overrides = [*PRESETS, *BARE, "~objectives.latency", *given.overrides]
    settings = autodistill.compose(overrides)
    bench = Workbench(settings, default_registry())
    middle = bench.schedule.optimisation.lr
    rates = [middle * 2.0 ** (index - given.rates // 2) for index in range(given.rates)]
    chosen = corners(bench)
    if given.shard is not None:
        make_runs(given, bench, overrides, rates, chosen)
        return 0
    section = f"learning_rate_{bench.family_name}"
    output = output_of(parser, given, section, settings_of)
    table: dict[str, list[float]] = {}
    for corner, architecture in chosen.items():
        table[corner] = [
            fmean(
                score(bench, overrides, architecture, rate, seed, study_folder(given.work, corner, rate, seed))
                for seed in range(given.seeds)
            )
            for rate in rates
        ]
        print(
            f"{corner:15}",
            " ".join(f"{rate:.1e}: {value:.3f}" for rate, value in zip(rates, table[corner], strict=True)),
        )
    factors = {corner: bench.family.lr_factor(architecture) for corner, architecture in chosen.items()}
    results: dict[str, Any] = {
        "rates": rates,
        "corners": {
            corner: {
                "architecture": dict(chosen[corner].choices),
                "scores": scores,
                "best_rate": rates[int(np.argmax(scores))],
                "factor_of_the_rule": factors[corner],
            }
            for corner, scores in table.items()
        },
        "one_rate_for_all": lost(table, rates, dict.fromkeys(table, 1.0)),
        "rule": lost(table, rates, factors),
    }
    for rule in ("one_rate_for_all", "rule"):
        print(f"{rule}: {results[rule]['mean_score_lost']:.4f} lost at a base rate of {results[rule]['base_rate']:.2e}")
    write_section(output, section, settings_of(given), results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
