"""The benchmarks of distillation: their statistics are what they say, their settings compose, a tiny one runs."""

from __future__ import annotations

import importlib
import json
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodistill
from autodistill.components.architecture import Architecture
from autodistill.registry import default_registry

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def module(name: str) -> Any:
    """A module of the benchmark, which is no part of the installed package."""
    return importlib.import_module(f"benchmarks.distillation.{name}")


def test_a_tiny_cache_saves_passes_and_changes_no_loss(tmp_path: Path) -> None:
    cache = module("cache")
    given = Namespace(work=tmp_path, students=1, steps=2, batch_size=2, length=8, losses="logits_kl,minilm_relation")
    vars(given).update(device="cpu", precision="32-true", threads=1, tiny=True)
    records = {}
    for unit in ("pass", "cached:0", "online:0"):
        given.unit = unit
        records[unit] = cache.run_unit(given)
    found = cache.summary(records, 1)
    assert found["disk_bytes"] > 0
    assert found["ratio"] > 0
    assert found["largest_relative_difference_of_last_losses"] < 1e-2


def test_half_a_line_is_what_a_kill_leaves(tmp_path: Path) -> None:
    cache, path, settings = module("cache"), tmp_path / "records.jsonl", {"steps": "2"}
    path.write_text('{"unit": "pass", "settings": {"steps": "2"}, "seconds": 1.0}\n{"unit": "cached:0", "sec')
    assert cache.read_records(path, settings) == {"pass": {"seconds": 1.0}}
    cache.append_line(path, json.dumps({"unit": "cached:0", "settings": settings, "seconds": 2.0}))
    assert cache.read_records(path, settings) == {"pass": {"seconds": 1.0}, "cached:0": {"seconds": 2.0}}


@pytest.mark.parametrize(
    ("made", "why"),
    [({"settings": {"steps": "2", "students": "1"}}, "(steps)"), ({}, "(steps, students)")],
    ids=["of other steps", "of an earlier version"],
)
def test_units_of_other_settings_are_not_taken(tmp_path: Path, made: dict[str, Any], why: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps({"unit": "pass", "seconds": 1.0, **made}) + "\n")
    with pytest.raises(SystemExit, match=re.escape(f"has records of other settings {why}")):
        module("cache").read_records(path, {"steps": "3", "students": "1"})


def test_architectures_are_drawn_from_every_band_of_latency() -> None:
    latencies = {Architecture("bert", {"num_layers": layer}): float(layer**2) for layer in range(1, 41)}
    drawn = module("fidelity_setup").over_bands(latencies, 10)
    assert [item.choices["num_layers"] for item in drawn] == list(range(3, 43, 4))


def test_a_perfect_flash_has_the_ceiling_and_no_regret(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    full = np.sort(rng.uniform(0.6, 0.9, 24))
    latency = np.exp(rng.permutation(24) / 10)
    sizes = {"flops": latency * 1e6, "parameters": latency * 1e5, "latency": latency}
    statistics = module("fidelity_statistics")
    monkeypatch.setattr(statistics, "RESAMPLES", 20)  # the intervals are not what is looked at
    found = statistics.judge(np.stack([full, full]), np.stack([full, full]), sizes, latency, 0.5)
    assert found["flash_with_full"]["spearman"]["value"] == 1.0
    assert found["flash_with_full_given_latency"]["spearman"]["value"] == 1.0
    assert found["share_of_ceiling"] == 1.0
    assert found["flash_minus_predictors"]["flops"]["value"] > 0.5
    assert found["regret"] == 0.0
    backwards = statistics.judge(np.stack([1 - full] * 2), np.stack([full] * 2), sizes, latency, 0.5)
    assert backwards["flash_with_full"]["kendall"]["value"] == -1.0
    assert backwards["regret"] > 0.01
    # What two runs of one seed have in common predicts nothing: the seed's luck is not the architecture's.
    luck = np.stack([full, full[::-1]])
    lucky = statistics.judge(luck, luck, sizes, latency, 0.5)
    assert (
        lucky["flash_with_full"]["spearman"]["value"]
        == lucky["full_with_full_between_seeds"]["spearman"]["value"]
        == -1.0
    )
    assert lucky["flash_with_full_given_latency"]["spearman"]["value"] < 0
    assert lucky["regret"] > 0.01
    assert lucky["noise"]["full"]["shared_by_a_seed"] == 0.0
    assert found["noise"]["full"]["between_seeds"] == 0.0
    # One full run each: the flash run of its seed is not what it is held against, and there is no ceiling.
    spared = statistics.judge(luck[::-1], full[None], sizes, latency, 0.5)
    assert spared["flash_with_full"]["spearman"]["value"] == 1.0
    assert spared["full_with_full_between_seeds"] is None
    assert "share_of_ceiling" not in spared
    assert spared["regret"] == 0.0
    level = statistics.leads(np.stack([full, full]), np.stack([full, full]), {"same": full}, apart=True)
    assert level == {"same": {"value": 0.0, "low": 0.0, "high": 0.0}}
    with pytest.raises(ValueError, match="need two seeds at least"):
        statistics.correlations(full, full, apart=True)
    flat = statistics.correlations(np.ones(24), full)
    assert flat["spearman"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_the_gain_of_a_variant_is_paired() -> None:
    default = np.array([[0.5, 0.9], [0.6, 0.8]])
    assert module("ablations").gain(default + 0.1, default) == {"mean": 0.1, "low": 0.1, "high": 0.1}


@pytest.mark.parametrize(("name", "least"), [("sst2", 6), ("corpus", 3)])
def test_variants_of_the_loss_are_those_of_the_tasks_own_loss(tmp_path: Path, name: str, least: int) -> None:
    setup = module("fidelity_setup")
    task = setup.fidelity_task(name, tmp_path, None)
    suited = {variant: setup.VARIANTS[variant] for variant in setup.variants_of(name)}
    inside = [variant for variant, changed in suited.items() if all(item.startswith("loss.") for item in changed)]
    assert len(inside) >= least
    seen = {
        str(autodistill.compose(setup.study_overrides(task, "s", variant, 0.05, tmp_path)).several["loss"])
        for variant in inside
    }
    assert len(seen) == len(inside)


def test_the_tiny_task_has_steps_enough_for_every_schedule(tmp_path: Path) -> None:
    setup, flash = module("fidelity_setup"), module("flash_fidelity")
    task = setup.fidelity_task("tiny", tmp_path, None)
    share = min(flash.arguments(None).get_default("fidelities"))
    others = [name for name, changed in setup.VARIANTS.items() if any("schedule=" in item for item in changed)]
    assert len(others) >= 3
    for variant in others:
        overrides = setup.study_overrides(task, "s", variant, share, tmp_path, flash.TINY_SPACE)
        chosen = autodistill.compose(overrides).one("schedule")
        schedule = default_registry().create("schedule", chosen.name, chosen.parameters)
        assert all(phase.steps for layers in (1, 2) for phase in schedule.phases(layers, 2, share)), variant


@pytest.mark.parametrize(("name", "own"), [("sst2", "logits_kl"), ("corpus", "mlm_soft")])
def test_variants_add_losses_to_the_tasks_own(tmp_path: Path, name: str, own: str) -> None:
    setup = module("fidelity_setup")
    overrides = setup.study_overrides(setup.fidelity_task(name, tmp_path, None), "s", "hidden", 0.05, tmp_path)
    assert list(autodistill.compose(overrides).several["loss"]) == [own, "hidden_mse"]
    assert ("hard_label" in setup.variants_of(name)) == (own == "logits_kl")
