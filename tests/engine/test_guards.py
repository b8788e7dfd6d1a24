from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pytest

from autodistill.components.task import TaskData, TaskSpec
from autodistill.engine.guards import (
    alarms,
    data_checks,
    judge_interval,
    judge_score,
    learnt_checks,
    overlaps,
    picks_checks,
    score_check,
    split_check,
    task_checks,
    unlearnt,
)
from autodistill.evaluators.scoring import proportion

PAIRS = TaskSpec("classification", ("0", "1"), ("a", "b"), "classification.accuracy")


def split(*pairs: tuple[str, str]) -> Any:
    ids = [str(number) for number in range(len(pairs))]
    return datasets.Dataset.from_dict({"id": ids, "a": [a for a, _ in pairs], "b": [b for _, b in pairs]})


def test_texts_in_two_splits_are_counted_whatever_their_case_spaces_and_signs() -> None:
    train = split(("A cat", "sat"), ("a dog", "ran"))
    select = split(("a  CAT!", "sat "), ("new", "text"))
    test = split(("a cat", "ran"), ("new", "text"), ("a dog", "ran"))
    found = overlaps(TaskData(PAIRS, {"train": train, "select": select, "test": test}, "x"))
    together = {"overlap_select_train": 1, "overlap_test_train": 1, "overlap_test_select": 1}
    first = {"overlap_select_train_a": 1, "overlap_test_train_a": 2, "overlap_test_select_a": 2}
    second = {"overlap_select_train_b": 1, "overlap_test_train_b": 2, "overlap_test_select_b": 1}
    assert found == together | first | second
    turned = TaskData(PAIRS, {"train": train, "select": split(("sat", "a cat"))}, "x")
    assert overlaps(turned) == {"overlap_select_train": 1, "overlap_select_train_a": 0, "overlap_select_train_b": 0}


def test_lists_of_words_are_texts_and_streams_are_left_out() -> None:
    task = TaskSpec("token_classification", ("O",), ("words",), "x.y")
    words = datasets.Dataset.from_dict({"id": ["0"], "words": [["A", "cat"]]})
    found = overlaps(TaskData(task, {"train": words, "select": words, "test": object()}, "x"))
    assert found == {"overlap_select_train": 1}


def test_every_guard_of_the_data_is_shown_and_alarms_where_it_matters() -> None:
    notes = {"examples_train": 100, "truncated_train": 30, "examples_test": 100, "truncated_test": 0, "max_length": 8}
    rows = data_checks({**notes, "overlap_test_train": 2})
    assert [row["name"] for row in rows] == [
        "truncated inputs, train",
        "truncated inputs, test",
        "texts of test that stand in train",
    ]
    assert len(alarms(rows)) == 2
    assert alarms(rows)[0].startswith("30% of the train examples are longer than 8 tokens")
    assert alarms(rows)[1].startswith("2 of 100 texts of the test split also stand in the train split")
    assert alarms(data_checks({**notes, "truncated_train": 10, "overlap_test_train": 1})) == []
    assert data_checks({}) == []


def test_what_the_reader_left_out_is_told_and_alarms_above_one_per_cent() -> None:
    name = "dropped_answers_not_in_context"
    (row,) = data_checks({name: 2, f"{name}_of": 100})
    assert row["name"] == "left out: training questions whose answer does not stand where the file says"
    assert row["found"] == "2 of 100"
    assert row["alarm"].startswith("2 of 100 were left out: training questions whose answer")
    assert "not bytes" in row["alarm"]
    for few in ({name: 0, f"{name}_of": 100}, {name: 1, f"{name}_of": 100}, {name: 5}):  # the last: an earlier study's
        assert alarms(data_checks(few)) == []
    (row,) = data_checks({"test_skipped_pages": 3, "test_skipped_pages_of": 10})  # a plugin's own
    assert row["name"] == "left out, test: skipped pages"
    assert row["alarm"].startswith("3 of 10 were left out of the test split: skipped pages.")
    (row,) = data_checks({"test_blank_lines_left_out": 1, "test_blank_lines_left_out_of": 10})  # the end of a file
    assert row == {"name": "left out, test: empty lines", "found": "1 of 10", "alarm": None}
    (row,) = data_checks({"train_files_of_other_kinds_left_out": 4})
    assert row == {"name": "left out, train: files of other kinds", "found": "4", "alarm": None}


