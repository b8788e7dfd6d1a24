"""The data sheet of this machine, from micro-benchmarks in a process of their own; a few seconds, once.

``python -m autodistill.latency.calibration DEVICE THREADS`` prints the sheet as JSON. `calibrated_chip` asks for it
and keeps it in the shared cache, under the device's name (the GPU's on ``cuda``), its threads and PyTorch's version.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autodistill.components.latency import LatencyContext
from autodistill.errors import LatencyError
from autodistill.exporters.onnx_session import package_environment
from autodistill.folders import InUse, write_json
from autodistill.latency.chip import Chip, chip_of
from autodistill.latency.lock import DeviceLock
from autodistill.latency.machine import device_name, pin
from autodistill.latency.process import THREAD_VARIABLES
from autodistill.lifeline import run_apart, text_of

#: Seconds after which a calibration is given up; it takes a few.
TIMEOUT_SECONDS = 300

#: Seconds for one micro-benchmark.
SECONDS = 0.15

#: Side of the square product whose rate is the peak, by device: large enough that launching does not count.
PEAK_SIDE = {"cpu": 768, "cuda": 8192}

#: What other micro-benchmarks have told is not read: part of the sheets' names.
EDITION = 2

#: Bytes that are copied: sizes to find the fast memory with, and the last for main memory.
COPIED = tuple(2**power for power in range(16, 28))

#: A size is in fast memory while it is copied this much faster than the largest.
FAST = 1.5


def calibrated_chip(context: LatencyContext, device: str, threads: int) -> Chip:
    """The sheet of this machine, from the cache or measured now.

    Raises:
        LatencyError: the micro-benchmarks failed.
    """
    path = sheet_of(context.work_dir, device, threads)
    in_use = InUse(path.parent)
    try:
        if not path.exists():
            _make_sheet(path, device, threads)
        with suppress(OSError):
            os.utime(path.parent)  # recently used, for whoever limits the cache's size
        return chip_of(json.loads(path.read_text()), str(path))
    finally:
        in_use.close()


def sheet_of(directory: Path, device: str, threads: int) -> Path:
    """Where the sheet of this machine is kept.

    Args:
        directory: of the latency backends' cache.
        device: ``cpu`` or ``cuda``.
        threads: on the CPU.
    """
    name = device_name(device)
    key = {"device": device, "threads": threads, "name": name, "torch": version("torch"), "edition": EDITION}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    return directory / "chips" / f"{digest}.json"


def _make_sheet(path: Path, device: str, threads: int) -> None:
    """Calibrate, unless another process has meanwhile: all keep one sheet."""
    lock = DeviceLock(device)
    try:
        with lock.held():
            if not path.exists():
                content = _run(device, threads)
                chip_of(content, "of this machine, as calibrated,")
                write_json(path, content)
    finally:
        lock.close()


def _run(device: str, threads: int) -> Any:
    command = [sys.executable, "-m", __name__, device, str(threads)]
    environment = package_environment() | dict.fromkeys(THREAD_VARIABLES, str(threads))
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        limit = TIMEOUT_SECONDS
        try:
            status = run_apart(command, printed=printed, said=said, environment=environment, timeout_seconds=limit)
        except subprocess.TimeoutExpired as error:
            raise LatencyError(f"Calibrating {device} has not ended after {limit} s.") from error
        if status:
            last = text_of(said).strip().splitlines()[-1:]
            raise LatencyError(f"Calibrating {device} failed (exit status {status}): {' '.join(last)}")
        return json.loads(text_of(printed).splitlines()[-1])


# -- the process ---------------------------------------------------------------------------------------------------


def calibrate(device: str, threads: int) -> dict[str, Any]:
    """Micro-benchmarks: matrix products, copies, an activation, an operator on next to nothing.

    Args:
        device: ``cpu`` or ``cuda``.
        threads: of PyTorch on the CPU.
    """
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    small = torch.ones(8, device=device)
    launch = _seconds(lambda: torch.add(small, 1.0), device)
    peaks = {name: _peak(dtype, device) for name, dtype in _types(device).items()}
    speeds = [_copy(size, device) for size in COPIED]
    fast = [size for size, speed in zip(COPIED, speeds, strict=True) if speed > FAST * speeds[-1]]
    elements = 2**16  # in fast memory, and far above launching
    values = torch.randn(elements, device=device)
    activation = _seconds(lambda: torch.nn.functional.gelu(values), device)
    name = device_name(device)
    chip = Chip(
        name=f"{name}, {threads} threads" if device == "cpu" else name,
        peak_tflops=peaks,
        memory_gb_per_s=speeds[-1] / 1e9,
        on_chip_mb=2 * fast[-1] / 1e6 if fast else None,  # source and target were in there
        on_chip_gb_per_s=max(speeds) / 1e9 if fast else None,
        launch_overhead_us=launch * 1e6,
        vector_tops=8.0 * elements / activation / 1e12,  # 8: as `autodistill.latency.operators.GELU` counts
        half_rows=_half_rows(device),
        versions={"torch": torch.__version__},
    )
    return asdict(chip)


def _types(device: str) -> dict[str, Any]:
    import torch

    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return types | {"fp16": torch.float16} if device == "cuda" else types


def _seconds(call: Callable[[], object], device: str) -> float:
    """Median seconds of a call; on a GPU of one in a queue of them."""
    import torch

    repeats = 1
    while (taken := _timed(call, device, repeats)) < SECONDS / 10:
        repeats *= 2
    times = [taken]
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:  # three: a median that one disturbance does not move
        times.append(_timed(call, device, repeats))
    return float(torch.tensor(times).median()) / repeats


def _timed(call: Callable[[], object], device: str, repeats: int) -> float:
    import torch

    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _peak(dtype: Any, device: str) -> float:
    """10^12 operations per second of a large product."""
    import torch

    side = PEAK_SIDE[device]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _seconds(lambda: left @ right, device) / 1e12


def _copy(size: int, device: str) -> float:
    """Bytes per second, read and written, of copying ``size`` bytes."""
    import torch

    source = torch.ones(size // 4, device=device)  # 4 bytes in a float32
    target = torch.empty_like(source)
    return 2 * size / _seconds(lambda: target.copy_(source), device)


def _half_rows(device: str) -> float:
    """Rows at which a product reaches half of its rate, from 16 and 512 rows against the same weights."""
    import torch

    weights = torch.randn(512, 512, device=device)
    rates = {}
    for rows in (16, 512):
        inputs = torch.randn(rows, 512, device=device)
        rates[rows] = rows / _seconds(lambda inputs=inputs: inputs @ weights, device)  # type: ignore[misc]
    # rate(n) = peak n / (n + half) for both: solved for half.
    ratio = rates[512] / rates[16]
    return max(0.0, min(512.0, (ratio - 1) / (1 / 16 - ratio / 512)) if ratio < 32 else 512.0)


def main() -> None:
    """Print the sheet of this machine; on the cores that models are timed on."""
    device, threads = sys.argv[1], int(sys.argv[2])
    if device == "cpu":
        pin(threads)
    print(json.dumps(calibrate(device, threads)))


if __name__ == "__main__":
    main()
