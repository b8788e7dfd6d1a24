"""Data sheets of chips: what the ``roofline`` backend computes with.

A sheet is a YAML file with the fields of `Chip`; ``name``, ``peak_tflops`` and ``memory_gb_per_s`` are required. Those
in ``autodistill/latency/chips`` come with AutoDistill; your own is named by its path:
``latency.roofline.chip=my.yaml``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from autodistill.errors import ConfigError, did_you_mean

#: Bytes of a number.
BYTES: Mapping[str, int] = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}

#: What a sheet may say, per field: (least, largest). Beyond is a mistake of units: no chip of 2026 has a thousandth or
#: a hundredfold of these.
LIMITS: Mapping[str, tuple[float, float]] = {
    "memory_gb_per_s": (0.1, 1e5),
    "memory_gb": (1e-3, 1e4),
    "on_chip_mb": (1e-3, 1e5),
    "on_chip_gb_per_s": (0.1, 1e7),
    "launch_overhead_us": (0.0, 1e4),
    "floor_us": (0.0, 1e6),
    "vector_tops": (1e-6, 1e5),
    "half_rows": (0.0, 1e5),
    "compute_efficiency": (1e-3, 1.0),
    "memory_efficiency": (1e-3, 1.0),
    "watts": (1e-2, 1e5),
}
PEAK_LIMITS = (1e-4, 1e5)

#: Operations per byte at which computing and moving take equally long. Outside of this a unit is wrong (TB/s for GB/s).
RIDGE_LIMITS = (0.1, 2e4)


@dataclass(frozen=True)
class Chip:
    """A data sheet.

    Args:
        name: what reports call it.
        peak_tflops: precision -> 10^12 operations per second of dense matrix products, 2 per multiply-add.
        memory_gb_per_s: 10^9 bytes per second from and to main memory.
        memory_gb: main memory in 10^9 bytes; a model that does not fit is refused. None: not checked.
        on_chip_mb: memory on the chip in 10^6 bytes. Weights that all fit stay there between requests; what passes from
            one operator to the next stays when it fits. None: everything goes through main memory.
        on_chip_gb_per_s: its bandwidth. None: not known, and no limit.
        launch_overhead_us: microseconds that every operator costs, however small. 0: not known.
        floor_us: microseconds that no request stays below, whatever the model; estimates below are flagged, not raised.
        vector_tops: 10^12 elementwise operations per second. None: not known, and no limit.
        half_rows: rows of a matrix product at which it reaches half of the peak.
        compute_efficiency: reachable share of the peak, in (0, 1].
        memory_efficiency: reachable share of the bandwidth, in (0, 1].
        watts: for the record.
    """

    name: str
    peak_tflops: Mapping[str, float]
    memory_gb_per_s: float
    memory_gb: float | None = None
    on_chip_mb: float | None = None
    on_chip_gb_per_s: float | None = None
    launch_overhead_us: float = 0.0
    floor_us: float = 0.0
    vector_tops: float | None = None
    half_rows: float = 0.0
    compute_efficiency: float = 1.0
    memory_efficiency: float = 1.0
    watts: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether the sheet tells all that makes small models slow; else its estimates are lower bounds."""
        on_chip = self.on_chip_mb is None or self.on_chip_gb_per_s is not None
        return on_chip and self.vector_tops is not None and self.launch_overhead_us > 0

    def peak(self, precision: str) -> float:
        """Reachable operations per second."""
        return self.peak_tflops[precision] * 1e12 * self.compute_efficiency


def built_in_chips() -> list[str]:
    """Names of the sheets that come with AutoDistill."""
    folder = files("autodistill.latency.chips")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_chip(name: str, where: str) -> Chip:
    """Read a sheet.

    Args:
        name: of a built-in sheet, or the path of a YAML file.
        where: the key, for messages.

    Raises:
        ConfigError: there is no such sheet, or it says what cannot be.
    """
    if name in built_in_chips():
        return chip_of(_parse(files("autodistill.latency.chips").joinpath(f"{name}.yaml").read_text(), name), name)
    path = Path(name).expanduser()
    if not path.is_file():
        possible = [*built_in_chips(), "this_machine"]
        raise ConfigError(
            f"{where} must be {', '.join(possible)} or the path of a YAML file, got {name!r}."
            f"{did_you_mean(name, possible)}"
        )
    return chip_of(_parse(path.read_text(), str(path)), str(path))


def _parse(text: str, where: str) -> Any:
    from omegaconf import OmegaConf
    from yaml import YAMLError  # type: ignore[import-untyped]  # omegaconf's own parser

    try:
        return OmegaConf.to_container(OmegaConf.create(text))
    except YAMLError as error:
        raise ConfigError(f"The data sheet {where} is not YAML: {error}") from error


def chip_of(content: Any, where: str) -> Chip:
    """A chip from a sheet's content.

    Args:
        content: mapping of the fields of `Chip`.
        where: file, for messages.

    Raises:
        ConfigError: an unknown or missing field, or a value that cannot be.
    """
    names = [item.name for item in fields(Chip)]
    required = [item.name for item in fields(Chip) if item.default is MISSING and item.default_factory is MISSING]
    if isinstance(content, dict):  # an empty field of a sheet says as much as one that is not there
        content = {name: value for name, value in content.items() if value is not None}
    if not isinstance(content, dict) or any(name not in content for name in required):
        raise ConfigError(f"The data sheet {where} must be a mapping with {', '.join(required)}, got {content!r}.")
    for name, value in content.items():
        if name not in names:
            raise ConfigError(f"The data sheet {where} has the unknown field {name!r}.{did_you_mean(str(name), names)}")
        if name in LIMITS:
            _check_number(value, f"{where}: {name}", LIMITS[name])
    if not isinstance(content["name"], str) or not content["name"]:
        raise ConfigError(f"The data sheet {where}: name must be a text, got {content['name']!r}.")
    _check_peaks(content, where)
    return Chip(**content)


def _check_peaks(content: Mapping[str, Any], where: str) -> None:
    peaks = content["peak_tflops"]
    if not isinstance(peaks, dict) or not peaks or any(name not in BYTES for name in peaks):
        raise ConfigError(
            f"The data sheet {where}: peak_tflops must map precisions ({', '.join(BYTES)}) to numbers, got {peaks!r}."
        )
    _check_number(content["memory_gb_per_s"], f"{where}: memory_gb_per_s", LIMITS["memory_gb_per_s"])
    for precision, value in peaks.items():
        _check_number(value, f"{where}: peak_tflops.{precision}", PEAK_LIMITS)
        ridge = value * 1000 / content["memory_gb_per_s"]  # 1000 GFLOP in a TFLOP
        if not RIDGE_LIMITS[0] <= ridge <= RIDGE_LIMITS[1]:
            raise ConfigError(
                f"The data sheet {where} says {value:g} TFLOP/s in {precision} and "
                f"{content['memory_gb_per_s']:g} GB/s: {ridge:g} operations per byte, "
                f"which no chip has ({RIDGE_LIMITS[0]:g} to {RIDGE_LIMITS[1]:g}). "
                "Check the units: TFLOP/s, and GB/s rather than TB/s."
            )


def _check_number(value: Any, where: str, limits: tuple[float, float]) -> None:
    low, high = limits
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        raise ConfigError(f"The data sheet {where} must be a number from {low:g} to {high:g}, got {value!r}.")
