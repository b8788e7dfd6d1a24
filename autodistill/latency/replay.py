"""The ``replay`` latency backend: measurements read from a file, for tests and for reproducing a study bit by bit.

The file is JSON::

    {
      "measurements": [{"architecture": {"family": "bert", "choices": {"layers": 3}}, "report": {"median": 2.5}}],
      "named": {"teacher": {"median": 9.0}},
      "default": {"median": 4.0},
      "workload": {"batch_size": 1, "lengths": [16, 64]}
    }

``architecture`` may also be the canonical string. A report has the fields of
`autodistill.components.latency.LatencyReport`; only ``median`` (milliseconds) is required. Models without a listed
architecture are looked up by name under ``named``. ``default``, where present, answers for everything else: say so in
what you conclude from it. The short form of the file maps digests of architectures to medians:
``{"8d969eef6ecad3c2": 2.5}``.

`record` writes such a file from earlier measurements.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.latency import (
    LATENCY_FIELDS,
    LatencyContext,
    LatencyKind,
    LatencyReport,
    LatencySubject,
    Load,
    Workload,
    half_width_of,
)
from autodistill.errors import ConfigError, LatencyError

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: 97.5 % point of the normal distribution: half-widths of 95 % intervals per standard deviation.
HALF_WIDTHS = 1.959964

_SECTIONS = {"measurements", "named", "default", "workload"}
_REPORT_FIELDS = {field.name for field in fields(LatencyReport)}
_NUMBERS = {*LATENCY_FIELDS.values(), "relative_half_width", "n"}


class ReplayLatency:
    """Answers from a file; see the module's docstring.

    Args:
        context: its lengths are the workload's when the file tells none.
        path: the file.

    Raises:
        ConfigError: the file is missing or is not of this form.
    """

    kind: LatencyKind = "replayed"

    def __init__(self, context: LatencyContext, *, path: str) -> None:
        self._path = Path(path)
        content = _read(self._path, context.label)
        with _reading(self._path, "its 'workload'"):
            self.workload = _workload(content.get("workload", {}), context)
        self._reports = {
            digest: self._report(report, f"architecture {digest}")
            for digest, report in _by_digest(content, path).items()
        }
        with _reading(self._path, "'named', from names to reports,"):
            named = dict(content.get("named", {}))
        self._named = {name: self._report(report, name) for name, report in named.items()}
        self._default = self._report(content["default"], "default") if "default" in content else None

        listed = [*self._reports.values(), *([self._default] if self._default else [])]
        rows = [report.metrics() for report in listed]
        self._shared = [name for name in rows[0] if all(name in row for row in rows)] if rows else []

    @property
    def metrics(self) -> frozenset[str]:
        """What any report of the file has."""
        listed = [*self._reports.values(), *self._named.values(), *([self._default] if self._default else [])]
        return frozenset(name for report in listed for name in report.metrics())

    def measure(self, subject: LatencySubject) -> LatencyReport:
        """The recorded report of the subject's architecture, else of its name, else the default.

        Raises:
            LatencyError: the file has none of them.
        """
        digest = subject.architecture.digest if subject.architecture is not None else None
        report = self._reports.get(digest or "") or self._named.get(subject.name) or self._default
        if report is None:
            known = f"{len(self._reports)} architectures and the names {', '.join(self._named) or '(none)'}"
            raise LatencyError(
                f"{self._path} has no measurement of {subject.name}"
                + (f", {subject.architecture} (digest {digest})" if digest else "")
                + f"; it has {known}. Add it, or a default, or measure with another latency backend."
            )
        return report

    def estimate(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]] | None:
        """Values and variances of the metrics that all architectures of the file have, NaN for those that are not in
        it; None when it lists no architecture at all.
        """
        if not self._shared:
            return None
        reports = [self._reports.get(architecture.digest, self._default) for architecture in architectures]
        metrics = [None if report is None else report.metrics() for report in reports]
        found = {}
        for name in self._shared:
            values = np.array([math.nan if row is None else row[name] for row in metrics])
            variances = np.where(np.isnan(values), math.nan, 0.0)
            found[name] = (values, variances)
        medians = [math.nan if report is None else _median_variance(report) for report in reports]
        return {**found, "p50_ms": (found["p50_ms"][0], np.array(medians))}

    def close(self) -> None:
        """Nothing to end."""

    def _report(self, report: Any, where: str) -> LatencyReport:
        with _reading(self._path, f"the report of {where}"):
            values = {"median": report} if _is_number(report) else dict(report)
        for name in _NUMBERS & values.keys():
            if values[name] is not None and not _is_number(values[name]):
                raise ConfigError(
                    f"{self._path}: {name} of the report of {where} must be a number, got {values[name]!r}."
                )
        unknown = values.keys() - _REPORT_FIELDS
        median = values.get("median")
        if unknown or median is None or not median > 0:
            raise ConfigError(
                f"{self._path}: the report of {where} must have a 'median' > 0 in milliseconds and otherwise only "
                f"{', '.join(sorted(_REPORT_FIELDS - {'median'}))}; got {dict(values)}."
            )
        given = {"backend": "replay", "precision": "fp32", "workload": self.workload.as_dict(), "device": "replayed"}
        return LatencyReport(**{**given, "threads": self.workload.threads, **values, "kind": "replayed"})


def _median_variance(report: LatencyReport) -> float:
    return (half_width_of(report.as_dict()) * report.median / HALF_WIDTHS) ** 2


def _read(path: Path, label: str) -> dict[str, Any]:
    try:
        content: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"latency.{label}.path must be a JSON file of measurements, got {str(path)!r}: {error}"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} must hold a JSON object (see autodistill.latency.replay), got {type(content).__name__}."
        )
    return content


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Name the file and the entry where Python does not get what it expects; the file is written by hand."""
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path}: {what} cannot be read ({type(error).__name__}: {error}). The form of the file is told in "
            "autodistill.latency.replay."
        ) from error


