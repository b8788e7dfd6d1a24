"""The machine and the library versions that a study's numbers hold for; and how this process computes."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from autodistill.latency.machine import processor_name

#: Distributions whose versions can change a number of a study.
LIBRARIES = (
    *("torch", "transformers", "tokenizers", "pytorch-lightning", "botorch", "gpytorch", "nevergrad", "numpy"),
    *("scipy", "scikit-learn", "datasets", "onnx", "onnxruntime", "hydra-core", "omegaconf", "pluggy", "SQLAlchemy"),
)


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def library_versions() -> dict[str, str]:
    """Distribution name -> version, of those that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_environment() -> dict[str, Any]:
    """Machine, operating system, Python and library versions; no host name, no user name, no path."""
    from autodistill import __version__

    return {
        "autodistill": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor_name(),
        "cores": available_cores(),
        "memory_bytes": _memory_bytes(),
        "accelerators": accelerator_names(),
        "libraries": library_versions(),
    }


def accelerator_names() -> list[str]:
    """Names of the GPUs that this process may use; none where torch is not loaded, which it takes seconds to do."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def prepare_process(trainer: Mapping[str, Any]) -> int:
    """Fix the number of CPU threads, flush denormals, and keep libraries off the network; returns the threads."""
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # the console belongs to the study's own progress
    transformers_logging.set_verbosity_error()
    threads = int(trainer.get("threads") or available_cores())
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # near-zero weights are some ten times slower otherwise
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # forked workers would warn and deadlock
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    return threads
