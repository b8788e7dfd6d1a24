"""Composed latency: a model of equal blocks takes a fixed part plus its depth times one block.

The block comes from a timing of the shape at a small depth, the fixed part (embeddings, pooler, head) from that and one
at depth 1. The latter serves every shape that is the same outside its blocks. Timings are kept in a store that studies
share: every further depth of a shape costs nothing. What is composed is marked as such, never passed for measured; a
model that is to be trained is measured whole.

With a reference all of this is reckoned in ratios to it, which short timings give far better than milliseconds, since
both models have the same disturbances; what the reference takes is the median over many timings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencyReport, LatencySubject
from autodistill.folders import InUse, write_json

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

#: The choice of an architecture that says how many equal blocks it has; families without it are not composed.
DEPTH = "num_layers"

#: Depth that is timed of every shape, and that for the fixed part. Three blocks between them: noise of the block's time
#: is a third of that of a model's.
DEEP, SHALLOW = 4, 1

#: Relative error that a timing has at least, when depths are weighted.
LEAST_ERROR = 0.005

#: A fixed part of other shapes serves when its error is at most this share of the timing at `DEEP`: of any deeper
#: model's time it is a smaller one.
FIXED_TOLERANCE = 0.05

#: Numbers of a stored timing; part of the keys, so that rows of other versions are not read.
ROW = ("depth", "time", "error", "mean")

#: Timings of the reference that count, the latest: machines change, within minutes and from day to day.
REFERENCE_TIMINGS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """What one depth takes, in ratios to the reference, or in ms without one.

    At depth 0 it is the fixed part, worked out from two others; noise may make it negative.

    Args:
        time: of the median request.
        error: half-width of its 95 % interval.
        mean: of all requests, which throughput is made of: requests of several lengths take longer than the middle one.
    """

    time: float
    error: float
    mean: float


def fit(points: Mapping[int, Point]) -> tuple[float, float]:
    """(fixed part, one block): the line through the times, weighted by their errors; neither < 0.

    Args:
        points: depth -> timing; two depths at least.
    """
    depths = np.array(list(points), dtype=float)
    times = np.array([point.time for point in points.values()])
    errors = np.array([point.error for point in points.values()])
    design = np.stack([np.ones_like(depths), depths], axis=1) / errors[:, None]
    (fixed, block), *_ = np.linalg.lstsq(design, times / errors)
    if fixed < 0:  # noise: then all of it is blocks
        return 0.0, float((times * depths / errors**2).sum() / (depths**2 / errors**2).sum())
    if block < 0:
        return float(np.average(times, weights=errors**-2)), 0.0
    return float(fixed), float(block)


def fixed_part(shallow: Point, deep: Point, depth: int) -> Point | None:
    """What the line through two timings says of depth 0; None where blocks seem to cost nothing, which is noise.

    Args:
        shallow: at depth `SHALLOW`.
        deep: at depth ``depth``.
        depth: > `SHALLOW`.
    """
    if deep.time <= shallow.time:
        return None
    blocks = depth - SHALLOW
    time, mean = (
        (depth * low - SHALLOW * high) / blocks for low, high in ((shallow.time, deep.time), (shallow.mean, deep.mean))
    )
    return Point(time, float(np.hypot(depth * shallow.error, SHALLOW * deep.error)) / blocks, mean)


def combined(one: Point, other: Point) -> Point:
    """Two estimates of the same time, weighted by the inverse squares of their errors."""
    weights = one.error**-2, other.error**-2
    total = sum(weights)
    time, mean = (
        (weights[0] * own + weights[1] * theirs) / total
        for own, theirs in ((one.time, other.time), (one.mean, other.mean))
    )
    return Point(time, float(total**-0.5), mean)


def outside_blocks(model: nn.Module, depth: int) -> str:
    """Digest of all modules of a model but its stack of blocks: names, types, settings, shapes of their tensors.

    The stack is the list of as many modules as there are blocks. A model without one (blocks that share their weights,
    say) or with several is outside as a whole.

    Args:
        model: of ``depth`` blocks.
        depth: of its stack.
    """
    from torch import nn

    stacks = [name for name, part in model.named_modules() if isinstance(part, nn.ModuleList) and len(part) == depth]
    outermost = [name for name in stacks if not any(name.startswith(f"{other}.") for other in stacks)]
    skipped = f"{outermost[0]}." if len(outermost) == 1 else None
    found = []
    for name, part in model.named_modules():
        if skipped is None or not name.startswith(skipped):
            tensors = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
            shapes = [(key, tuple(tensor.shape)) for key, tensor in tensors]
            found.append((name, type(part).__qualname__, part.extra_repr(), shapes))
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


class BlockStore:
    """Lists of numbers on disk, a file per key: shape, machine, runtime and workload.

    From the first look until it is closed the shared cache keeps all of them.

    Args:
        directory: where; made when first written to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._in_use: InUse | None = None

    def _path(self, key: Mapping[str, Any]) -> Path:
        self._in_use = self._in_use or InUse(self._directory)
        text = json.dumps(key, sort_keys=True, default=str)
        return self._directory / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"

    def read(self, key: Mapping[str, Any]) -> list[list[float]]:
        """What is stored under a key; empty when nothing is."""
        try:
            rows: list[list[float]] = json.loads(self._path(key).read_text())["rows"]
        except (OSError, ValueError):
            return []
        return rows

    def write(self, key: Mapping[str, Any], rows: list[list[float]]) -> None:
        """Replace what is stored; a reader sees the old rows or the new ones. Of two writers at once one is lost."""
        write_json(self._path(key), {"key": key, "rows": rows})

    def close(self) -> None:
        """Let the cache remove what is stored; may be called twice."""
        if self._in_use is not None:
            self._in_use.close()
            self._in_use = None


