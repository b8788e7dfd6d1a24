"""Facts about this machine: usable cores, the processor's name and state, memory of this process."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

#: What the kernel tells of every CPU.
CPUS = Path("/sys/devices/system/cpu")

#: What the kernel tells of every CPU in words, and the lines of it that tell ARM's designs apart.
CPU_INFO, ARM_CORES = Path("/proc/cpuinfo"), ("CPU implementer", "CPU part")

#: Seconds that NVIDIA's driver is given to tell a name; it needs one or two to wake a GPU.
DRIVER_SECONDS = 10


def usable_cores() -> int:
    """Physical cores that this process may use, at least 1: its affinity and its container's quota are heeded."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = {_core_of(cpu) for cpu in os.sched_getaffinity(0)}
    return max(1, min(len(cores), _quota()))


def _core_of(cpu: int) -> str:
    """What hyper-threads of one core have in common."""
    try:
        return (CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """CPUs that the control group grants (version 2), rounded up; large when it does not limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        limit, period = "max", "1"
    return 2**31 if limit == "max" else math.ceil(int(limit) / int(period))


def processor_name() -> str:
    """The CPU's model name; on ARM, where kernels tell none, the numbers of who designed its cores and of the designs.

    The architecture alone where nothing is told.
    """
    try:
        lines = CPU_INFO.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    facts = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    names = [value for key, value in facts if key == "model name" and value]
    if names:
        return names[0]
    cores = dict.fromkeys(f"{key.removeprefix('CPU ')} {value}" for key, value in facts if key in ARM_CORES)
    return ", ".join([platform.machine(), *cores]) if cores else platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """Name and number of the CPUs, or the name of the GPU.

    It is the one that PyTorch would take, else the one that other runtimes find; ``device`` itself where nobody knows a
    name.
    """
    if device != "cuda":
        return f"{processor_name()} ({os.cpu_count()} CPUs)"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else _name_by_driver() or device


def _name_by_driver() -> str | None:
    """What NVIDIA's driver calls the first GPU that this process may use; PyTorch may be built without CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", *(["-i", visible] if visible else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DRIVER_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next((line.strip() for line in done.stdout.splitlines() if line.strip()), None)


def pin(threads: int) -> list[int] | None:
    """Keep this process, and what it starts from now on, on CPUs of its own: those of `chosen_cpus`.

    Returns:
        The CPUs; None where the system cannot do that, or has fewer cores for this process.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    chosen = chosen_cpus(os.sched_getaffinity(0), threads)
    if chosen is not None:
        os.sched_setaffinity(0, chosen)
    return chosen


def chosen_cpus(allowed: Iterable[int], threads: int) -> list[int] | None:
    """One CPU of each of ``threads`` physical cores, or None where there are fewer.

    The fastest, as a server's threads find them on a processor with cores of two kinds; among equals the last ones,
    since interrupts mostly go to the first.

    Args:
        allowed: CPUs to choose from.
        threads: >= 1.
    """
    one_of_each = {_core_of(cpu): cpu for cpu in sorted(allowed, reverse=True)}
    if threads > len(one_of_each):
        return None
    return sorted(sorted(one_of_each.values(), key=lambda cpu: (_speed(cpu), cpu))[-threads:])


def _speed(cpu: int) -> int:
    """How fast the kernel takes a CPU to be beside the others; 0 where it does not tell."""
    for file in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        with suppress(OSError, ValueError):
            return int((CPUS / f"cpu{cpu}" / file).read_text())
    return 0


def state() -> dict[str, Any]:
    """What may disturb a timing, as it is now: load of the last minute, governor and clock rate of the first CPU."""
    found: dict[str, Any] = {"usable_cores": usable_cores()}
    if hasattr(os, "getloadavg"):
        found["load_average"] = round(os.getloadavg()[0], 2)
    for name, file in (("governor", "scaling_governor"), ("clock_khz", "scaling_cur_freq")):
        with suppress(OSError):
            found[name] = (CPUS / f"cpu0/cpufreq/{file}").read_text().strip()
    return found


def resident_bytes(field: str) -> int | None:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process in bytes; None where the kernel does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith(field + ":")]
    return kilobytes[0] * 1024 if kilobytes else None


def reset_peak() -> int | None:
    """Return freed memory to the system and start the peak anew; the resident bytes now, or None if impossible."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc only
        Path("/proc/self/clear_refs").write_text("5")  # 5: reset the peak of the resident set, proc(5)
    except (OSError, AttributeError):
        return None
    return resident_bytes("VmRSS")
