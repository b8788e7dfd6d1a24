"""Studies on the tiny task whose latencies are read from a file: seconds long, and the same every time."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autodistill.components.architecture import Architecture
from autodistill.testing.tiny import tiny_overrides

LAYERS, WIDTHS = (1, 2), (16, 32, 64)

#: What the tiny teacher takes by the file; the largest student takes 8.8 ms.
TEACHER_MS = 9.0


def architecture(num_layers: int, intermediate_size: int) -> Architecture:
    choices = {"num_layers": num_layers, "hidden_size": 32, "num_heads": 4, "intermediate_size": intermediate_size}
    return Architecture("bert", choices)


def write_latencies(path: Path) -> Path:
    """A replay file that knows every architecture of the tiny space, and answers 5 ms for everything else."""
    measurements = [
        {
            "architecture": {"family": "bert", "choices": dict(architecture(layers, width).choices)},
            "report": {"median": 1.0 + layers * (1.5 + width / 27.0), "relative_half_width": 0.01},
        }
        for layers in LAYERS
        for width in WIDTHS
    ]
    content = {
        "measurements": measurements,
        "named": {"teacher": {"median": TEACHER_MS}},
        "default": {"median": 5.0},
        "workload": {"batch_size": 1, "lengths": [6, 10]},
    }
    path.write_text(json.dumps(content))
    return path


def tiny_study(directory: Path, *more: str) -> list[str]:
    """Overrides of a study below ``directory``; nothing is timed, and one thread computes."""
    directory.mkdir(parents=True, exist_ok=True)
    latencies = write_latencies(directory / "latencies.json")
    return [
        *tiny_overrides(directory),
        "latency=[replay]",
        f"latency.replay.path={latencies}",
        "trainer.threads=1",
        *more,
    ]


def replaced(overrides: Sequence[str], *new: str) -> list[str]:
    """Overrides with some of them given anew."""
    keys = {item.partition("=")[0] for item in new}
    return [*(item for item in overrides if item.partition("=")[0] not in keys), *new]


def command(verb: str, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "autodistill", verb, *overrides]


def environment() -> dict[str, str]:
    """Of a child process: offline, one thread, the same arithmetic as this process."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights(study: Path) -> dict[str, str]:
    """Relative path -> digest of the weights of every pick and baseline."""
    return {
        str(path.relative_to(study)): digest(path)
        for folder in ("picks", "baselines")
        for path in sorted((study / folder).glob("*/hf/model.safetensors"))
    }


def timeless(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary without what differs between two runs of the same: times, places, waste."""
    content = json.loads(json.dumps(summary))
    for key in ("created", "seconds", "config", "waste", "command", "environments"):
        content.pop(key)
    for group in content["cost"].values():
        group.pop("device_seconds")
    content["pruning"].pop("device_seconds")
    content["analytics"]["hypervolume"].pop("device_seconds")
    for row in content["history"]:
        row.pop("seconds")
    content["teacher"].pop("source")
    return content  # type: ignore[no-any-return]
