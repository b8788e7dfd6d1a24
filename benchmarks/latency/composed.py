"""Composed latency against the whole model measured, on twenty architectures of two families; and what it costs.

    python -m benchmarks.latency.composed --records records/latency.jsonl [--backends onnxruntime torch] [--search 50]

Wanted: median error at most 5 %, Spearman at least 0.98.

Cost of a new architecture: composing, over a search of ``--search`` random architectures of the family ``bert`` with an
empty store of blocks, from making the backend to closing it (worker, reference, building, exporting, timing). Wanted:
below 5 s (onnxruntime) and 1 s (torch). Told besides: that and one measurement of the whole model (mean of the twenty),
which a candidate gets before it is trained. Shallow models are timed for ``--compose-seconds``, by default as long as
the backend does; whole models for ``--seconds``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from autodistill.components.architecture import Architecture
from autodistill.engine.space import build_space
from autodistill.latency.blocks import DEPTH
from benchmarks.latency.agreement import agreement
from benchmarks.latency.results import Records
from benchmarks.latency.setup import (
    PUBLISHED,
    TINY,
    TWENTY,
    Clock,
    Models,
    measured,
    models_of,
    options,
    output_of,
    size_of,
    write,
)


def proposals(models: Models, count: int, *, tiny: bool) -> list[Architecture]:
    """Random architectures of the default space of ``bert``."""
    if tiny:
        return list(TINY[:3])
    config = models.registry.get("student", "bert").spec.config()
    return list(build_space("bert", config.space, config.rules).sample(count, seed=0))


def cost(models: Models, name: str, architectures: list[Architecture], parameters: dict[str, Any]) -> dict[str, float]:
    """Seconds of composing every architecture in turn: everything from making the backend to closing it."""
    shutil.rmtree(models.work_dir / "blocks", ignore_errors=True)
    with Clock() as clock, closing(models.backend(name, _reference(models), **parameters)) as made:
        for item in architectures:
            made.compose(models.subject(item))
    shapes = len({str({**item.choices, DEPTH: None}) for item in architectures})
    return {
        "architectures": len(architectures),
        "shapes": shapes,
        "seconds": clock.seconds,
        "seconds_each": clock.seconds / len(architectures),
        "seconds_each_new_shape": clock.seconds / shapes,
    }


def _label(blocks: Mapping[str, Any]) -> str:
    """What records of composing are called."""
    return f"composed of {blocks['compose_seconds']:g} s ratios,"


def _reference(models: Models) -> Architecture:
    return TINY[1] if models.tiny else PUBLISHED["minilm_6l"]


def whole(models: Models, made: Any, item: Architecture) -> dict[str, Any]:
    """A report of the whole model, and the seconds of getting it."""
    with Clock() as clock:
        report = made.measure(models.subject(item)).as_dict()
    return {"report": report, "seconds": clock.seconds}


def compared(
    models: Models, records: Records, name: str, given: argparse.Namespace, blocks: dict[str, Any]
) -> dict[str, Any]:
    """Composed reports against whole models, timed for longer, and the mean seconds of the latter.

    Args:
        models: what is timed.
        records: finished measurements.
        name: backend.
        given: options of the script.
        blocks: parameters of the backend that composes.
    """
    pairs = []
    with (
        closing(models.backend(name, _reference(models), **blocks)) as composer,
        closing(models.backend(name, _reference(models), **measured(given))) as timer,
    ):
        for item in TINY if given.tiny else TWENTY:
            about = f"{name} {size_of(given)} {item}"
            composed = records.get(
                f"{_label(blocks)} {about}",
                lambda item=item: composer.compose(models.subject(item)).as_dict(),
            )
            pairs.append((composed, records.get(f"whole {about}", lambda item=item: whole(models, timer, item))))
    found: dict[str, Any] = {
        field: agreement(*zip(*((composed[field], one["report"][field]) for composed, one in pairs), strict=True))
        for field in ("median", "ratio_to_reference")
    }
    return {**found, "seconds_each_whole": sum(one["seconds"] for _, one in pairs) / len(pairs)}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = options(__doc__, ["onnxruntime", "torch"])
    parser.add_argument("--search", type=int, default=50)
    parser.add_argument("--compose-seconds", type=float, help="for one shallow model at most; default: the backend's")
    return parser


def main() -> int:
    """Measure what is missing, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    section = "composed" + (f"_{given.compose_seconds:g}_s" if given.compose_seconds else "")
    output = output_of(parser, given, section)
    models, records = models_of(given), Records(given.records)
    found = {}
    for name in given.backends:
        seconds = given.compose_seconds or models.registry.get("latency", name).spec.config().compose_seconds
        blocks = measured(given, compose=True, compose_seconds=min(given.seconds, seconds))
        spent = records.get(
            f"{_label(blocks)} {name} {size_of(given)} cost of {given.search}",
            lambda: cost(models, name, proposals(models, given.search, tiny=given.tiny), blocks),  # noqa: B023
        )
        found[name] = compared(models, records, name, given, blocks)
        each = spent["seconds_each"] + found[name].pop("seconds_each_whole")
        found[name]["cost"] = {**spent, "seconds_each_with_whole": each}
        print(name, found[name])
    write(output, section, given, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
