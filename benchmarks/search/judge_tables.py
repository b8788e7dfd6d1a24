"""What the real tables say about flash fidelity, stopping and promotion.

    python -m benchmarks.search.judge_tables [--families bert mobilebert] [--seeds 20] [--output FILE.json]

- fidelity: Spearman correlations of flash with full accuracy, beside that of two flash replicates with each other
  (the ceiling that noise leaves), of each rung with the end, and what is left given parameters and FLOPs;
- stopping: a study of 80 random architectures of the table with each pruner: training examples spent, hypervolume of
  what was left to finish, members of the study's true front that were stopped;
- promotion: which architectures get the full recipe one after the other: the project's `Promotion`, the same
  without telling it the full scores, the flash ranking, and chance; hypervolume of the full scores after each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata, spearmanr

from benchmarks.search.replay_promotion import replay_promotion
from benchmarks.search.replay_pruning import replay_pruning
from benchmarks.search.results import output_of, write_section
from benchmarks.search.table_files import TABLES, Table, read_table
from benchmarks.search.table_problem import column, usable_rows
from benchmarks.search.table_setup import FAMILIES, RUNGS
from benchmarks.sections import script_parser

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Resamples of the architectures for an interval.
RESAMPLES = 2000


def fidelity(table: Table) -> dict[str, Any]:
    """Correlations with 95 % bootstrap intervals over architectures."""
    rows = usable_rows(table)
    first, second = (column(table, rows, f"flash_accuracy_{replicate}") for replicate in (0, 1))
    found: dict[str, Any] = {"flash_with_flash": _correlation(first, second)}
    for share in RUNGS:
        rung = column(table, rows, f"rung{round(100 * share)}_accuracy_0")
        found[f"rung{round(100 * share)}_with_end"] = _correlation(rung, first)
    full = column(table, rows, "full_accuracy_0")
    test = column(table, rows, "full_test_accuracy_0")
    have = np.isfinite(full)
    if have.sum() >= 4:
        sizes = np.log(np.stack([column(table, rows, name) for name in ("parameters", "flops")], axis=1))
        found["flash_with_full"] = _correlation(first[have], full[have])
        found["flash_mean_with_full"] = _correlation((first + second)[have] / 2, full[have])
        found["flash_with_full_on_test"] = _correlation(first[have], test[have])
        found["flash_with_full_given_size"] = _correlation(
            _residual(first[have], sizes[have]), _residual(full[have], sizes[have])
        )
    return found


def _residual(values: FloatArray, sizes: FloatArray) -> FloatArray:
    """Ranks of the values without what the ranks of the sizes explain linearly."""
    design = np.column_stack([np.ones(len(values)), *(rankdata(column) for column in sizes.T)])
    ranks = rankdata(values)
    solution, *_ = np.linalg.lstsq(design, ranks, rcond=None)
    left: FloatArray = ranks - design @ solution
    return left


def _correlation(one: FloatArray, other: FloatArray) -> dict[str, float | int | None]:
    if np.isnan(value := _spearman(one, other)):  # all alike, as scores that are still at chance
        return {"n": len(one), "spearman": None, "low": None, "high": None}
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(one), size=len(one)) for _ in range(RESAMPLES)]
    values = [_spearman(one[rows], other[rows]) for rows in drawn]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return {
        "n": len(one),
        "spearman": round(value, 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def _spearman(one: FloatArray, other: FloatArray) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one, other).statistic)


def show(family: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one family."""
    for part, rows in found.items():
        print(f"\n{family}, {part}")
        for name, values in rows.items():
            print(f"  {name:28s} " + ", ".join(f"{key} {value}" for key, value in values.items()))


def judge(families: Sequence[str], seeds: int, folder: Path) -> dict[str, Any]:
    """Family -> figures."""
    found = {}
    for family in families:
        table = read_table(family, folder)
        found[family] = {
            "fidelity": fidelity(table),
            "stopping": replay_pruning(family, seeds, folder),
            "promotion": replay_promotion(family, seeds, folder),
        }
        show(family, found[family])
    return found


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    other = {} if given.tables.resolve() == TABLES.resolve() else {"tables": given.tables}
    return {"families": sorted(given.families), "seeds": given.seeds, **other}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--families", nargs="+", choices=sorted(FAMILIES), default=sorted(FAMILIES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the tables")
    return parser


def main() -> int:
    """Judge, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, "tables", settings_of)
    found = judge(given.families, given.seeds, given.tables)
    write_section(output, "tables", settings_of(given), found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