def test_words_that_no_answer_is_scored_for_are_told() -> None:
    notes = {"max_length": 8, "words_train": 10, "unscored_words_train": 5, "words_test": 100}
    (row,) = data_checks({**notes, "unscored_words_test": 2})
    assert (row["name"], row["found"]) == ("words that are not scored, test", "2 of 100")
    assert row["alarm"].startswith("2 of 100 words of the test split have no token")
    assert data_checks({**notes, "unscored_words_test": 1})[0]["alarm"] is None


def test_answers_that_no_window_holds_are_told() -> None:
    notes = {"max_length": 8, "texts_train": 100, "examples_train": 300, "truncated_train": 0}
    _, row = data_checks({**notes, "unheld_train": 2})
    assert (row["name"], row["found"]) == ("answers that no window holds, train", "2 of 100")
    assert row["alarm"].startswith("2 of 100 answers of the train split are in no window")
    assert data_checks({**notes, "unheld_train": 1})[1]["alarm"] is None


def test_questions_that_were_cut_are_not_called_long_inputs() -> None:
    notes = {"max_length": 384, "texts_train": 100, "examples_train": 300, "cut_questions_train": 30}
    (row,) = data_checks(notes)
    assert (row["name"], row["found"]) == ("cut questions, train", "30 of 100")
    assert row["alarm"].startswith("30% of the train questions are longer than a window has room for")
    assert data_checks({**notes, "cut_questions_train": 1})[0]["alarm"] is None


def test_texts_are_counted_among_texts_and_one_text_of_a_pair_alarms_when_most_are_known() -> None:
    notes = {"examples_test": 1000, "texts_test": 50, "truncated_test": 10, "max_length": 8}  # windows of long texts
    truncated, both, few, most = data_checks(
        {**notes, "overlap_test_train": 2, "overlap_test_train_question": 20, "overlap_test_train_context": 30}
    )
    assert truncated["found"] == "10 of 50"
    assert both["found"] == "2 of 50"
    assert str(both["alarm"]).endswith("reward learning by heart.")
    assert few == {"name": "texts 'question' of test that stand in train", "found": "20 of 50", "alarm": None}
    assert most["alarm"] == (
        "30 of 50 texts 'context' of the test split also stand in the train split: scores on it reward knowing one "
        "text of the pair."
    )


def test_figures_of_the_split_that_settings_were_chosen_on_raise_an_alarm() -> None:
    tuned = {"split": "select", "check": {"found": "0.9", "alarm": None}}
    tuned |= {"failed_seeds": [], "seeds_asked": 3}
    models = [
        {"name": "small", "tasks": {"mine": {"error": "diverged"}}},
        *({"name": name, "tasks": {"mine": tuned}} for name in ("teacher", "pick 1")),
    ]
    rows = task_checks({"tasks": {"mine": {}}, "models": models})
    [row] = [row for row in rows if row["name"] == "mine: split of the final figures"]
    assert row["found"] == "select"
    assert row["alarm"] == (
        "mine: There is no test split: the final figures of fine-tuning are of the select split, on which its settings "
        "are chosen. They are optimistic, and nothing is claimed from them. Give test examples "
        "(fine_tuning.tasks.mine.test)."
    )
    assert split_check({**tuned, "split": "test"}, "data.test") is None


