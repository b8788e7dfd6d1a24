from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from botorch.acquisition.multi_objective.utils import prune_inferior_points_multi_objective  # noqa: E402
from botorch.models import ModelListGP  # noqa: E402

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


@pytest.mark.parametrize("rows", [0, 1, 12])
def test_a_baseline_with_one_candidate_each_is_distributed_as_gpytorch_says(rows: int) -> None:
    problem = a_problem(LEARNT)
    baseline, new = problem.baseline[:rows], torch.rand(5, 3, generator=torch.Generator().manual_seed(0)).double()
    both = torch.cat([baseline.expand(5, rows, 3), new[:, None]], dim=1)
    with isolated(0), torch.no_grad():
        ours = problem.model.posterior(both).distribution
        expected = ModelListGP(*(model.whole for model in problem.models)).posterior(both).distribution
    assert ours.mean.numpy() == pytest.approx(expected.mean.numpy(), abs=1e-6)
    assert ours.covariance_matrix.numpy() == pytest.approx(expected.covariance_matrix.numpy(), abs=1e-6)


def test_another_baseline_is_worked_out_anew() -> None:
    problem = a_problem(LEARNT)
    with isolated(0), torch.no_grad():
        model = problem.model
        for baseline in (problem.baseline[:4], problem.baseline[4:8], problem.baseline[4:9]):
            alone = model.posterior(baseline)
            beside = model.posterior(torch.cat([baseline, problem.baseline[-1:]])[None])
            assert torch.equal(beside.mean[0, :-1], alone.mean)
            expected = problem.model.posterior(torch.cat([baseline, problem.baseline[-1:]])).mean
            assert torch.allclose(beside.mean[0], expected)


def test_other_posteriors_are_refused() -> None:
    problem = a_problem(LEARNT)
    pair = torch.stack([problem.baseline[:3], problem.baseline[3:6]])
    with pytest.raises(NotImplementedError, match="one baseline"):
        problem.model.posterior(pair)
    with pytest.raises(NotImplementedError, match="noise-free"):
        problem.model.posterior(problem.baseline, observation_noise=True)
