"""Metrics that are known before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from tiny_studies import architecture

from autodistill.components.architecture import Architecture
from autodistill.engine.known import KnownMetrics
from autodistill.search.candidates import Candidates
from autodistill.testing.toy import toy_context


class Size:
    metrics: Mapping[str, Any] = {"parameters": "minimize"}
    before_training = True
    calls = 0

    def describe(self, subject: Any) -> Mapping[str, float]:
        self.calls += 1
        return {"parameters": subject.choices["num_layers"] * 1000}


class Accuracy:
    metrics: Mapping[str, Any] = {"accuracy": "maximize"}
    before_training = False


class Table:
    """A backend that knows some architectures."""

    def __init__(self, known: Mapping[Architecture, float]) -> None:
        self.known = known

    def estimate(self, architectures: Sequence[Architecture]) -> Any:
        if not all(item in self.known for item in architectures):
            return None
        values = np.array([self.known[item] for item in architectures])
        return {"p50_ms": (values, np.full(len(values), 0.25))}


SMALL, LARGE = architecture(1, 16), architecture(2, 64)


class Varied:
    """A backend that tells a percentile only where it knows it of all that it is asked about."""

    def estimate(self, architectures: Sequence[Architecture]) -> Any:
        names = ["p50_ms", *(["p90_ms"] if set(architectures) == {SMALL} else [])]
        return {name: (np.ones(len(architectures)), np.zeros(len(architectures))) for name in names}


def known(backends: Mapping[str, Any], probes: Sequence[Architecture] = (SMALL,)) -> tuple[KnownMetrics, Size]:
    size = Size()
    evaluators: Any = {"size": size, "classification": Accuracy()}
    return KnownMetrics(evaluators, backends, lambda item: item, probes), size  # type: ignore[arg-type, return-value]


def test_closed_forms_are_exact_and_evaluators_that_need_training_are_left_out() -> None:
    metrics, _ = known({})
    assert metrics.metrics == {"size.parameters"}
    values, variances = metrics([SMALL, LARGE])["size.parameters"]
    assert values.tolist() == [1000.0, 2000.0]
    assert variances.tolist() == [0.0, 0.0]
    assert metrics.exact(LARGE) == {"size.parameters": 2000.0}


def test_an_architecture_is_described_once() -> None:
    metrics, size = known({})
    for _ in range(3):
        metrics([SMALL, LARGE])
    assert size.calls == 2


def test_a_backend_that_can_estimate_adds_values_with_their_variance() -> None:
    metrics, _ = known({"table": Table({SMALL: 1.5, LARGE: 2.5})})
    assert metrics.metrics == {"size.parameters", "table.p50_ms"}
    values, variances = metrics([LARGE])["table.p50_ms"]
    assert (values.tolist(), variances.tolist()) == ([2.5], [0.25])


def test_a_backend_that_cannot_is_left_out_and_one_that_lacks_an_architecture_answers_nan() -> None:
    without, _ = known({"table": Table({})})
    assert without.metrics == {"size.parameters"}
    partial, _ = known({"table": Table({SMALL: 1.5})})
    answers = partial([SMALL, LARGE])
    assert set(answers) == partial.metrics
    assert np.isnan(answers["table.p50_ms"][0]).all()


@pytest.mark.parametrize(("probes", "names"), [([SMALL], {"p50_ms", "p90_ms"}), ([SMALL, LARGE], {"p50_ms"})])
def test_what_is_known_does_not_depend_on_who_is_asked_about(probes: Sequence[Architecture], names: set[str]) -> None:
    metrics, _ = known({"some": Varied()}, probes)
    assert metrics.metrics == {"size.parameters", *(f"some.{name}" for name in names)}
    for asked in ([SMALL], [LARGE], [LARGE, SMALL]):
        assert set(metrics(asked)) == metrics.metrics
    candidates = Candidates(toy_context(known=metrics))
    assert len(candidates.describe([SMALL]).joined(candidates.describe([LARGE]))) == 2


def test_nothing_asked_is_nothing_known() -> None:
    metrics, _ = known({"table": Table({SMALL: 1.5})})
    for values, variances in metrics([]).values():
        assert len(values) == len(variances) == 0