def _workload(told: Mapping[str, Any], context: LatencyContext) -> Workload:
    lengths = tuple(told.get("lengths", context.lengths))
    if not all(isinstance(length, int) for length in lengths):
        raise ValueError(f"lengths must be whole numbers, got {list(lengths)}")
    load = Load(**told["load"]) if told.get("load") else None
    return Workload(**{"batch_size": 1, **told, "lengths": lengths, "load": load})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _by_digest(content: dict[str, Any], path: str) -> dict[str, Any]:
    if not content.keys() & _SECTIONS:
        return content
    unknown = content.keys() - _SECTIONS
    if unknown:
        raise ConfigError(f"{path} has the unknown keys {sorted(unknown)}; known are {sorted(_SECTIONS)}.")
    entries = content.get("measurements", [])
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: measurements must be a list, got {entries!r}.")
    for entry in entries:
        if not isinstance(entry, dict) or entry.keys() != {"architecture", "report"}:
            raise ConfigError(f"{path}: a measurement has exactly 'architecture' and 'report', got {entry}.")
    found = {}
    for entry in entries:
        with _reading(Path(path), f"the architecture {entry['architecture']!r}"):
            found[_architecture(entry["architecture"]).digest] = entry["report"]
    return found


def _architecture(given: str | Mapping[str, Any]) -> Architecture:
    if isinstance(given, str):
        return Architecture.from_canonical(given)
    return Architecture(given["family"], given["choices"])


def record(
    reports: Mapping[Architecture, LatencyReport], path: Path, *, named: Mapping[str, LatencyReport] | None = None
) -> None:
    """Write measurements in the form that `ReplayLatency` reads.

    Args:
        reports: architecture -> what was measured.
        path: file to write.
        named: name of a model outside any family (``"teacher"``) -> what was measured.
    """
    measurements = [
        {"architecture": json.loads(architecture.canonical), "report": report.as_dict()}
        for architecture, report in reports.items()
    ]
    content: dict[str, Any] = {
        "measurements": measurements,
        "named": {name: report.as_dict() for name, report in (named or {}).items()},
    }
    first = next(iter([*reports.values(), *(named or {}).values()]), None)
    if first is not None:
        content["workload"] = dict(first.workload)
    path.write_text(json.dumps(content, indent=2) + "\n")
