from __future__ import annotations

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from botorch.models.kernels import CategoricalKernel  # noqa: E402
from botorch.optim.closures import ForwardBackwardClosure, get_loss_closure_with_grads  # noqa: E402
from gpytorch.kernels import MaternKernel  # noqa: E402
from gpytorch.mlls import ExactMarginalLogLikelihood  # noqa: E402

from autodistill.components.search import History  # noqa: E402
from autodistill.search.acquisition import isolated  # noqa: E402
from autodistill.search.candidates import Candidates  # noqa: E402
from autodistill.search.dense import covariance, loss_with_gradients  # noqa: E402
from autodistill.search.kernels import HammingKernel  # noqa: E402
from autodistill.search.random import RandomSearch  # noqa: E402
from autodistill.search.surrogates import FIT_ROWS, FeatureMap, Layout, Posterior, fit_model, observe  # noqa: E402
from autodistill.testing.toy import ACCURACY, PARAMETERS, ToyKnown, toy_context, toy_metrics  # noqa: E402

LAYOUT = Layout(ordered=3, linear=1, categories=(3, 4))


def inputs(n: int, seed: int = 0) -> torch.Tensor:
    """Random rows of `LAYOUT`: three ordered columns and the one-hot columns of two categories."""
    rng = np.random.default_rng(seed)
    columns = [rng.random((n, LAYOUT.ordered))]
    columns += [np.eye(count)[rng.integers(count, size=n)] for count in LAYOUT.categories]
    return torch.from_numpy(np.hstack(columns))


def values(points: torch.Tensor) -> np.ndarray:
    plain = points.numpy()
    flat = 2.0 * plain[:, 2] + np.sin(4.0 * plain[:, 0]) + 0.5 * plain[:, 3] - 0.3 * plain[:, 7]
    return (flat - flat.mean()) / flat.std()


def test_the_kernel_over_categories_is_botorchs() -> None:
    kernel = HammingKernel((3, 4), tuple(range(7)))
    kernel.raw_scales.data = torch.tensor([0.3, -0.8])
    scales = kernel.raw_scales_constraint.transform(kernel.raw_scales).detach()
    reference = CategoricalKernel(ard_num_dims=2)
    reference.lengthscale = scales[None]
    rng = np.random.default_rng(1)
    left, right = rng.integers(3, size=(2, 9)), rng.integers(4, size=(2, 9))
    pairs = [torch.from_numpy(np.stack([left[i], right[i]], axis=1)).float() for i in range(2)]
    hots = [torch.from_numpy(np.hstack([np.eye(3)[left[i]], np.eye(4)[right[i]]])).float() for i in range(2)]
    with torch.no_grad():
        assert torch.allclose(kernel(*hots).to_dense(), reference(*pairs).to_dense(), atol=1e-6)
        assert torch.allclose(kernel(hots[0], diag=True), torch.ones(9))


