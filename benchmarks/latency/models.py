"""MobileBERT, MiniLM-L6, TinyBERT-4 and BERT-base in all backends, fp32 and int8; and against a bare timing loop.

    python -m benchmarks.latency.models --records records/latency.jsonl --seconds 3
    ... [--backends onnxruntime torch openvino roofline] [--output FILE]

Batch 1 and length 128. A backend that is not installed is named and left out. ``bare`` is a plain loop over the same
files in a process of its own (``benchmarks.latency.bare``), once before and once after: the interval of its medians and
that of the backend's must overlap.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from autodistill.errors import AutoDistillError
from autodistill.exporters.huggingface import save_pretrained
from autodistill.exporters.onnx_export import export_onnx
from autodistill.exporters.onnx_session import quantise_onnx
from autodistill.latency.machine import usable_cores
from benchmarks.latency.results import Records
from benchmarks.latency.setup import (
    PUBLISHED,
    TINY_PUBLISHED,
    Models,
    measured,
    models_of,
    options,
    output_of,
    size_of,
    write,
)

#: Backend -> precisions that it is measured in.
PRECISIONS = {
    "onnxruntime": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
    "torch": ("fp32", "bf16"),
    "roofline": ("fp32",),
}


def bare(models: Models, architecture: Any, runtime: str, precision: str, given: Any) -> dict[str, Any]:
    """Median and interval of a plain loop; see `benchmarks.latency.bare`."""
    with tempfile.TemporaryDirectory() as folder:
        built = models.subject(architecture).build
        assert built is not None
        path = Path(folder, "model")
        if runtime == "torch":
            save_pretrained(built(), path)
        else:
            export_onnx(built(), path, opset=17)
            if precision == "int8":
                quantise_onnx(path, Path(folder, "int8"))
                path = Path(folder, "int8")
        threads = given.threads or usable_cores()
        values = [runtime, path, threads, given.length, models.vocabulary.size, given.seconds, precision]
        command = [sys.executable, "-m", "benchmarks.latency.bare", *map(str, values)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def loop(
    key: str, records: Records, models: Models, architecture: Any, runtime: str, precision: str, given: Any
) -> dict[str, Any]:
    """A plain loop, or what is on record of it."""
    found: dict[str, Any] = records.get(key, lambda: bare(models, architecture, runtime, precision, given))
    return found


def both(loops: list[dict[str, Any]]) -> dict[str, Any]:
    """One loop before and one after: the machine's drift between them is in the interval."""
    return {
        "median": sum(item["median"] for item in loops) / len(loops),
        "low": min(item["low"] for item in loops),
        "high": max(item["high"] for item in loops),
        "n": sum(item["n"] for item in loops),
    }


def within(report: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the two intervals of the median overlap."""
    half = (report["relative_half_width"] or 0.0) * report["median"]
    return report["median"] - half <= other["high"] and other["low"] <= report["median"] + half


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    return options(__doc__, list(PRECISIONS))


def main() -> int:
    """Measure what is missing, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, "models")
    models, records = models_of(given), Records(given.records)
    chosen = TINY_PUBLISHED if given.tiny else PUBLISHED
    rows, failed = [], 0
    for name in given.backends:
        for precision in PRECISIONS[name]:
            parameters = measured(given, precision=precision)
            if name == "roofline":
                parameters = {"lengths": given.length, "precision": precision, "threads": given.threads}
            try:
                backend = models.backend(name, **parameters)
            except AutoDistillError as error:
                print(f"left out: {name} {precision}: {error}", file=sys.stderr)
                continue
            with closing(backend):
                for label, item in chosen.items():
                    key = f"models {name} {precision} {size_of(given)} {label}"
                    row: dict[str, Any] = {"model": label, "backend": name, "precision": precision}
                    plain = name in ("onnxruntime", "torch")
                    loops = []
                    try:
                        if plain:
                            loops.append(loop(f"bare before {key}", records, models, item, name, precision, given))
                        row["report"] = records.get(
                            key, lambda item=item, b=backend: b.measure(models.subject(item)).as_dict()
                        )
                    except AutoDistillError as error:
                        print(f"failed: {label} {name} {precision}: {error}", file=sys.stderr)
                        failed = 1
                        continue
                    if plain:
                        loops.append(loop(f"bare after {key}", records, models, item, name, precision, given))
                        row["bare"] = both(loops)
                        row["same_within_intervals"] = within(row["report"], row["bare"])
                    rows.append(row)
                    print(f"{label:12} {name:12} {precision:5} {row['report']['median']:9.3f} ms", *_against(row))
    write(output, "models", given, rows)
    return failed


def _against(row: dict[str, Any]) -> list[str]:
    return [f"bare {row['bare']['median']:9.3f} ms, same: {row['same_within_intervals']}"] if "bare" in row else []


if __name__ == "__main__":
    sys.exit(main())
