"""What the measuring backends are made of: a session, and a composer when it is asked for.

A backend (built in or a plugin's) says how a subject becomes files, which runner loads them and what the runtime is
called; `Measuring` does the rest and is what its methods delegate to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodistill import __version__
from autodistill.components.latency import LatencyContext, LatencyReport, LatencySubject, Workload, load_metrics
from autodistill.errors import ConfigError
from autodistill.latency.blocks import Composer
from autodistill.latency.configs import MeasuredOptions
from autodistill.latency.machine import device_name
from autodistill.latency.session import Artifact, Session
from autodistill.latency.statistics import MINIMUM_FOR_P99, UNDISTURBED
from autodistill.latency.timing import SHORT_TURN_SECONDS, StoppingRule


class Measuring:
    """Times subjects, and composes when ``options["compose"]``.

    Args:
        context: of the backend.
        component: registry name of the backend.
        workload: what is run.
        runner: ``"module:Class"`` of the runner.
        runner_options: for the runner, JSON-able.
        graph_options: what decides the operators of a model's files, JSON-able: models of others are not composed from
            the same timings.
        packages: distributions whose versions decide how fast the runtime is.
        prepare: makes the artifact of a subject, and removes it when it is done with.
        options: the fields of `autodistill.latency.configs.MeasuredConfig`.
        tells_gpu_memory: whether the runner tells what a model takes on a GPU.

    Raises:
        ConfigError: it is to compose on a device without a name, under which timings could be kept.
    """

    def __init__(
        self,
        context: LatencyContext,
        *,
        component: str,
        workload: Workload,
        runner: str,
        runner_options: Mapping[str, Any],
        packages: tuple[str, ...],
        prepare: Callable[[LatencySubject], AbstractContextManager[Artifact]],
        options: MeasuredOptions,
        graph_options: Mapping[str, Any] | None = None,
        tells_gpu_memory: bool = False,
    ) -> None:
        metrics = {"p50_ms", "p90_ms", "throughput", "ratio_to_reference"} | ({"p99_ms"} if options["p99"] else set())
        if workload.device == "cpu" or tells_gpu_memory:
            metrics.add("peak_memory_bytes")
        #: Names of what reports hold under this workload.
        self.metrics = frozenset(metrics) | load_metrics(workload.load)
        rule = StoppingRule(
            options["target_relative_half_width"],
            options["max_seconds"],
            options["min_repeats"],
            MINIMUM_FOR_P99 if options["p99"] else 0,
        )
        self.session = Session(
            context,
            component=component,
            workload=workload,
            runner=runner,
            options=runner_options,
            prepare=prepare,
            rule=rule,
            restart_after=options["restart_after"],
            timeout_seconds=options["timeout_seconds"],
        )
        seconds = min(options["compose_seconds"], rule.max_seconds)
        short = replace(rule, max_seconds=seconds, min_requests=0, turn_seconds=SHORT_TURN_SECONDS)
        name = device_name(workload.device)
        if options["compose"] and name == workload.device:
            raise ConfigError(
                f"latency.{context.label}.compose keeps timings of blocks under the name of the GPU, got none: neither "
                f"PyTorch nor nvidia-smi finds one here. Use latency.{context.label}.compose=false."
            )
        identity = {
            "autodistill": __version__,  # how models are built, written as files and run
            "backend": component,
            "options": dict(runner_options),
            "graph": dict(graph_options or {}),
            "versions": {name: _version(name) for name in packages},
            "device": name,
            "workload": {key: item for key, item in workload.as_dict().items() if key != "load"},
            "rule": [short.target_relative_half_width, short.max_seconds],
            "ratio": f"quantiles of {UNDISTURBED}",
        }
        measure = partial(self.session.measure_single_stream, rule=short)
        self._composer = Composer(context, measure, identity) if options["compose"] else None

    def measure(self, subject: LatencySubject) -> LatencyReport:
        """Time one model whole; a composer learns from it.

        Raises:
            LatencyError: it cannot be prepared, loaded or run, or takes too long.
        """
        report = self.session.measure(subject)
        if self._composer is not None:
            self._composer.learn(subject, report)
        return report

    def compose(self, subject: LatencySubject) -> LatencyReport | None:
        """The composed report, None when it was not asked for or cannot be."""
        return self._composer.compose(subject) if self._composer is not None else None

    def answer(self, subject: LatencySubject, batches: Iterable[Mapping[str, Any]]) -> Iterator[NDArray[np.float32]]:
        """What the model answers as it is timed; see `autodistill.components.latency.AnsweringBackend`."""
        return self.session.answer(subject, batches)

    def close(self) -> None:
        """End the worker and let go of stored timings; may be called twice."""
        self.session.close()
        if self._composer is not None:
            self._composer.close()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # the same module from another one, e.g. onnxruntime-gpu
        return ", ".join(f"{name} {version(name)}" for name in packages_distributions().get(distribution, ["unknown"]))
