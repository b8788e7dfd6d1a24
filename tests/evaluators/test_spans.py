from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.evaluators.spans import Span, best_span

CONTEXT = "ab cd ef gh"
PLACES = [(-1, -1), (-1, -1), (0, 2), (3, 5), (6, 8), (9, 11), (-1, -1)]


def logits(start: int, end: int, tokens: int = 7) -> Any:
    values = np.zeros((tokens, 2))
    values[start, 0], values[end, 1] = 5.0, 5.0
    return values


def brute_force(windows: Any, best: int, longest: int) -> float:
    """The best score over every pair of allowed tokens."""
    scores = [-np.inf]
    for values, places in windows:
        inside = [token for token, place in enumerate(places) if place[0] >= 0]
        starts = sorted(inside, key=lambda token: -values[token, 0])[:best]
        ends = sorted(inside, key=lambda token: -values[token, 1])[:best]
        for start, end in itertools.product(starts, ends):
            if 0 <= end - start < longest:
                scores.append(values[start, 0] + values[end, 1])
    return max(scores)


def test_the_best_tokens_are_cut_out_of_the_context() -> None:
    span = best_span([(logits(3, 4), PLACES)])
    assert (span.start, span.stop, span.score, span.null) == (3, 8, 10.0, 0.0)
    assert span.text(CONTEXT, None) == "cd ef"


def test_tokens_outside_the_context_and_ends_before_starts_are_no_answers() -> None:
    assert best_span([(logits(0, 6), PLACES)]).score == 0.0
    assert best_span([(logits(4, 3), PLACES)]).score == 5.0


def test_an_answer_has_a_greatest_length() -> None:
    assert best_span([(logits(2, 5), PLACES)], longest=4).text(CONTEXT, None) == CONTEXT
    assert best_span([(logits(2, 5), PLACES)], longest=3).score == 5.0


def test_the_best_window_wins_and_the_first_of_equals() -> None:
    later = [(-1, -1), (-1, -1), (6, 8), (9, 11), (-1, -1), (-1, -1), (-1, -1)]
    weak, strong = logits(3, 3), logits(2, 2) * 2
    assert best_span([(weak, PLACES), (strong, later)]).text(CONTEXT, None) == "ef"
    assert best_span([(logits(3, 3), PLACES), (logits(2, 2), later)]).text(CONTEXT, None) == "cd"


def test_no_answer_is_given_where_every_window_prefers_it() -> None:
    first, second = logits(3, 3), logits(3, 3)
    first[0], second[0] = 8.0, 7.0
    span = best_span([(first, PLACES), (second, PLACES)])
    assert span.null == 14.0
    assert span.text(CONTEXT, 0.0) == ""
    assert span.text(CONTEXT, 4.5) == "cd"
    assert span.text(CONTEXT, None) == "cd"


def test_a_window_without_context_gives_nothing() -> None:
    span = best_span([(np.zeros((2, 2)), [(-1, -1), (-1, -1)])])
    assert (span.start, span.stop, span.score) == (0, 0, -np.inf)
    assert span == Span(0, 0, -np.inf, 0.0)
    assert span.text(CONTEXT, None) == ""


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_one_broken_number_in_any_window_shows(broken: float) -> None:
    second = logits(2, 2)
    second[3, 1] = broken
    span = best_span([(logits(3, 3), PLACES), (second, PLACES)])
    assert np.isnan([span.score, span.null]).all()


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 6), st.integers(1, 4))
def test_it_is_the_best_of_all_pairs(seed: int, windows: int, best: int, longest: int) -> None:
    generator = np.random.default_rng(seed)
    given_windows = [(generator.normal(size=(7, 2)), PLACES) for _ in range(windows)]
    span = best_span(given_windows, best=best, longest=longest)
    assert span.score == pytest.approx(brute_force(given_windows, best, longest))