def test_covariances_are_gpytorchs() -> None:
    plain, columns = inputs(9), inputs(5, seed=1)
    with isolated(0):
        kernel = fit_model(plain, values(plain), 0.01, LAYOUT).whole.covar_module
    left, right = plain[:, : LAYOUT.width], columns[:, : LAYOUT.width]
    for one in (kernel, *kernel.kernels, MaternKernel(nu=1.5, active_dims=(0, 2)).double()):
        with torch.no_grad():
            assert torch.allclose(covariance(one, left, right), one(left, right).to_dense(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("doubt", [None, np.linspace(0.0, 0.5, 30)])
def test_what_a_fit_minimises_and_its_slopes_are_gpytorchs(doubt: np.ndarray | None) -> None:
    points = inputs(30)
    points[4] = points[9]  # two runs of one architecture: their distance is 0, and its root has no slope
    with isolated(0):
        model = fit_model(points, values(points), 0.01, LAYOUT, doubt).whole
        likelihood = ExactMarginalLogLikelihood(model.likelihood, model).train()
        ours, theirs = (
            loss_with_gradients(likelihood),
            get_loss_closure_with_grads(
                likelihood, {name: item for name, item in likelihood.named_parameters() if item.requires_grad}
            ),
        )
        for item in likelihood.parameters():  # away from the optimum, where all slopes are 0
            item.data += 0.1
        (value, slopes), (reference, expected) = _numbers(ours), _numbers(theirs)
    assert list(ours.parameters) == list(theirs.parameters)
    assert value == pytest.approx(reference, rel=1e-10)
    assert any(np.abs(slope).max() > 0.01 for slope in expected)
    for slope, other in zip(slopes, expected, strict=True):
        assert slope == pytest.approx(other, rel=1e-7, abs=1e-9)


def _numbers(closure: ForwardBackwardClosure) -> tuple[float, list[np.ndarray]]:
    value, slopes = closure()
    return value.item(), [slope.numpy().copy() for slope in slopes if slope is not None]


@pytest.mark.parametrize("doubt", [None, np.linspace(0.0, 0.5, 30)])
def test_predictions_are_gpytorchs(doubt: np.ndarray | None) -> None:
    points = inputs(30)
    with isolated(0):
        model = fit_model(points, values(points), 0.01, LAYOUT, doubt).whole
        posterior = Posterior(model)
        new = inputs(20, seed=1)
        mean, deviation = posterior(new)
        with torch.no_grad():
            reference = model.posterior(new)
    assert mean == pytest.approx(reference.mean[:, 0].numpy(), abs=1e-6)
    assert deviation == pytest.approx(reference.variance[:, 0].sqrt().numpy(), abs=1e-5)


def test_a_prediction_weighs_less_than_an_observation() -> None:
    points = inputs(30)
    wrong, doubt = values(points), np.zeros(30)
    wrong[:6] += 2.0
    doubt[:6] = 1.0
    with isolated(0):
        believed, doubted = (Posterior(fit_model(points, wrong, 0.01, LAYOUT, item).whole) for item in (None, doubt))
    truth, (near, _), (mean, deviation) = values(points), believed(points), doubted(points)
    assert np.abs(mean - truth)[:6].mean() < 0.5 * np.abs(near - truth)[:6].mean()
    assert deviation[:6].mean() > 1.5 * deviation[6:].mean()
    assert doubted.noise == pytest.approx(0.01, abs=0.05)  # the wrong six are not taken for noise of all


def test_draws_have_the_mean_and_the_spread_of_the_posterior() -> None:
    points = inputs(15)
    with isolated(0):
        posterior = Posterior(fit_model(points, values(points), 0.01, LAYOUT).whole)
    new = inputs(4, seed=2)
    mean, deviation = posterior(new)
    draws = posterior.samples(new, 20_000, np.random.default_rng(0))
    assert draws.mean(axis=0) == pytest.approx(mean, abs=0.03)
    assert draws.std(axis=0) == pytest.approx(deviation, rel=0.05)


def test_what_is_believed_keeps_the_mean_and_lowers_the_deviation() -> None:
    points, new = inputs(15), inputs(3, seed=2)
    with isolated(0):
        model = fit_model(points, values(points), 0.01, LAYOUT).whole
    before, after = Posterior(model)(new), Posterior(model, new)(new)
    assert after[0] == pytest.approx(before[0], abs=1e-6)
    assert (after[1] < before[1]).all()


def test_many_observations_are_fitted_by_some_and_predicted_by_all() -> None:
    points = inputs(FIT_ROWS + 60)
    with isolated(0):
        fitted = fit_model(points, values(points), 0.01, LAYOUT)
    assert len(fitted.whole.train_targets) == FIT_ROWS + 60
    assert len(fitted.coarse.train_targets) == FIT_ROWS
    new = inputs(50, seed=3)
    (_, whole), (_, coarse) = Posterior(fitted.whole)(new), Posterior(fitted.coarse)(new)
    assert (whole <= coarse + 1e-9).all()  # the screening by the coarse one is optimistic


def test_a_line_in_the_size_is_extrapolated() -> None:
    points = inputs(20)
    points[:, 2] *= 0.5  # sizes up to one half
    with isolated(0):
        model = fit_model(points, 3.0 * points[:, 2].numpy() - 0.75, 1e-4, LAYOUT).whole
    far = points[:1].clone()
    far[:, 2] = 1.0
    mean, _ = Posterior(model)(far)
    assert mean[0] == pytest.approx(2.25, abs=0.5)


def test_features_are_ranks_logarithms_of_sizes_and_a_column_per_category() -> None:
    context = toy_context()
    candidates = Candidates(context)
    pool = candidates.describe(context.space.sample(40, seed=0))
    features = FeatureMap(context.space, (pool,))
    assert features.layout == Layout(ordered=4, linear=1, categories=(3,))
    matrix = features(pool)
    assert matrix.shape == (40, features.layout.width)
    assert (matrix.min(), matrix.max()) == (0.0, 1.0)
    sizes = np.log(ToyKnown()(pool.architectures)[PARAMETERS.metric][0])
    assert np.corrcoef(matrix[:, 3], sizes)[0, 1] == pytest.approx(1.0)
    assert (matrix[:, 4:].sum(axis=1) == 1).all()
    assert FeatureMap(context.space, (pool,), sizes=False).layout == Layout(ordered=3, linear=0, categories=(3,))


def test_nothing_is_learnt_from_one_value_or_from_none_that_are_numbers() -> None:
    assert observe("m", np.array([1.0, np.nan]), None) is None
    assert observe("m", np.array([np.inf, np.nan, np.nan]), None) is None
    seen = observe("m", np.array([1.0, np.nan, 3.0]), np.array([0.5, 9.0, np.nan]))
    assert seen is not None
    assert seen.rows.tolist() == [0, 2]
    assert seen.noise == pytest.approx(0.5)  # the values' variance is 1
    assert seen.doubt is None
    doubted = observe("m", np.array([1.0, np.nan, 3.0]), None, np.array([0.0, 9.0, 0.25]))
    assert doubted is not None
    assert doubted.doubt == pytest.approx(np.array([0.0, 0.25]))
    nothing = observe("m", np.array([1.0, np.nan, 3.0]), None, np.array([0.0, 9.0, 0.0]))
    assert nothing is not None
    assert nothing.doubt is None


def test_observed_accuracies_are_predicted_in_their_order() -> None:
    context = toy_context()
    candidates = Candidates(context)
    tried = [item.architecture for item in RandomSearch(context).propose(History(), 60)]
    pool = candidates.describe(tried)
    features = FeatureMap(context.space, (pool,))
    seen = observe(ACCURACY.metric, np.array([toy_metrics(item)[ACCURACY.metric] for item in tried]), None)
    assert seen is not None
    with isolated(0):
        model = fit_model(torch.from_numpy(features(pool)), seen.values, seen.noise, features.layout).whole
    new = candidates.describe(context.space.sample(100, seed=9))
    mean, _ = Posterior(model)(torch.from_numpy(features(new)))
    truth = [toy_metrics(item)[ACCURACY.metric] for item in new.architectures]
    assert np.corrcoef(mean, truth)[0, 1] > 0.97
