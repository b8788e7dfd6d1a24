"""Latency metrics that a workload must ask for: an objective or a constraint on one that nobody measures is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autodistill.configs.settings import Chosen

#: Metric -> parameters of a backend of which one must be set, and what to give.
NEEDED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "p99_ms": (("p99",), "p99=true"),
    "throughput_at_p99": (("p99_limit_ms",), "p99_limit_ms=MILLISECONDS"),
    "loaded_p50_ms": (("requests_per_second", "p99_limit_ms"), "requests_per_second=RATE"),
    "loaded_p99_ms": (("requests_per_second", "p99_limit_ms"), "requests_per_second=RATE"),
    "cost_per_million": (("price_per_hour",), "price_per_hour=PRICE"),
}


def not_asked_for(metric: str, chosen: Chosen) -> str | None:
    """Why a backend will not give a metric, and what to do; None when it will, or has no such parameter.

    Args:
        metric: without its label, e.g. ``p99_ms``.
        chosen: the backend.
    """
    names, remedy = NEEDED.get(metric, ((), ""))
    values: list[Any] = [chosen.parameters[name] for name in names if name in chosen.parameters]
    if not values or any(values):
        return None
    key = f"latency.{chosen.label}"
    return f"which {key} ({chosen.name}) does not measure as it is: give {key}.{remedy}."
