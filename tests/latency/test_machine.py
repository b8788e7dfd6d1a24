from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from autodistill.latency.machine import (
    chosen_cpus,
    device_name,
    pin,
    processor_name,
    reset_peak,
    resident_bytes,
    usable_cores,
)


def test_usable_cores_heeds_the_affinity_of_the_process() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= usable_cores() <= len(allowed)


def test_process_is_pinned_to_as_many_cores_as_threads_and_not_when_there_are_fewer() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        assert pin(usable_cores() + len(allowed)) is None
        assert os.sched_getaffinity(0) == allowed
        cpus = pin(1)
        assert cpus is not None
        assert os.sched_getaffinity(0) == set(cpus)
        assert len(cpus) == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("file", ["cpu_capacity", "cpufreq/cpuinfo_max_freq"])
def test_the_fastest_cores_are_chosen_and_the_last_among_equals(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three fast cores of two hyper-threads each, and behind them two slow ones."""
    monkeypatch.setattr("autodistill.latency.machine.CPUS", tmp_path)
    assert chosen_cpus(range(8), 2) == [6, 7]  # nothing is told of them
    for cpu, (siblings, speed) in enumerate(
        [("0-1", 9)] * 2 + [("2-3", 9)] * 2 + [("4-5", 9)] * 2 + [("6", 5), ("7", 5)]
    ):
        for name, content in (("topology/thread_siblings_list", siblings), (file, speed)):
            path = tmp_path / f"cpu{cpu}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
    assert chosen_cpus(range(8), 2) == [2, 4]
    assert chosen_cpus(range(8), 4) == [0, 2, 4, 7]
    assert chosen_cpus({5, 6, 7}, 1) == [5]
    assert chosen_cpus(range(8), 6) is None


def test_processor_is_named_with_its_number_of_cpus() -> None:
    assert device_name("cpu") == f"{processor_name()} ({os.cpu_count()} CPUs)"


def test_a_gpu_that_pytorch_cannot_see_is_named_by_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device_name("cpu").startswith(processor_name())
    assert device_name("cuda") == "cuda"
    driver = tmp_path / "nvidia-smi"
    driver.write_text('#!/bin/sh\necho "NVIDIA H100, $3 $4"\n')
    driver.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device_name("cuda") == "NVIDIA H100,"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert device_name("cuda") == "NVIDIA H100, -i 2"


def test_peak_rises_with_what_was_used_and_starts_anew() -> None:
    before = reset_peak()
    if before is None:
        pytest.skip("the kernel does not reset peaks")
    block = np.ones(5_000_000)  # 40 MB
    del block
    peak = resident_bytes("VmHWM")
    assert peak is not None
    assert peak - before > 30e6
    again = reset_peak()
    assert again is not None
    assert (resident_bytes("VmHWM") or 0) < peak


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\nprocessor\t: 1\nmodel name\t: other\n", "Intel(R) Xeon(R)"),
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n\n"
            "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
            "aarch64, implementer 0x41, part 0xd40, part 0xd0c",
        ),
        ("", "aarch64"),
        (None, "aarch64"),
    ],
)
def test_processors_are_told_apart_by_name_or_by_the_designs_of_their_cores(
    told: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("autodistill.latency.machine.CPU_INFO", tmp_path / "cpuinfo")
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    assert processor_name() == name
    assert device_name("cpu") == f"{name} ({os.cpu_count()} CPUs)"
