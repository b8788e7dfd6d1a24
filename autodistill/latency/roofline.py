"""The ``roofline`` latency backend: operators against a data sheet; nothing is run and nothing need be here.

An operator takes as long as the slowest of its arithmetic, its elementwise work and its bytes, plus the cost of
launching it (Williams, Waterman and Patterson 2009, Roofline); a model takes the sum of its operators. That ranks
architectures on hardware that is far away; what a runtime fuses or wastes is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencyKind, LatencyReport, LatencySubject, load_metrics
from autodistill.errors import ConfigError, LatencyError
from autodistill.latency.calibration import calibrated_chip
from autodistill.latency.chip import BYTES, Chip, chip_of, load_chip
from autodistill.latency.configs import WorkloadOptions
from autodistill.latency.load import Service, batch_sizes, under_load
from autodistill.latency.operators import Numbers, Operator, encoder_flops, heads_of, known, operators_of
from autodistill.latency.subjects import build, check_positions, stored_config, workload_of
from autodistill.latency.trace import architecture_of_config, traced_operators

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: What limits an operator, in the order of `Cost.parts`.
SIDES = ("compute", "vector", "memory", "on-chip memory")

#: Sizes that are costed at once; keeps memory small in spaces of a hundred thousand.
CHUNK = 4096


@dataclass(frozen=True)
class Cost:
    """An operator's time on a chip; arrays are ``architectures x lengths``.

    Args:
        name: of the operator.
        count: how many of it a forward pass has.
        parts: seconds of one of it by each of `SIDES`, ``4 x architectures x lengths``.
        flops: of one, on the matrix unit.
        bytes: from and to main memory, of one.
        near_bytes: from and to memory on the chip, of one.
        launch: seconds of one besides.
    """

    name: str
    count: Numbers
    parts: Numbers
    flops: Numbers
    bytes: Numbers
    near_bytes: Numbers
    launch: float

    @property
    def seconds(self) -> Numbers:
        """Of all of it in a forward pass."""
        total: Numbers = self.count * (self.parts.max(axis=0) + self.launch)
        return total


def costs(operators: Sequence[Operator], chip: Chip, precision: str) -> list[Cost]:
    """Cost of every operator on a chip."""
    shape = np.broadcast_shapes(*(np.shape(value) for item in operators for value in _values(item)))
    weights = sum(np.asarray(item.count * item.weights) for item in operators) * BYTES[precision]
    on_chip = (chip.on_chip_mb or 0.0) * 1e6
    resident = np.broadcast_to(weights <= on_chip, shape)
    room = on_chip - np.where(resident, np.broadcast_to(weights, shape), 0.0)  # for what passes between operators
    return [_cost(item, chip, precision, resident, room) for item in operators]


def _values(item: Operator) -> tuple[Numbers | float, ...]:
    return item.count, item.flops, item.weights, item.activations, item.vector, item.rows


def _cost(item: Operator, chip: Chip, precision: str, resident: Any, room: Numbers) -> Cost:
    count, flops, weights, activations, vector, rows = (
        np.broadcast_to(np.asarray(value, dtype=float), resident.shape) for value in _values(item)
    )
    weights, activations = weights * BYTES[precision], activations * BYTES[precision]
    near = np.where(resident, weights, 0.0) + np.where(activations <= room, activations, 0.0)
    far = weights + activations - near
    reached = np.where(rows > 0, rows / (rows + chip.half_rows), 1.0) if chip.half_rows else 1.0
    parts = (
        flops / chip.peak(precision) / reached,
        vector / (chip.vector_tops * 1e12) if chip.vector_tops else np.zeros_like(vector),
        far / (chip.memory_gb_per_s * 1e9 * chip.memory_efficiency),
        near / (chip.on_chip_gb_per_s * 1e9) if chip.on_chip_gb_per_s else np.zeros_like(near),
    )
    return Cost(item.name, count, np.stack(parts), flops, far, near, chip.launch_overhead_us * 1e-6)


def total_ms(found: Sequence[Cost]) -> FloatArray:
    """Milliseconds of a forward pass, ``architectures x lengths``."""
    seconds: FloatArray = np.sum([cost.seconds for cost in found], axis=0)
    return seconds * 1000


class RooflineLatency:
    """Computes latencies; fields as in `autodistill.latency.configs.RooflineConfig`.

    Raises:
        ConfigError: no such chip, an impossible data sheet, or a precision that it does not tell.
    """

    kind: LatencyKind = "analytical"

    def __init__(
        self,
        context: LatencyContext,
        *,
        chip: str,
        precision: str | None,
        device: str,
        threads: int | None,
        **options: Unpack[WorkloadOptions],
    ) -> None:
        self._context = context
        self._is_calibrated = chip == "this_machine"
        self._sheet = None if self._is_calibrated else load_chip(chip, f"latency.{context.label}.chip")
        if self._sheet is not None:
            precision, device, threads = self._told(self._sheet, precision), self._sheet.name, threads or 1
        self.workload = workload_of(context, options, precision=precision or "fp32", threads=threads, device=device)
        if self._is_calibrated and context.calibration is not None:
            self._sheet = chip_of(dict(context.calibration), "of the study's machine")
            self._told(self._sheet, self.workload.precision)
        self._lengths = np.array(self.workload.lengths, dtype=float)
        self._reference: FloatArray | None = None

    def _told(self, chip: Chip, precision: str | None) -> str:
        if precision is None:
            return next(iter(chip.peak_tflops))
        if precision not in chip.peak_tflops:
            raise ConfigError(
                f"latency.{self._context.label}.precision is {precision}, but the data sheet of {chip.name} tells "
                f"no peak of it; it tells {', '.join(chip.peak_tflops)}."
            )
        return precision

    @property
    def chip(self) -> Chip:
        """The data sheet; this machine is calibrated on first use."""
        if self._sheet is None:
            self._sheet = calibrated_chip(self._context, self.workload.device, self.workload.threads)
            self._told(self._sheet, self.workload.precision)
        return self._sheet

    @property
    def calibration(self) -> dict[str, Any] | None:
        """The sheet of this machine; None of a chip that is not here."""
        return asdict(self.chip) if self._is_calibrated else None

    @property
    def metrics(self) -> frozenset[str]:
        """What a data sheet tells of a workload: no percentile of noise, no memory."""
        single = {"p50_ms", "p90_ms", "throughput", "ratio_to_reference"}
        return frozenset(single) | load_metrics(self.workload.load)

    # -- a model -------------------------------------------------------------------------------------------------

    def measure(self, subject: LatencySubject) -> LatencyReport:
        """Compute the latency of one model, with a breakdown.

        Raises:
            LatencyError: it can neither be costed in closed form nor be built, or does not fit the chip's memory.
            ConfigError: the workload is longer than the model's positions.
        """
        workload = self.workload
        operators = self._operators(subject, workload.batch_size)
        found = costs(operators, self.chip, workload.precision)
        self._check_fits(subject, operators)
        times = total_ms(found)[0]
        median = float(np.median(times))
        floor_ms = self.chip.floor_us / 1000
        found_flags = {"lower_bound": not self.chip.is_complete, "below_floor": median < floor_ms}
        numbers: dict[str, Any] = {"flags": [name for name, holds in found_flags.items() if holds]}
        if self._context.reference is not None:
            numbers["ratio_to_reference"] = _ratio(times, self._reference_times())
        if workload.load is not None:
            numbers |= under_load(self._service(subject), workload.load, numbers["flags"])
        return LatencyReport(
            backend="roofline",
            kind="analytical",
            precision=workload.precision,
            workload=workload.as_dict(),
            median=median,
            device=self.chip.name,
            p90=max(median, float(np.quantile(times, 0.9))),
            throughput=workload.batch_size / float(times.mean()) * 1000,
            threads=workload.threads,
            versions=self.chip.versions,
            environment={
                "peak_flops": self.chip.peak(workload.precision),
                "memory_bytes_per_s": self.chip.memory_gb_per_s * 1e9 * self.chip.memory_efficiency,
                "on_chip_bytes_per_s": self.chip.on_chip_gb_per_s and self.chip.on_chip_gb_per_s * 1e9,
            },
            breakdown=tuple(_rows(found, self._middle(times))),
            **numbers,
        )

    def _operators(self, subject: LatencySubject, batch: int) -> list[Operator]:
        architecture = subject.architecture
        if architecture is not None and known(architecture) and "huggingface" not in subject.artifacts:
            return self._encoder_and_head([architecture], batch)
        directory = subject.artifacts.get("huggingface")
        config = stored_config(directory) if directory is not None else None
        model = None
        if not config:
            model = build(subject, self._context, self.workload)
            config = model.config.to_dict()
        check_positions(config, subject, self._context, self.workload)
        architecture = architecture_of_config(config)
        if architecture is not None and self._context.flops is not None:
            return self._encoder_and_head([architecture], batch)
        model = model or build(subject, self._context, self.workload)
        return traced_operators(model, batch, self.workload.lengths, subject.name)

    def _encoder_and_head(self, architectures: Sequence[Architecture], batch: int) -> list[Operator]:
        encoder = operators_of(architectures, batch, self._lengths)
        if self._context.flops is None:
            return encoder
        # What the family counts beyond the encoder, at one and at two tokens: a part per sequence and one per token.
        few = np.array([1.0, 2.0])
        counted = np.array(
            [[float(self._context.flops(item, int(tokens))) for tokens in few] for item in architectures]
        )
        beyond = counted - encoder_flops(operators_of(architectures, 1, few))
        per_token = np.maximum(0.0, beyond[:, 1:] - beyond[:, :1])
        per_sequence = np.maximum(0.0, beyond[:, :1] - per_token)
        widths = np.array([[float(item.choices["hidden_size"])] for item in architectures])
        return [*encoder, *heads_of(per_sequence, per_token, widths, batch, self._lengths)]

    def _check_fits(self, subject: LatencySubject, operators: Sequence[Operator]) -> None:
        weights = float(np.max(self._weights(operators)))
        if weights > self._memory:
            raise LatencyError(
                f"Latency backend {self._context.label!r}: {subject.name} has weights of {weights / 1e9:.3g} GB in "
                f"{self.workload.precision}, {self.chip.name} has {self.chip.memory_gb:g} GB of memory."
            )

    def _weights(self, operators: Sequence[Operator]) -> Numbers:
        """Bytes of all weights, of each of the architectures."""
        elements = sum(np.max(np.atleast_2d(item.count * item.weights), axis=1) for item in operators)
        return np.asarray(elements * BYTES[self.workload.precision])

    @property
    def _memory(self) -> float:
        """Bytes of the chip's memory; without limit where the sheet does not tell."""
        return math.inf if self.chip.memory_gb is None else self.chip.memory_gb * 1e9

    def _middle(self, times: FloatArray) -> int:
        return int(np.argsort(times, kind="stable")[(len(times) - 1) // 2])

    def _reference_times(self) -> FloatArray:
        reference = self._context.reference
        if self._reference is None and reference is not None:
            found = costs(self._operators(reference, self.workload.batch_size), self.chip, self.workload.precision)
            self._reference = total_ms(found)[0]
        assert self._reference is not None
        return self._reference

    def _service(self, subject: LatencySubject) -> Service:
        assert self.workload.load is not None
        order = np.argsort(self._lengths, kind="stable")
        times = {}
        for size in batch_sizes(self.workload.load):
            found = costs(self._operators(subject, size), self.chip, self.workload.precision)
            times[size] = total_ms(found)[:, order]
        return Service(tuple(sorted(self.workload.lengths)), times, measured=False)

    # -- many architectures --------------------------------------------------------------------------------------

    def estimate(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]] | None:
        """Values as `measure` gives them, variances 0.

        NaN for families that must be traced (None for those alone), and for models that do not fit the chip's memory.
        """
        if not any(known(item) for item in architectures):
            return None
        times = np.full((len(architectures), len(self._lengths)), np.nan)
        for family in dict.fromkeys(item.family for item in architectures if known(item)):
            rows = [row for row, item in enumerate(architectures) if known(item) and item.family == family]
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK]
                operators = self._encoder_and_head([architectures[row] for row in part], self.workload.batch_size)
                found = costs(operators, self.chip, self.workload.precision)
                fits = self._weights(operators)[:, None] <= self._memory
                times[part] = np.where(fits, total_ms(found), np.nan)
        medians = np.median(times, axis=1)
        values = {
            "p50_ms": medians,
            "p90_ms": np.maximum(medians, np.quantile(times, 0.9, axis=1)),
            "throughput": self.workload.batch_size / times.mean(axis=1) * 1000,
        }
        if self._context.reference is not None:
            values["ratio_to_reference"] = np.exp(np.log(times / self._reference_times()).mean(axis=1))
        return {name: (column, np.where(np.isnan(column), np.nan, 0.0)) for name, column in values.items()}

    def close(self) -> None:
        """Nothing to end."""


def _ratio(times: FloatArray, reference: FloatArray) -> float:
    return float(np.exp(np.log(times / reference).mean()))


def _rows(found: Sequence[Cost], column: int) -> list[dict[str, Any]]:
    """Where the time goes at one length, slowest first; ``flops`` and ``bytes`` are those of one operator."""
    rows = []
    for cost in found:
        parts = cost.parts[:, 0, column]
        slowest = int(np.argmax(parts))
        rows.append(
            {
                "operator": cost.name,
                "count": int(cost.count[0, column]),
                "ms": float(cost.seconds[0, column]) * 1000,
                "side": SIDES[slowest] if parts[slowest] > cost.launch else "launch",
                "flops": float(cost.flops[0, column]),
                "bytes": float(cost.bytes[0, column]),
                "on_chip_bytes": float(cost.near_bytes[0, column]),
            }
        )
    return sorted(rows, key=lambda row: -float(row["ms"]))