def test_scores_are_judged_by_their_intervals() -> None:
    right = proportion(np.arange(100) < 80)
    assert judge_score(right, 0.5, "maximize") == "learnt"
    assert judge_score(right, 0.78, "maximize") == "nothing"
    assert judge_score(right, 0.95, "maximize") == "worse"
    assert judge_interval(1.0, 0.9, 1.1, 2.0, "minimize") == "learnt"
    assert judge_interval(1.0, 0.9, 1.1, 1.05, "minimize") == "nothing"
    assert judge_interval(1.0, 0.9, 1.1, 0.5, "minimize") == "worse"
    assert judge_interval(0.6, None, None, 0.5, "maximize") == "learnt"


def test_a_teacher_worse_than_chance_is_told_what_may_be_wrong() -> None:
    assert score_check("the teacher", "x.accuracy", 0.9, 0.5, "learnt")["alarm"] is None
    alarm = score_check("the teacher", "x.accuracy", 0.1, 0.5, "worse")["alarm"]
    assert alarm.startswith("the teacher scores 0.100 on x.accuracy, worse than the trivial answer (0.500)")
    assert "another order" in alarm


def test_before_the_comparison_the_teacher_is_judged_on_the_select_split() -> None:
    entry = {"value": 0.52, "variance": 0.001, "low": 0.46, "high": 0.58, "split": "select"}
    teacher = {"trivial": {"x.a": 0.5}, "metrics": {"x.a": entry}}
    (row,) = learnt_checks({}, teacher, "x.a", "maximize")
    assert "no better than the trivial answer" in row["alarm"]
    assert unlearnt({}, teacher, "x.a", "maximize") == ["teacher"]
    assert learnt_checks({}, {"trivial": {}, "metrics": {}}, "x.a", "maximize") == []


@pytest.mark.parametrize(("value", "alarmed"), [(0.52, True), (0.60, False)])
def test_a_teacher_that_an_earlier_version_scored_is_judged_by_its_variance(value: float, alarmed: bool) -> None:
    entry = {"value": value, "variance": 0.001, "split": "select"}
    (row,) = learnt_checks({}, {"trivial": {"x.a": 0.5}, "metrics": {"x.a": entry}}, "x.a", "maximize")
    assert (row["alarm"] is not None) == alarmed


def test_everything_in_the_comparison_is_judged_against_its_own_split() -> None:
    def row(name: str, value: float) -> dict[str, Any]:
        return {"name": name, "metrics": {"x.a": {"value": value, "low": value - 0.05, "high": value + 0.05}}}

    finals = {
        "trivial": {"x.a": 0.6},
        "teacher": row("teacher", 0.9),
        "references": [row("tfidf", 0.8)],
        "baselines": {"3": row("tiny", 0.61)},
        "picks": {"1": row("pick 1", 0.4)},
    }
    rows = learnt_checks(finals, {"trivial": {"x.a": 0.5}, "metrics": {}}, "x.a", "maximize")
    assert [item["name"].split(" against")[0] for item in rows] == ["the teacher", "tfidf", "tiny", "pick 1"]
    assert [item["alarm"] is None for item in rows] == [True, True, False, False]
    assert "worse than the trivial answer" in rows[3]["alarm"]
    assert unlearnt(finals, {"trivial": {"x.a": 0.5}, "metrics": {}}, "x.a", "maximize") == ["tiny", "pick 1"]


def test_picks_that_are_missing_or_beyond_the_reference_have_rows_without_an_alarm() -> None:
    asked = {"max": 4, "margin": 0.0}
    chosen = [{"trial": 3, "searched": 5}, {"trial": 1, "searched": 5}]
    assert picks_checks({}, []) == []
    assert picks_checks({"trials": [3, 1], "searched": 5, "asked": asked}, chosen) == []
    frozen = {"trials": [3, 1], "searched": 5, "asked": asked, "fewer": "the search has 2 architectures"}
    chosen[1] = {**chosen[1], "beyond": ["ort.p50_ms"]}
    fewer, beyond = picks_checks(frozen, chosen)
    assert fewer == {"name": "picks", "found": "2 of at most 4: the search has 2 architectures", "alarm": None}
    assert beyond["found"] == "trial 1 (ort.p50_ms)"
    assert beyond["alarm"] is None
