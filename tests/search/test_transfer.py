"""Learning from earlier studies: faster where they are related, harmless where they are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from autodistill.components.architecture import Architecture  # noqa: E402
from autodistill.components.search import EarlierStudy, History, SearchContext  # noqa: E402
from autodistill.components.training import RungReport  # noqa: E402
from autodistill.engine.space import build_space  # noqa: E402
from autodistill.errors import ConfigError  # noqa: E402
from autodistill.search.botorch import BotorchSearch  # noqa: E402
from autodistill.search.candidates import Candidates  # noqa: E402
from autodistill.search.configs import BotorchConfig  # noqa: E402
from autodistill.search.random import RandomSearch  # noqa: E402
from autodistill.search.surrogates import Layout, Posterior, fit_model  # noqa: E402
from autodistill.search.transfer import BLOCK, Earlier, _Mean  # noqa: E402
from autodistill.testing.search import ACCURACY, LATENCY, toy_context, toy_history, toy_metrics  # noqa: E402


def earlier(n: int, change: Callable[[np.ndarray], np.ndarray] = lambda scores: scores) -> EarlierStudy:
    """A study that tried ``n`` toy architectures; its scores are a function of the toy's accuracy."""
    context = toy_context(seed=5)
    proposals = RandomSearch(context).propose(History(), n)
    history = toy_history(context, [item.architecture for item in proposals], noise=0.005)
    metrics = {**history.metrics, ACCURACY.metric: change(history.metrics[ACCURACY.metric])}
    return EarlierStudy("before", context.space, replace(history, metrics=metrics))


def context_with(study: EarlierStudy) -> SearchContext:
    return replace(toy_context(), earlier=(study,))


def make(context: SearchContext) -> BotorchSearch:
    return BotorchSearch(context, **{**vars(BotorchConfig()), "warm_start": ["before"]})


def predictions(study: EarlierStudy) -> tuple[np.ndarray, np.ndarray]:
    """What a study predicts of some architectures, and their accuracies."""
    context = context_with(study)
    candidates = Candidates(context)
    pool = candidates.describe(context.space.sample(100, seed=3))
    truth = np.array([toy_metrics(item)[ACCURACY.metric] for item in pool.architectures])
    return Earlier(context, candidates, sizes=True)(pool)[:, 0], truth


def test_an_earlier_study_predicts_and_its_scale_does_not_matter() -> None:
    plain, truth = predictions(earlier(40))
    scaled, _ = predictions(earlier(40, lambda scores: 1024.0 * scores))
    assert np.corrcoef(plain, truth)[0, 1] > 0.9
    assert scaled == pytest.approx(plain)


@pytest.mark.parametrize("score", [0.0, -5.0])
def test_an_earlier_run_that_diverged_hides_nothing_of_the_others(score: float) -> None:
    def diverged(scores: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(scores)) == 7, score, scores)

    found, truth = predictions(earlier(40, diverged))
    assert np.corrcoef(found, truth)[0, 1] > 0.9


def test_earlier_trials_that_were_stopped_are_learnt_from() -> None:
    study = earlier(40)
    scores = study.history.metrics[ACCURACY.metric]
    stopped = np.arange(40) >= 12
    reports = [(RungReport(0, 0.5, {ACCURACY.metric: 0.9 * float(score)}),) for score in scores]
    metrics = {**study.history.metrics, ACCURACY.metric: np.where(stopped, np.nan, scores)}
    states = tuple("stopped" if late else "complete" for late in stopped)
    pruned = replace(study.history, metrics=metrics, states=states, curves=tuple(reports))
    found, truth = predictions(replace(study, history=pruned))
    blind, _ = predictions(replace(study, history=replace(pruned, curves=())))
    assert np.corrcoef(found, truth)[0, 1] > max(0.95, np.corrcoef(blind, truth)[0, 1] + 0.02)


def test_the_start_is_that_of_a_search_without_an_earlier_study() -> None:
    context, tried, notes = context_with(earlier(40, lambda scores: -scores)), list[Architecture](), []
    for _ in range(6):
        history = toy_history(context, tried)
        (proposal,) = make(context).propose(history, 1)
        (cold,) = BotorchSearch(toy_context(), **vars(BotorchConfig())).propose(history, 1)
        tried.append(proposal.architecture)
        notes.append((proposal.note or {})["by"])
        assert proposal == cold or notes[-1] == "model"
    assert notes == [*["start"] * 5, "model"]


