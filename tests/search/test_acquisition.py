from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from botorch.acquisition.multi_objective.utils import prune_inferior_points_multi_objective  # noqa: E402

from autodistill.search.acquisition import (  # noqa: E402
    PRUNING_SAMPLES,
    Bound,
    Problem,
    Source,
    _Objectives,
    _on_some_front,
    isolated,
)
from autodistill.search.surrogates import Layout, fit_model  # noqa: E402

LAYOUT = Layout(ordered=3)


def a_problem(sources: tuple[Source, ...], bounds: tuple[Bound, ...] = (), rows: int = 40) -> Problem:
    """Two learnt metrics, one of which rises where the other falls, and inputs of which a column may be known."""
    rng = np.random.default_rng(0)
    inputs = rng.random((rows, 3))
    seen = [inputs[:, 0] + 0.2 * rng.normal(size=rows), -inputs[:, 0] + 0.3 * inputs[:, 1] ** 2]
    none = np.empty(0, dtype=np.intp)
    with isolated(0):
        models = tuple(fit_model(torch.from_numpy(inputs), metric, 0.01, LAYOUT) for metric in seen)
    return Problem(
        models=models,
        sources=sources,
        bounds=bounds,
        baseline=torch.from_numpy(inputs),
        values=np.empty((0, len(sources))),
        pending=torch.empty(0, 3, dtype=torch.float64),
        reference=np.array([-0.2, -0.7, 0.1][: len(sources)]),
        architectures=none,
        pending_architectures=none,
        runs=none,
    )


LEARNT = (Source(None, 0, 1.0), Source(None, 1, 1.0))


@pytest.mark.parametrize("sources", [LEARNT, (*LEARNT, Source(2, None, 1.0))])
@pytest.mark.parametrize("bounds", [(), (Bound(0, 1.0, 0.6),), (Bound(0, 1.0, -9.0),)])
def test_rows_on_some_front_are_those_that_botorch_would_keep(
    sources: tuple[Source, ...], bounds: tuple[Bound, ...]
) -> None:
    problem = a_problem(sources, bounds)
    twice = replace(problem, baseline=torch.cat([problem.baseline, problem.baseline[:3]]))  # ties in the known one
    with isolated(1):
        found = twice.baseline[_on_some_front(twice, twice.model, twice.baseline)]
    with isolated(1):
        expected = prune_inferior_points_multi_objective(
            twice.model,
            twice.baseline,
            ref_point=torch.from_numpy(twice.reference),
            objective=_Objectives(twice.sources),
            constraints=list(twice.bounds) or None,
            num_samples=PRUNING_SAMPLES,
        )
    assert torch.equal(found, expected)
    assert len(found) < len(twice.baseline)
    assert bool(len(found)) == (bounds != (Bound(0, 1.0, -9.0),))
