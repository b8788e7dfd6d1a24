from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autodistill.errors import ConfigError
from autodistill.latency.chip import built_in_chips, chip_of, load_chip

GOOD: dict[str, Any] = {"name": "Mine", "peak_tflops": {"bf16": 100}, "memory_gb_per_s": 500}


def test_sheets_that_come_along_have_the_vendors_figures() -> None:
    sheets = {name: load_chip(name, "x") for name in built_in_chips()}
    figures = {name: (next(iter(chip.peak_tflops.values())), chip.memory_gb_per_s) for name, chip in sheets.items()}
    assert figures == {
        "tpu_v4i": (138, 614),
        "tpu_v5e": (197, 819),
        "t4": (65, 320),
        "a100": (312, 2040),
        "h100": (989, 3350),
        "h200": (989, 4800),
    }
    assert sheets["tpu_v4i"].on_chip_mb == 128


def test_one_file_adds_a_chip(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: Mine\npeak_tflops: {int8: 26}\nmemory_gb_per_s: 68\nlaunch_overhead_us: 3\n")
    chip = load_chip(str(path), "x")
    assert (chip.name, chip.peak("int8"), chip.launch_overhead_us) == ("Mine", 26e12, 3)


def test_unknown_chip_lists_the_sheets_and_the_likely_one() -> None:
    with pytest.raises(
        ConfigError, match=r"latency\.roofline\.chip must be a100, .*got 'tpu_v4'\. Did you mean 'tpu_v4i'"
    ):
        load_chip("tpu_v4", "latency.roofline.chip")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peak_tflops": {"bf16": -3}}, r"peak_tflops\.bf16 must be a number from"),
        ({"peak_tflops": {"bf16": "fast"}}, r"peak_tflops\.bf16 must be a number from .* got 'fast'"),
        ({"peak_tflops": {"fp8": 3}}, r"peak_tflops must map precisions \(fp32, bf16, fp16, int8\)"),
        ({"peak_tflops": {}}, "peak_tflops must map precisions"),
        ({"peak_tflops": 989}, "peak_tflops must map precisions"),
        ({"memory_gb_per_s": 0}, "memory_gb_per_s must be a number from"),
        ({"memory_gb_per_s": float("nan")}, "memory_gb_per_s must be a number from"),
        ({"memory_gb_per_s": 4.8, "peak_tflops": {"bf16": 989}}, r"operations per byte, which no chip has .* TB/s"),
        ({"compute_efficiency": 1.2}, "compute_efficiency must be a number from 0.001 to 1, got 1.2"),
        ({"on_chip_mb": -1}, "on_chip_mb must be a number from"),
        ({"launch_overhead_us": True}, "launch_overhead_us must be a number from"),
        ({"memory_gbps": 3}, "unknown field 'memory_gbps'. Did you mean 'memory_gb"),
        ({"name": ""}, "name must be a text"),
    ],
)
def test_impossible_sheet_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chip_of({**GOOD, **changes}, "mine.yaml")


@pytest.mark.parametrize("content", [None, [], "text", {"name": "Mine"}])
def test_sheet_without_the_required_fields_says_which(content: Any) -> None:
    with pytest.raises(ConfigError, match=r"mine\.yaml must be a mapping with name, peak_tflops, memory_gb_per_s"):
        chip_of(content, "mine.yaml")


def test_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: [\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml is not YAML"):
        load_chip(str(path), "x")


def test_an_empty_field_of_a_sheet_is_one_that_is_not_there() -> None:
    names = ("floor_us", "launch_overhead_us", "compute_efficiency", "memory_efficiency", "half_rows", "versions")
    assert chip_of({**GOOD, **dict.fromkeys(names)}, "mine") == chip_of(GOOD, "mine")
    with pytest.raises(ConfigError, match="must be a mapping with name, peak_tflops, memory_gb_per_s"):
        chip_of({**GOOD, "peak_tflops": None}, "mine")
