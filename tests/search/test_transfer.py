"""Learning from earlier studies: faster where they are related, harmless where they are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from autodistill.components.architecture import Architecture  # noqa: E402
from autodistill.components.search import EarlierStudy, History, SearchContext  # noqa: E402
from autodistill.engine.space import build_space  # noqa: E402
from autodistill.errors import ConfigError  # noqa: E402
from autodistill.search.botorch import BotorchSearch  # noqa: E402
from autodistill.search.candidates import Candidates  # noqa: E402
from autodistill.search.configs import BotorchConfig  # noqa: E402
from autodistill.search.random import RandomSearch  # noqa: E402
from autodistill.search.transfer import Earlier  # noqa: E402
from autodistill.testing.search import ACCURACY, toy_context, toy_history, toy_metrics  # noqa: E402


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


def test_every_other_start_is_what_the_earlier_study_thinks_best() -> None:
    context = context_with(earlier(40))
    strategy, tried, notes = make(context), list[Architecture](), []
    for _ in range(4):
        proposal = strategy.propose(toy_history(context, tried), 1)[0]
        tried.append(proposal.architecture)
        notes.append((proposal.note or {})["by"])
    assert notes == ["earlier", "start", "earlier", "start"]
    scores = [toy_metrics(item)[ACCURACY.metric] for item in tried]
    everything = [toy_metrics(item)[ACCURACY.metric] for item in context.space.enumerate()]
    assert max(scores[0], scores[2]) > np.quantile(everything, 0.8)


@pytest.mark.parametrize("change", [lambda scores: scores, lambda scores: np.random.default_rng(0).permutation(scores)])
def test_proposals_follow_related_and_unrelated_studies_without_trouble(
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    context = context_with(earlier(30, change))
    history = toy_history(context, [p.architecture for p in RandomSearch(context).propose(History(), 8)], noise=0.01)
    proposals = make(context).propose(history, 2)
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
    with pytest.raises(ConfigError, match=r"has 3 usable values of classification\.accuracy .* at least 5 are needed"):
        make(context_with(earlier(3)))
