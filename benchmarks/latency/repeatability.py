"""The same models measured three times: how wide are the intervals, how far apart the ratios to the reference?

    python -m benchmarks.latency.repeatability --records records/latency.jsonl [--backends onnxruntime] [--rounds 3]

Every round is a session of its own: a fresh worker, the reference timed anew. Wanted: half of the interval at most 3 %
of the median, or the report is flagged; ratios within 5 % of each other between rounds.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

from benchmarks.latency.results import Records
from benchmarks.latency.setup import PUBLISHED, TINY, TWENTY, measured, models_of, options, output_of, size_of, write

#: Half-width that is wanted, or a flag.
WANTED = 0.03


def summary(reports: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """What the rounds of every model say.

    Args:
        reports: models x rounds.
    """
    every = [report for rounds in reports for report in rounds]
    wide = [item for item in every if (item["relative_half_width"] or 1.0) > WANTED]
    ratios = [[item["ratio_to_reference"] for item in rounds] for rounds in reports]
    medians = [[item["median"] for item in rounds] for rounds in reports]
    return {
        "measurements": len(every),
        "half_width_above_3_percent": len(wide),
        "of_those_flagged": sum(bool(item["flags"]) for item in wide),
        "flags": {
            name: sum(name in item["flags"] for item in every) for name in ("imprecise", "throttled", "outliers")
        },
        "spread_of_ratio": [max(values) / min(values) - 1 for values in ratios],
        "spread_of_median": [max(values) / min(values) - 1 for values in medians],
        "ratios_within_5_percent": sum(max(values) / min(values) <= 1.05 for values in ratios),  # 5 %: the aim
        "models": len(reports),
    }


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = options(__doc__, ["onnxruntime", "torch"])
    parser.add_argument("--rounds", type=int, default=3)
    return parser


def main() -> int:
    """Measure what is missing, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, "repeatability")
    models, records = models_of(given), Records(given.records)
    chosen = TINY if given.tiny else TWENTY[::2]
    reference = TINY[1] if given.tiny else PUBLISHED["minilm_6l"]
    found = {}
    for name in given.backends:
        reports: list[list[dict[str, Any]]] = [[] for _ in chosen]
        for number in range(given.rounds):
            with closing(models.backend(name, reference, **measured(given, target_relative_half_width=WANTED))) as made:
                for place, item in enumerate(chosen):
                    key = f"repeatability {name} {size_of(given)} round {number} {item}"
                    reports[place].append(
                        records.get(key, lambda item=item: made.measure(models.subject(item)).as_dict())
                    )
        found[name] = summary(reports)
        print(name, {key: value for key, value in found[name].items() if not isinstance(value, list)})
        print(
            "  ratio to the reference, largest over smallest - 1:",
            *(f"{x:.1%}" for x in found[name]["spread_of_ratio"]),
        )
    write(output, "repeatability", given, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