@pytest.mark.parametrize("change", [lambda scores: scores, lambda scores: np.random.default_rng(0).permutation(scores)])
def test_proposals_follow_related_and_unrelated_studies_without_trouble(
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    context = context_with(earlier(30, change))
    history = toy_history(context, [p.architecture for p in RandomSearch(context).propose(History(), 8)], noise=0.01)
    proposals = make(context).propose(history, 2)
    cold = BotorchSearch(toy_context(), **vars(BotorchConfig())).propose(history, 2)
    assert [item.architecture for item in proposals] != [item.architecture for item in cold]
    assert {item.note["by"] for item in proposals if item.note} <= {"model", "replicate"}
    assert make(context).propose(history, 2) == proposals


def test_a_study_of_another_space_is_refused_and_says_what_matches() -> None:
    other = build_space("toy", {"num_layers": [1, 2], "hidden_size": [96], "depth": [3]}, {})
    with pytest.raises(
        ConfigError,
        match=r"In both: hidden_size, num_layers; only there: depth; only here: activation, num_heads",
    ):
        make(context_with(EarlierStudy("before", other, History())))


def test_a_study_with_too_little_to_learn_from_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"nothing can be learnt from the study 'before': it has 3 usable values of classification\.accuracy .* "
        r"at least 5 are needed; it has 3 usable values of onnxruntime\.p50_ms .* Leave it out",
    ):
        make(context_with(earlier(3)))


def test_an_objective_that_a_study_lacks_is_left_out_and_the_others_count(caplog: pytest.LogCaptureFixture) -> None:
    study = earlier(40)
    old = {f"old.{name}" if name == LATENCY.metric else name: column for name, column in study.history.metrics.items()}
    context = context_with(replace(study, history=replace(study.history, metrics=old)))
    candidates = Candidates(context)
    pool = candidates.describe(context.space.sample(100, seed=3))
    known = Earlier(context, candidates, sizes=True)
    assert (
        "of the study 'before' one objective is left out: it has 0 usable values of onnxruntime.p50_ms" in caplog.text
    )
    assert known(pool).shape == (100, 1)
    assert known(pool)[:, 0] == pytest.approx(Earlier(context_with(study), candidates, sizes=True)(pool)[:, 0])
    history = toy_history(context, [p.architecture for p in RandomSearch(context).propose(History(), 8)], noise=0.01)
    assert (make(context).propose(history, 1)[0].note or {})["by"] == "model"


def test_a_prediction_is_the_same_to_the_last_bit_in_whatever_company_it_is_asked_for() -> None:
    context = context_with(earlier(40))
    everything = list(context.space.enumerate())
    candidates, rng = Candidates(context), np.random.default_rng(0)
    whole = candidates.describe(context.space.enumerate())
    expected = Earlier(context, candidates, sizes=True)(whole)
    again = Earlier(context, candidates, sizes=True)
    for count in (1, 7, 100, 400):
        rows = rng.permutation(len(everything))[:count]
        alone = candidates.describe([everything[row] for row in rows])
        assert (again(alone) == expected[rows]).all()
        assert (again(whole.take(rows)) == expected[rows]).all()


def test_the_prediction_is_the_mean_of_the_model() -> None:
    rng = np.random.default_rng(0)
    inputs, layout = rng.random((30, 3)), Layout(3, 1)
    values = np.sin(3 * inputs[:, 0]) + inputs[:, 2]
    model = fit_model(torch.from_numpy(inputs), (values - values.mean()) / values.std(), None, layout).whole
    wanted = rng.random((BLOCK + 3, 3))
    assert _Mean(model)(wanted) == pytest.approx(Posterior(model)(torch.from_numpy(wanted))[0], abs=1e-9)


def test_architectures_of_a_space_that_were_predicted_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_with(earlier(40))
    candidates = Candidates(context)
    known = Earlier(context, candidates, sizes=True)
    pool = candidates.describe(context.space.enumerate()).take(np.arange(300))
    first = known(pool)
    monkeypatch.setattr(Architecture, "__hash__", lambda self: pytest.fail("an architecture was made and hashed"))
    assert (known(pool.take(np.arange(100, 200))) == first[100:200]).all()
