"""Fixtures shared by all tests: an offline, quiet, single-user environment and a fresh registry."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from autodistill.plugin_manager import PluginManager
from autodistill.registry import Registry

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Workers share the cores: with more threads than cores each waits for the others, many times as long as it computes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The machine may be busy, and the first example of a test may import torch.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: a slow one that starts last would leave the other workers idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def settings_of_torch() -> Iterator[None]:
    """A study sets threads and flushes denormals in its process; the latter Hypothesis takes for a broken float."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True, scope="module")
def nothing_old_is_searched() -> None:
    """A training run ends with a collection of garbage, most of whose time goes into what imports have made."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def open_streams() -> None:
    """absl, which TensorBoard loads, remembers the stream of its import, pytest's, and closes it when Hydra logs."""
    absl = sys.modules.get("absl.logging")
    if absl is not None:
        absl.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture
def fresh_registry() -> Registry:
    """The built-in components only, on a manager of its own."""
    manager = PluginManager()
    manager.load_builtins()
    return Registry(manager)


@pytest.fixture
def install_plugin(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a module and the metadata of a distribution that provides it; returns the folder for PYTHONPATH."""

    def install(name: str, source: str) -> Path:
        site = tmp_path / "site"
        metadata = site / f"{name}-1.5.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{name}.py").write_text(source)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (metadata / "entry_points.txt").write_text(f"[autodistill]\n{name} = {name}\n")
        return site

    return install
