"""The roofline of this machine, calibrated, against measurement, on twenty architectures of two families.

    python -m benchmarks.latency.roofline --records records/latency.jsonl [--backends torch onnxruntime] [--device cuda]

Wanted: Spearman at least 0.9 (the median error is told as it is); a number below 10 ms. With ``--device cuda`` the GPU
is calibrated and PyTorch measured on it in bf16.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from benchmarks.latency.agreement import agreement
from benchmarks.latency.composed import whole
from benchmarks.latency.results import Records
from benchmarks.latency.setup import TINY, TWENTY, Clock, measured, models_of, options, output_of, size_of, write


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = options(__doc__, ["torch", "onnxruntime"])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser


def main() -> int:
    """Measure what is missing, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    section = f"roofline_{given.device}"
    output = output_of(parser, given, section)
    models, records = models_of(given), Records(given.records)
    chosen = TINY if given.tiny else TWENTY
    precision = "bf16" if given.device == "cuda" else "fp32"
    same = {"device": given.device, "precision": precision}
    roof = models.backend("roofline", chip="this_machine", lengths=given.length, threads=given.threads, **same)
    computed = [roof.measure(models.subject(item)).median for item in chosen]  # calibrates before the clock runs
    with Clock() as clock:
        for item in chosen:
            roof.measure(models.subject(item))
    found: dict[str, object] = {
        "chip": {**vars(roof.chip), "versions": dict(roof.chip.versions)},
        "seconds_each": clock.seconds / len(chosen),
    }
    for name in given.backends:
        with closing(models.backend(name, **measured(given, **same))) as made:
            # On the CPU the same measurements as those of ``composed``, and one set of records for both.
            kind = "whole" if given.device == "cpu" else "whole cuda"
            medians = [
                records.get(f"{kind} {name} {size_of(given)} {item}", lambda item=item: whole(models, made, item))[
                    "report"
                ]["median"]
                for item in chosen
            ]
        found[name] = {**agreement(computed, medians), "computed_ms": computed, "measured_ms": medians}
        print(name, agreement(computed, medians))
    print(f"{1000 * clock.seconds / len(chosen):.2f} ms for a number")
    write(output, section, given, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
