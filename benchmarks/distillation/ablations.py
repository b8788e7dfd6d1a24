"""Which losses, schedules, layer mappings and initialisations are worth it, on the architectures of flash fidelity.

    python -m benchmarks.distillation.ablations --step train  --task sst2 --data DATA --work WORK [--variants ...]
    python -m benchmarks.distillation.ablations --step report --task sst2 --data DATA --work WORK

Needs the same WORK as `benchmarks.distillation.flash_fidelity`, after its steps ``latency`` and ``train``: the
architectures are those that were drawn there, as far as a variant's space has them, and full scores are those of the
default recipe. Every variant of `benchmarks.distillation.fidelity_setup.VARIANTS` that suits the task gets flash runs
with both seeds at the first of ``--fidelities``, and with ``--full`` the full recipe too. The report has, per variant,
the mean difference of its scores from the default's (paired by architecture and seed, with a bootstrap interval over
architectures) and how well its flash scores rank the default's full ones, and its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.errors import StudyInterruptedError
from benchmarks.distillation.fidelity_setup import VARIANTS, fidelity_task, variants_of
from benchmarks.distillation.fidelity_statistics import RESAMPLES, correlations
from benchmarks.distillation.flash_fidelity import (
    arguments,
    common_settings,
    drawn_architectures,
    open_study,
    prepare,
    scores,
    train,
)
from benchmarks.distillation.results import output_of, write_section

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray
    from autodistill.engine.records import RunKind


def gain(own: FloatArray, default: FloatArray) -> dict[str, float]:
    """Mean difference of scores over seeds and architectures, with a 95 % bootstrap interval over architectures."""
    differences = (own - default).mean(axis=0)
    rng = np.random.default_rng(0)
    draws = differences[rng.integers(0, len(differences), (RESAMPLES, len(differences)))].mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"mean": round(float(differences.mean()), 5), "low": round(float(low), 5), "high": round(float(high), 5)}


def report(given: argparse.Namespace) -> dict[str, Any]:
    """Variant -> its gains over the default and its fidelity."""
    metric = fidelity_task(given.task, given.data, given.examples).metric
    share, tables = given.fidelities[0], {}
    with open_study(given, "default", share) as session:
        architectures = list(drawn_architectures(session, given.every))
        default = {kind: scores(session, architectures, kind, metric, given.seeds) for kind in ("flash", "full")}
    for variant in given.variants:
        with open_study(given, variant, share) as session:
            tables[variant] = {kind: scores(session, architectures, kind, metric, given.seeds) for kind in default}
    found: dict[str, Any] = {}
    for variant, own in tables.items():
        there = {kind: np.isfinite(own[kind]).all(axis=0) & np.isfinite(default[kind]).all(axis=0) for kind in own}
        found[variant] = {
            f"{kind}_gain": gain(own[kind][:, there[kind]], default[kind][:, there[kind]])
            for kind in own
            if there[kind].any()
        }
        both = there["flash"] & np.isfinite(default["full"]).all(axis=0)
        if both.sum() >= 4:
            found[variant]["flash_with_default_full"] = correlations(
                own["flash"][:, both], default["full"][:, both], apart=len(given.seeds) > 1
            )
        alone = np.isfinite(own["flash"]).all(axis=0) & np.isfinite(own["full"]).all(axis=0)
        if alone.sum() >= 4:
            found[variant]["flash_with_own_full"] = correlations(
                own["flash"][:, alone], own["full"][:, alone], apart=len(given.seeds) > 1
            )
        found[variant]["architectures"] = int(there["flash"].sum())
        found[variant]["architectures_in_full"] = int(there["full"].sum())
    return found


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    own = {"fidelity": given.fidelities[0], "full": given.full, "variants": sorted(chosen_variants(given))}
    return {**common_settings(given), **own}


def chosen_variants(given: argparse.Namespace) -> list[str]:
    """Those that are compared with the default."""
    return [variant for variant in given.variants or variants_of(given.task) if variant != "default"]


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = arguments(__doc__)
    parser.add_argument("--variants", nargs="+", choices=sorted(VARIANTS), help="default: all that suit the task")
    parser.add_argument("--full", action="store_true", help="the full recipe of every variant too")
    parser.add_argument("--section", help="of the results; default: ablations_TASK. For another draw, or a part of it")
    return parser


def main() -> int:
    """Do one step."""
    parser = make_parser()
    given = parser.parse_args()
    section = given.section or f"ablations_{given.task}"
    output = output_of(parser, given, section, settings_of) if given.step == "report" else None
    given.variants = chosen_variants(given)
    prepare(given)
    if given.step == "latency":
        raise SystemExit("Architectures are drawn by: python -m benchmarks.distillation.flash_fidelity --step latency")
    if output is not None:
        found = report(given)
        for variant, row in found.items():
            print(variant, row.get("flash_gain"), row.get("flash_with_default_full", {}).get("spearman"))
        write_section(output, section, settings_of(given), found)
        return 0
    until, left = time.monotonic() + given.seconds, 0
    try:
        with open_study(given, "default", given.fidelities[0]) as session:
            architectures = list(drawn_architectures(session, given.every))
        for variant in given.variants:
            with open_study(given, variant, given.fidelities[0]) as session:
                own = [item for item in architectures if item in session.bench.space]
                kinds: tuple[RunKind, ...] = ("flash", "full") if given.full else ("flash",)
                left += train(session, own, kinds, given.shard, until, given.seeds)
    except StudyInterruptedError as error:
        print(error, file=sys.stderr)
        return 130
    print(f"{left} runs are left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
