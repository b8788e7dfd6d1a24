"""Composed latency against the whole model measured, on twenty architectures of two families; and what it costs.

    python -m benchmarks.latency.composed --records records/latency.jsonl [--backends onnxruntime torch] [--search 50]

Wanted: median error at most 5 %, Spearman at least 0.98. Cost: seconds per architecture of a search of ``--search``
random architectures of the family ``bert``, with an empty store of blocks: below 5 s (onnxruntime), 1 s (torch).
"""

from __future__ import annotations

import shutil
import sys
from contextlib import closing
from typing import Any

from autodistill.components.architecture import Architecture
from autodistill.engine.space import build_space
from benchmarks.latency.agreement import agreement
from benchmarks.latency.results import Records, write_section
from benchmarks.latency.setup import PUBLISHED, TINY, TWENTY, Clock, Models, measured, models_of, options


def proposals(models: Models, count: int, *, tiny: bool) -> list[Architecture]:
    """Random architectures of the default space of ``bert``."""
    if tiny:
        return list(TINY[:3])
    config = models.registry.get("student", "bert").spec.config()
    return list(build_space("bert", config.space, config.rules).sample(count, seed=0))


def cost(models: Models, name: str, architectures: list[Architecture], parameters: dict[str, Any]) -> dict[str, float]:
    """Seconds of composing every architecture in turn, blocks and reference included."""
    shutil.rmtree(models.work_dir / "blocks", ignore_errors=True)
    with closing(models.backend(name, **parameters)) as made, Clock() as clock:
        for item in architectures:
            made.compose(models.subject(item))
    shapes = len(list((models.work_dir / "blocks").glob("*.json")))
    return {"architectures": len(architectures), "shapes": shapes, "seconds_each": clock.seconds / len(architectures)}


def main() -> int:
    """Measure what is missing, print, write."""
    parser = options(__doc__, ["onnxruntime", "torch"])
    parser.add_argument("--search", type=int, default=50)
    given = parser.parse_args()
    models, records = models_of(given), Records(given.records)
    chosen = TINY if given.tiny else TWENTY
    reference = TINY[1] if given.tiny else PUBLISHED["minilm_6l"]
    found = {}
    for name in given.backends:
        parameters = measured(given, compose=True)
        spent = records.get(
            f"composed {name} length {given.length} cost of {given.search}",
            lambda: cost(models, name, proposals(models, given.search, tiny=given.tiny), parameters),  # noqa: B023
        )
        with closing(models.backend(name, reference, **parameters)) as made:
            pairs = [
                records.get(
                    f"composed {name} length {given.length} {item}",
                    lambda item=item: [  # composed first: what is measured whole is learnt from
                        made.compose(models.subject(item)).as_dict(),
                        made.measure(models.subject(item)).as_dict(),
                    ],
                )
                for item in chosen
            ]
        medians = [(composed["median"], whole["median"]) for composed, whole in pairs]
        ratios = [(composed["ratio_to_reference"], whole["ratio_to_reference"]) for composed, whole in pairs]
        found[name] = {
            "median": agreement(*zip(*medians, strict=True)),
            "ratio_to_reference": agreement(*zip(*ratios, strict=True)),
            "cost": spent,
        }
        print(name, found[name])
    write_section(given.output, "composed", vars(given), found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
