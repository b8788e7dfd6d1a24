"""What measuring backends do alike with their subjects: workloads, building, limits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.latency import LatencyContext, LatencySubject, Load, Workload
from autodistill.errors import ConfigError, LatencyError
from autodistill.latency.configs import WorkloadOptions
from autodistill.latency.lengths import read_lengths
from autodistill.latency.machine import usable_cores

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Vocabulary assumed for weights without a ``config.json`` beside them; every real one is larger.
SMALL_VOCABULARY = 30


def workload_of(
    context: LatencyContext, options: WorkloadOptions, *, precision: Any, threads: int | None, device: str
) -> Workload:
    """The workload of a backend's configuration, nulls filled in from the data and the machine.

    Raises:
        ConfigError: neither the configuration nor the data gives lengths, a file of lengths cannot be read, or they are
            longer than the models of the study take.
    """
    where = f"latency.{context.label}"
    chosen = read_lengths(options["lengths"], f"{where}.lengths") or context.lengths
    if not chosen:
        raise ConfigError(
            f"{where}.lengths is null, but there is no data whose lengths could be used. "
            f"Give lengths, e.g. {where}.lengths=[128]."
        )
    _check_lengths(chosen, context.max_positions, "teacher and students take", context)
    return Workload(options["batch_size"], chosen, precision, threads or usable_cores(), device, _load_of(options))


def _load_of(options: WorkloadOptions) -> Load | None:
    """The offered load; None for a single stream."""
    if options["requests_per_second"] is None and options["p99_limit_ms"] is None:
        return None
    return Load(
        options["max_batch"],
        options["max_wait_ms"],
        options["requests_per_second"],
        options["p99_limit_ms"],
        options["price_per_hour"],
    )


def build(subject: LatencySubject, context: LatencyContext, workload: Workload) -> PreTrainedModel:
    """The subject's model, made without touching torch's global generator.

    Raises:
        LatencyError: the subject has neither an artifact that serves nor a way to build the model.
        ConfigError: the workload is longer than the model's positions.
    """
    import torch

    if subject.build is None:
        raise LatencyError(
            f"Latency backend {context.label!r} could not time {subject.name}: it is given as "
            f"{', '.join(subject.artifacts) or 'nothing'}, which this backend cannot load."
        )
    with torch.random.fork_rng(devices=[]):
        model = subject.build()
    check_positions(model.config.to_dict(), subject, context, workload)
    return model.eval()


def check_positions(
    config: Mapping[str, Any], subject: LatencySubject, context: LatencyContext, workload: Workload
) -> None:
    """Raise `ConfigError` when requests are longer than the model's positions."""
    _check_lengths(workload.lengths, config.get("max_position_embeddings"), f"{subject.name} takes", context)


def _check_lengths(lengths: Sequence[int], positions: int | None, who: str, context: LatencyContext) -> None:
    if positions is not None and max(lengths) > positions:
        raise ConfigError(
            f"latency.{context.label}.lengths go up to {max(lengths)} tokens, but {who} {positions} positions at most. "
            f"Shorten latency.{context.label}.lengths or data.max_length."
        )


def stored_config(directory: Path) -> dict[str, Any]:
    """``config.json`` of a directory; empty when there is none."""
    path = directory / "config.json"
    config: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return config