class Composer:
    """Composes reports of one backend.

    Args:
        context: of the backend.
        measure: times a shallow model.
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
        self._relative = context.reference is not None
        self._store = BlockStore(context.work_dir / "blocks")

    def compose(self, subject: LatencySubject) -> LatencyReport | None:
        """The composed report; None for a subject that is not made of equal blocks or has weights of its own.

        Raises:
            LatencyError: a block cannot be timed.
        """
        architecture, build = _of_blocks(subject), self._context.build
        if architecture is None or build is None:
            return None
        points = self._points(self._shape(architecture))
        if not (_has_shallow(points) and _has_deep(points) and self._unit() is not None):
            points = self._time(architecture, build, subject.name)
        return self._report(points, _depth_of(architecture))

    def learn(self, subject: LatencySubject, report: LatencyReport) -> None:
        """Store a timing of a subject, if it is one that could be composed."""
        architecture = _of_blocks(subject)
        if architecture is not None:
            self._learn(architecture, report)

    def close(self) -> None:
        """Let go of the stored timings; may be called twice."""
        self._store.close()

    def _learn(self, architecture: Architecture, report: LatencyReport) -> dict[int, Point]:
        """Store a timing; returns all of its shape."""
        width = 1.0 if report.relative_half_width is None else report.relative_half_width
        time = report.median
        if self._relative:
            assert report.ratio_to_reference is not None  # a session with a reference times it
            time = report.ratio_to_reference
            told = [*self._store.read(self._reference()), [report.median / time]]
            self._store.write(self._reference(), told[-REFERENCE_TIMINGS:])
        mean = 1.0  # in medians
        if report.throughput is not None:
            mean = self._mean_ms(report.throughput) / report.median
        point = Point(time, time * max(width, LEAST_ERROR), time * mean)
        return self._add(self._shape(architecture), _depth_of(architecture), point)

    def _mean_ms(self, throughput: float) -> float:
        """Mean milliseconds of a request at so many sequences per second, and the other way round."""
        return float(self._identity["workload"]["batch_size"] / throughput * 1000)  # 1000 ms per second

    def _time(
        self, architecture: Architecture, build: Callable[[Architecture], PreTrainedModel], name: str
    ) -> dict[int, Point]:
        """Time what is missing of a shape, and of its fixed part unless those of other shapes will do."""
        import torch

        shape = self._shape(architecture)
        deep, shallow = _at_depth(architecture, DEEP), _at_depth(architecture, SHALLOW)
        with torch.random.fork_rng(devices=[]):
            model = build(deep)
        points = self._points(shape)
        if not _has_deep(points) or self._unit() is None:
            report = self._measure(LatencySubject(f"{DEEP} blocks of {name}", deep, lambda: model))
            points = self._learn(deep, report)
        if _has_shallow(points):
            return points
        depth = max(points)
        outside = self._key(family=architecture.family, outside_blocks=outside_blocks(model, DEEP))
        known = self._points(outside).get(0)
        if known is not None and known.error <= FIXED_TOLERANCE * points[depth].time:
            return self._add(shape, 0, known)
        report = self._measure(LatencySubject(f"{SHALLOW} block of {name}", shallow, partial(build, shallow)))
        points = self._learn(shallow, report)
        new = fixed_part(points[SHALLOW], points[depth], depth)
        if new is not None:
            self._add(outside, 0, new if known is None else combined(known, new))
        return points

    def _unit(self) -> float | None:
        """Milliseconds of a `Point.time` of 1; None while the reference has not been timed."""
        if not self._relative:
            return 1.0
        rows = self._store.read(self._reference())
        return float(np.median(rows)) if rows else None

    def _key(self, **more: Any) -> dict[str, Any]:
        own = {"model": self._context.model_key, "relative": self._relative, "rows": ROW}
        return {**self._identity, **own, **more}

    def _reference(self) -> dict[str, Any]:
        return self._key(reference=True)

    def _shape(self, architecture: Architecture) -> dict[str, Any]:
        choices = {name: value for name, value in architecture.choices.items() if name != DEPTH}
        return self._key(family=architecture.family, shape=choices)

    def _points(self, key: Mapping[str, Any]) -> dict[int, Point]:
        return {int(depth): Point(*numbers) for depth, *numbers in self._store.read(key)}

    def _add(self, key: Mapping[str, Any], depth: int, point: Point) -> dict[int, Point]:
        points = dict(sorted({**self._points(key), depth: point}.items()))
        self._store.write(key, [[at, item.time, item.error, item.mean] for at, item in points.items()])
        return points

    def _report(self, points: Mapping[int, Point], depth: int) -> LatencyReport:
        (fixed, block), unit = fit(points), self._unit()
        means = fit({at: replace(point, time=point.mean) for at, point in points.items()})
        assert unit is not None  # timing these points told it
        total = fixed + depth * block
        median = total * unit
        workload = self._identity["workload"]
        return LatencyReport(
            backend=self._identity["backend"],
            kind="composed",
            precision=workload["precision"],
            workload=workload,
            median=median,
            device=self._identity["device"],
            throughput=self._mean_ms((means[0] + depth * means[1]) * unit),
            threads=workload["threads"],
            versions=self._identity["versions"],
            ratio_to_reference=total if self._relative else None,
            breakdown=(
                {"operator": "fixed", "count": 1, "ms": fixed * unit},
                {"operator": "block", "count": depth, "ms": depth * block * unit},
            ),
        )


def _of_blocks(subject: LatencySubject) -> Architecture | None:
    """The architecture of a subject that is made of equal blocks and has no weights of its own; else None."""
    architecture = subject.architecture
    if architecture is None or subject.artifacts or not isinstance(architecture.choices.get(DEPTH), int):
        return None
    return architecture


def _depth_of(architecture: Architecture) -> int:
    return int(architecture.choices[DEPTH])


def _at_depth(architecture: Architecture, depth: int) -> Architecture:
    """The same shape with so many blocks."""
    return Architecture(architecture.family, {**architecture.choices, DEPTH: depth})


def _has_shallow(points: Mapping[int, Point]) -> bool:
    return any(depth <= SHALLOW for depth in points)


def _has_deep(points: Mapping[int, Point]) -> bool:
    return any(depth >= DEEP for depth in points)
