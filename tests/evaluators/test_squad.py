from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autodistill.components.outcome import Predictions
from autodistill.components.task import TaskSpec
from autodistill.engine.score_statistics import difference, estimate
from autodistill.engine.statistics import LEVEL, z_of
from autodistill.errors import ConfigError, DataError, TrialError
from autodistill.evaluators.configs import SquadConfig
from autodistill.evaluators.squad import Squad

CONTEXT = "The red cat sat."


def predictions(rows: list[tuple[float, ...]], labels: list[list[str]] | None, benchmark: str = "") -> Predictions:
    task = TaskSpec("question_answering", (), ("question", "context"), "squad.f1", benchmark=benchmark)
    texts = [CONTEXT] * len(rows)
    return Predictions([str(i) for i in range(len(rows))], np.array(rows), labels, None, task, texts=texts)


def values(given: Predictions, null_threshold: float = 0.0) -> tuple[float, float]:
    scores = Squad(null_threshold=null_threshold).score(given)
    return scores["exact_match"].value, scores["f1"].value


def test_answers_are_cut_out_of_their_contexts_and_scored_by_the_best_reference() -> None:
    given = predictions([(0, 11, 5, 0), (4, 7, 5, 0)], [["red cat", "cat"], ["cat"]])
    assert values(given) == (0.5, 0.5)


def test_no_answer_is_right_for_an_unanswerable_question() -> None:
    rows = [(0.0, 11.0, 5.0, 6.0), (0.0, 11.0, 5.0, 6.0)]
    given = predictions(rows, [["red cat"], []])
    assert values(given) == (0.5, 0.5)
    assert values(given, null_threshold=2.0) == (0.5, 0.5)
    assert values(predictions(rows, [[], []]), null_threshold=2.0) == (0.0, 0.0)
    # Version 1.1 always answers.
    assert values(predictions(rows, [["red cat"], ["cat"]], "squad/1.1")) == (0.5, pytest.approx((1 + 2 / 3) / 2))


def test_a_question_without_any_span_gets_the_empty_answer() -> None:
    assert values(predictions([(0, 0, -np.inf, 0)], [["cat"]])) == (0.0, 0.0)


def test_questions_about_one_paragraph_are_no_independent_examples() -> None:
    generator = np.random.default_rng(0)
    hard = np.repeat(generator.random(40) < 0.5, 10)  # every question about a paragraph is right, or none is
    rows = [(4.0, 11.0 if wrong else 7.0, 5.0, 0.0) for wrong in hard]
    given = predictions(rows, [["red"]] * 400)
    alike = replace(given, texts=[f"{CONTEXT} {number // 10}" for number in range(400)])
    apart = replace(given, texts=[f"{CONTEXT} {number}" for number in range(400)])
    wide, narrow = (estimate(Squad(null_threshold=0).score(one)["exact_match"]) for one in (alike, apart))
    assert wide.value == narrow.value == 1 - hard.mean()
    assert wide.n == narrow.n == 400
    widths = [found.high - found.low for found in (wide, narrow) if found.high and found.low]
    assert widths[0] == pytest.approx(widths[1] * 10**0.5, rel=0.15)
    scores = [Squad(null_threshold=0).score(one)["exact_match"] for one in (alike, replace(alike, logits=given.logits))]
    same = difference(*scores)
    assert same.value == 0.0
    # No paragraph tells them apart, which two of 42 could: as in `paired_difference`, with paragraphs for examples.
    assert same.high == -same.low == pytest.approx(z_of(LEVEL) * 2**0.5 / 42)


def test_what_cannot_be_scored_is_told() -> None:
    with pytest.raises(DataError, match="no reference answers"):
        values(predictions([(0, 1, 0, 0)], None))
    with pytest.raises(TrialError, match="1 of 2 questions are not finite"):
        values(predictions([(0, 1, 0, 0), (0, 1, np.nan, 0)], [["a"], ["b"]]))
    with pytest.raises(ConfigError, match="null_threshold must be a finite number"):
        SquadConfig(null_threshold=float("nan"))
