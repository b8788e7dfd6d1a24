"""Composed latency: a model of equal blocks takes a fixed part plus its depth times one block.

The fixed part and the block come from timings of the same shape at two small depths, which are kept in a store that
studies share: every further depth of the shape costs nothing. What is composed is marked as such, never passed for
measured; a model that is to be trained is measured whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencyReport, LatencySubject
from autodistill.folders import private_directory

#: The choice of an architecture that says how many equal blocks it has; families without it are not composed.
DEPTH = "num_layers"

#: Depths that are timed. Three blocks between them: noise of the block's time is a third of that of a model's.
DEPTHS = (1, 4)

#: Relative error that a timing has at least, when depths are weighted.
LEAST_ERROR = 0.005


@dataclass(frozen=True, slots=True)
class Point:
    """A timing at one depth: median in ms, relative half-width of its interval, ratio to the reference or None."""

    median: float
    relative_half_width: float
    ratio: float | None


def fit(points: Mapping[int, Point]) -> tuple[float, float]:
    """(fixed part, one block) in ms: the line through the medians, weighted by their relative errors; neither < 0.

    Args:
        points: depth -> timing; two depths at least.
    """
    depths = np.array(list(points), dtype=float)
    medians = np.array([point.median for point in points.values()])
    errors = medians * np.array([max(point.relative_half_width, LEAST_ERROR) for point in points.values()])
    design = np.stack([np.ones_like(depths), depths], axis=1) / errors[:, None]
    (fixed, block), *_ = np.linalg.lstsq(design, medians / errors)
    if fixed < 0:  # noise: then all of it is blocks
        return 0.0, float((medians * depths / errors**2).sum() / (depths**2 / errors**2).sum())
    if block < 0:
        return float(np.average(medians, weights=errors**-2)), 0.0
    return float(fixed), float(block)


class BlockStore:
    """Timings of blocks on disk: a file per shape, machine, runtime and workload.

    Args:
        directory: where; made when first written to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, key: Mapping[str, Any]) -> Path:
        text = json.dumps(key, sort_keys=True, default=str)
        return self._directory / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"

    def read(self, key: Mapping[str, Any]) -> dict[int, Point]:
        """Depth -> timing of what is stored under a key."""
        try:
            stored = json.loads(self._path(key).read_text())
        except (OSError, ValueError):
            return {}
        return {int(depth): Point(**point) for depth, point in stored["points"].items()}

    def add(self, key: Mapping[str, Any], depth: int, point: Point) -> dict[int, Point]:
        """Add a timing; a reader sees the old file or the new one. Of two writers at once one timing is lost."""
        points = {**self.read(key), depth: point}
        private_directory(self._directory)
        path = self._path(key)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        content = {"key": key, "points": {str(at): vars_of(point) for at, point in sorted(points.items())}}
        scratch.write_text(json.dumps(content, indent=1, default=str) + "\n")
        os.replace(scratch, path)
        return points


def vars_of(point: Point) -> dict[str, float | None]:
    """JSON-able fields of a timing."""
    return {
        "median": point.median,
        "relative_half_width": point.relative_half_width,
        "ratio": point.ratio,
    }


class Composer:
    """Composes reports of one backend.

    Args:
        context: of the backend.
        measure: times a subject whole.
        identity: what the timings depend on besides the model: backend, runtime's version, machine, workload.
    """

    def __init__(
        self,
        context: LatencyContext,
        measure: Callable[[LatencySubject], LatencyReport],
        identity: Mapping[str, Any],
    ) -> None:
        self._context = context
        self._measure = measure
        self._identity = identity
        self._store = BlockStore(context.work_dir / "blocks")

    def compose(self, subject: LatencySubject) -> LatencyReport | None:
        """The composed report; None for a subject that is not made of equal blocks or has weights of its own.

        Raises:
            LatencyError: a block cannot be timed.
        """
        architecture, build = subject.architecture, self._context.build
        depth = architecture.choices.get(DEPTH) if architecture is not None else None
        if architecture is None or build is None or not isinstance(depth, int) or subject.artifacts:
            return None
        points = self._store.read(self._key(architecture))
        report: LatencyReport | None = None
        for small in DEPTHS:
            if small not in points:
                report = self._measure(_at_depth(architecture, small, self._context, subject.name))
                points = self.learn(architecture, small, report)
        return self._report(points, depth, report)

    def learn(self, architecture: Architecture, depth: int, report: LatencyReport) -> dict[int, Point]:
        """Store a timing of an architecture whose depth is ``depth``; returns all of its shape."""
        half = report.relative_half_width
        point = Point(report.median, 1.0 if half is None else half, report.ratio_to_reference)
        return self._store.add(self._key(architecture), depth, point)

    def _key(self, architecture: Architecture) -> dict[str, Any]:
        shape = {name: value for name, value in architecture.choices.items() if name != DEPTH}
        return {
            **self._identity,
            "model": self._context.model_key,
            "with_reference": self._context.reference is not None,  # a timing without one has no ratio
            "family": architecture.family,
            "shape": shape,
        }

    def _report(self, points: Mapping[int, Point], depth: int, latest: LatencyReport | None) -> LatencyReport:
        fixed, block = fit(points)
        median = fixed + depth * block
        ratios = {at: Point(p.ratio, p.relative_half_width, None) for at, p in points.items() if p.ratio is not None}
        ratio_line = fit(ratios) if len(ratios) > 1 else None
        workload = self._identity["workload"]
        return LatencyReport(
            backend=self._identity["backend"],
            kind="composed",
            precision=workload["precision"],
            workload=workload,
            median=median,
            device=self._identity["device"],
            throughput=workload["batch_size"] / median * 1000,  # 1000 ms per second
            threads=workload["threads"],
            versions=latest.versions if latest is not None else self._identity["versions"],
            ratio_to_reference=None if ratio_line is None else ratio_line[0] + depth * ratio_line[1],
            breakdown=(
                {"operator": "fixed", "count": 1, "ms": fixed},
                {"operator": "block", "count": depth, "ms": depth * block},
            ),
        )


def _at_depth(architecture: Architecture, depth: int, context: LatencyContext, name: str) -> LatencySubject:
    """The same shape with so many blocks."""
    shallow = Architecture(architecture.family, {**architecture.choices, DEPTH: depth})
    build = context.build
    assert build is not None
    return LatencySubject(f"{depth} block{'s' * (depth > 1)} of {name}", shallow, lambda: build(shallow))
