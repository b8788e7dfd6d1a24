"""Own tasks by configuration alone: several labels, pairs, numbers, labelled words, sentences, unlabelled traffic."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from autodistill.components.task import DataContext, TaskData
from autodistill.data.configs import (
    SentencesConfig,
    TextClassificationConfig,
    TextRegressionConfig,
    TokenClassificationConfig,
)
from autodistill.data.sentences import Sentences
from autodistill.data.text_classification import TextClassification
from autodistill.data.text_regression import TextRegression
from autodistill.data.token_classification import TokenClassification, read_conll
from autodistill.engine.guards import overlaps
from autodistill.errors import ConfigError, DataError

SOURCES: dict[Any, Any] = {
    TextClassification: TextClassificationConfig,
    TextRegression: TextRegressionConfig,
    TokenClassification: TokenClassificationConfig,
    Sentences: SentencesConfig,
}


def load(source: Any, **parameters: Any) -> TaskData:
    data: TaskData = source(DataContext(Path("unused")), **asdict(SOURCES[source](**parameters))).load()
    return data


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_several_labels_as_lists_and_as_text(tmp_path: Path) -> None:
    rows = [{"text": f"text {n} {n * n}", "label": [["a", "b"], [], ["c"]][n % 3]} for n in range(30)]
    listed = load(TextClassification, train=lines(tmp_path / "a.jsonl", rows), multi_label=True)
    joined = [{**row, "label": "|".join(row["label"])} for row in rows]
    texts = load(TextClassification, train=lines(tmp_path / "b.jsonl", joined), multi_label=True, label_separator="|")
    assert listed.fingerprint == texts.fingerprint
    assert listed.task.multi_label
    assert listed.task.labels == ("a", "b", "c")
    expected = {row["text"]: ["abc".index(name) for name in row["label"]] for row in rows}
    assert all(row["label"] == expected[row["text"]] for role in ("train", "select") for row in listed.splits[role])
    assert listed.notes["train_without_label"] == 10  # before select was carved


@pytest.mark.parametrize("bad", [None, "", "  ", math.nan])
def test_an_empty_name_among_several_labels_is_an_error(tmp_path: Path, bad: Any) -> None:
    rows: list[dict[str, Any]] = [{"text": f"text {n} {n * n}", "label": ["a", "b"][: n % 3]} for n in range(30)]
    rows[4]["label"] = ["a", bad]
    with pytest.raises(DataError, match=r"a.jsonl, line 5: the label in place 2 of the list .*'label' is empty"):
        load(TextClassification, train=lines(tmp_path / "a.jsonl", rows), multi_label=True)
    rows[4]["label"] = None
    data = load(TextClassification, train=lines(tmp_path / "a.jsonl", rows), multi_label=True)
    assert data.notes["train_without_label"] == 11


def test_to_score_a_model_the_test_file_will_do_and_its_classes_are_the_models(tmp_path: Path) -> None:
    def scored(source: Any, path: str, classes: tuple[str, ...], **parameters: Any) -> TaskData:
        config = SOURCES[source](test=path, **parameters)
        data: TaskData = source(DataContext(Path("unused"), classes), **asdict(config)).load()
        assert set(data.splits) == {"test"}
        return data

    texts = lines(tmp_path / "a.jsonl", [{"text": f"t{n}", "label": "yn"[n % 2], "score": n} for n in range(4)])
    words = lines(tmp_path / "b.jsonl", [{"words": ["a", "b"], "labels": ["O", "B-X"]}])
    data = scored(TextClassification, texts, ("y", "n", "other"))
    assert (data.task.labels, data.splits["test"]["label"]) == (("y", "n", "other"), [0, 1, 0, 1])
    assert scored(TextClassification, texts, ("y", "n"), labels=["n", "y"]).task.labels == ("n", "y")
    assert scored(TextClassification, texts, ("y", "n"), label_column=None).task.labels == ()
    assert scored(TextRegression, texts, (), label_column="score").splits["test"]["label"] == [0, 1, 2, 3]
    assert scored(TokenClassification, words, ("B-X", "O")).splits["test"]["label"] == [[1, 0]]
    with pytest.raises(DataError, match=r"line 2: label 'n' does not occur in the model that is scored, .* 'y', 'z'"):
        scored(TextClassification, texts, ("y", "z"))
    with pytest.raises(
        DataError, match=r"data.train must name a file .* a file of test examples \(data.test\) will do"
    ):
        TextRegression(DataContext(Path("unused"), ()), **asdict(TextRegressionConfig())).load()
    with pytest.raises(DataError, match=r"data.train must name a file"):  # nothing is trained without
        load(TextClassification, test=texts, labels=["y", "n"])


def test_given_classes_keep_their_order_and_are_all_there_is(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"text": f"t{n} {n}", "label": "yn"[n % 2]} for n in range(30)])
    assert load(TextClassification, train=path, labels=["y", "n"]).task.labels == ("y", "n")
    with pytest.raises(DataError, match=r"a.jsonl, line 2: label 'n' does not occur in data.labels, .* 'y', 'z'"):
        load(TextClassification, train=path, labels=["y", "z"])


def test_traffic_without_labels_may_have_a_labelled_test_set(tmp_path: Path) -> None:
    train = lines(tmp_path / "a.jsonl", [{"text": f"t{n} {n}"} for n in range(30)])
    test = lines(tmp_path / "t.jsonl", [{"text": "x", "answer": "no"}, {"text": "y", "answer": "yes"}])
    given = {"train": train, "test": test, "label_column": None, "labels": ["no", "yes"]}
    data = load(TextClassification, **given, test_label_column="answer")
    assert data.task.label_free
    assert data.splits["test"]["label"] == [0, 1]
    assert "label" not in data.splits["train"].column_names
    with pytest.raises(ConfigError, match=r"data.test_label_column must be null unless the task is label-free"):
        load(TextClassification, train=train, test_label_column="answer")


def test_ids_of_a_column_must_be_unique(tmp_path: Path) -> None:
    rows = [{"text": f"t{n} {n}", "label": "yn"[n % 2], "key": f"k{n}"} for n in range(30)]
    data = load(TextClassification, train=lines(tmp_path / "a.jsonl", rows), id_column="key")
    assert set(data.splits["train"]["id"]) | set(data.splits["select"]["id"]) == {f"k{n}" for n in range(30)}
    rows[7]["key"] = "k3"
    with pytest.raises(DataError, match=r"a.jsonl, line 8: the id 'k3' \(column 'key'\) stands in line 4 already"):
        load(TextClassification, train=lines(tmp_path / "a.jsonl", rows), id_column="key")
    rows[7]["key"] = ""
    with pytest.raises(DataError, match=r"line 8: the id \(column 'key'\) is empty"):
        load(TextClassification, train=lines(tmp_path / "a.jsonl", rows), id_column="key")


def test_pairs_with_numbers(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"a": f"one {n}", "b": f"two {n * n}", "score": n / 2 if n % 2 else str(n / 2)} for n in range(30)
    ]
    data = load(TextRegression, train=lines(tmp_path / "a.jsonl", rows), text_columns=["a", "b"], label_column="score")
    assert data.task.kind == "regression"
    assert sorted([*data.splits["train"]["label"], *data.splits["select"]["label"]]) == [n / 2 for n in range(30)]
    for bad in ("much", None, float("nan"), True, "", "1_0", 10**400, 1e39):
        rows[4]["score"] = bad
        path = tmp_path / "b.jsonl"
        with pytest.raises(DataError, match=r"b.jsonl, line 5: expected a number in column 'score', got"):
            load(TextRegression, train=lines(path, rows), text_columns=["a", "b"], label_column="score")


def test_what_to_set_for_a_missing_column_are_keys_that_there_are(tmp_path: Path) -> None:
    train = lines(tmp_path / "a.jsonl", [{"content": "a"}])
    with pytest.raises(DataError, match=r"no column 'text'.* Its columns: 'content'. Set data.text_column.$"):
        load(Sentences, train=train)
    with pytest.raises(DataError, match=r"no column 'words'.* Set data.words_column and data.labels_column.$"):
        load(TokenClassification, train=train)


def test_sentences_have_no_labels(tmp_path: Path) -> None:
    train = lines(tmp_path / "a.jsonl", [{"text": f"sentence {n} {n * n}"} for n in range(30)])
    data = load(Sentences, train=train)
    assert data.task.kind == "embedding"
    assert data.task.metric == "embedding.retrieval"  # `cosine` needs a student as wide as the teacher
    assert data.task.label_free
    assert data.splits["train"].column_names == ["id", "text"]


CONLL = "".join(f"-DOCSTART- -X- O O\n\nMrs NN B-PER\nw{n} XX I-PER\nleft VB O\n\n" for n in range(30))


def test_words_from_conll_and_from_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(CONLL)
    data = load(TokenClassification, train=str(path))
    assert data.task.labels == ("O", "B-PER", "I-PER")
    assert data.task.metric == "token_classification.entity_f1"
    assert data.splits["train"][0]["words"] == ["Mrs", data.splits["train"][0]["words"][1], "left"]
    assert data.splits["train"][0]["label"] == [1, 2, 0]
    rows = [{"words": ["Mrs", f"w{n}", "left"], "labels": ["B-PER", "I-PER", "O"]} for n in range(30)]
    again = load(TokenClassification, train=lines(tmp_path / "a.jsonl", rows))
    assert again.fingerprint == data.fingerprint


@pytest.mark.parametrize(
    "content",
    [
        "Mrs\tB-PER\nBoth ways\tO\n\nn\u00a0b\tO\n",
        "\n-DOCSTART-\tO\n\t\nMrs\tNN\tB-PER\r\nBoth ways\t_\tO\t\r\n \t\r\n\r\nn\u00a0b\t\tO",
        "Mrs\tB-PER\nBoth ways\tO\n-DOCSTART- O\nn\u00a0b   O \n\n",
    ],
)
def test_columns_of_conll_stand_between_tabs_or_spaces(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.conll"
    path.write_text(content)
    notes = dict[str, int]()
    sentences = [row.values for row in read_conll(path, "data.train", ("words", "labels"), notes)]
    assert notes == ({"document_lines_left_out": 1} if "DOCSTART" in content else {})
    assert sentences == [
        {"words": ["Mrs", "Both ways"], "labels": ["B-PER", "O"]},
        {"words": ["n\u00a0b"], "labels": ["O"]},
    ]


def test_comments_of_conll_are_counted_and_a_hash_is_a_word(tmp_path: Path) -> None:
    path, notes = tmp_path / "a.conll", dict[str, int]()
    path.write_text("# sent_id = 1\n# text = Mrs\n# text\n# id 7\nMrs O\n# B-X\n\n# O\n1 O\n\n# id 2\n\n# B-X\n")
    sentences = [row.values for row in read_conll(path, "data.train", ("words", "labels"), notes)]
    assert [sentence["words"] for sentence in sentences] == [["Mrs", "#"], ["#", "1"], ["#"]]
    assert notes == {"comment_lines_left_out": 5}


def test_numbers_for_labels_want_their_names(tmp_path: Path) -> None:
    rows = [{"words": ["Mrs", f"w{n}", "left"], "labels": [1, 2, 0]} for n in range(30)]
    train = lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match=r"numbers for labels, 0, 1, 2 and so on. Give their names in data.labels"):
        load(TokenClassification, train=train)
    names = ["O", "B-PER", "I-PER", "B-LOC"]
    data = load(TokenClassification, train=train, labels=names)
    assert data.task.labels == tuple(names)
    assert data.task.metric == "token_classification.entity_f1"
    assert data.splits["train"][0]["label"] == [1, 2, 0]
    (tmp_path / "t.conll").write_text("Paris B-LOC\n")
    test = load(TokenClassification, train=train, test=str(tmp_path / "t.conll"), labels=names).splits["test"]
    assert test[0]["label"] == [3]
    with pytest.raises(DataError, match=r"label '2' does not occur in data.labels"):
        load(TokenClassification, train=train, labels=["O", "B-PER"])
    with pytest.raises(ConfigError, match=r"data.labels must be two or more different names"):
        load(TokenClassification, train=train, labels=["O", "O"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.conll", CONLL + "alone\n", r"a.conll, line \d+: expected a word and its label, got 'alone'"),
        ("a.conll", CONLL + "two O\n", r"a.conll, line 181 has 2 columns, but the first word \(line 3\) has 3"),
        ("a.conll", CONLL.replace(" ", "\t") + "w\tNN\t\n", r"line 181 has 2 columns, but the first"),
        ("a.conll", CONLL.replace(" ", "\t") + "\tNN\tO\n", r"line 181: expected a word and its label, got '' and 'O'"),
        ("a.conll", "\n\n", "a.conll has no examples. Expected one word and its label per line"),
        ("a.conll", "w O\n", "a.conll has 1 classes of words; expected two or more"),
        ("a.jsonl", '{"words": ["a", "b"], "labels": ["O"]}', "line 1: 2 words, but 1 labels. Expected one per word"),
        ("a.jsonl", '{"words": "a b", "labels": ["O"]}', "line 1: expected a list in column 'words', got 'a b'"),
        (
            "a.jsonl",
            '{"words": ["a", "b"], "labels": ["O", ""]}',
            "line 1: the label in place 2 .*'labels' is empty",
        ),
        (
            "a.jsonl",
            '{"words": ["a", "b"], "labels": ["O", " \\t"]}',
            "line 1: the label in place 2 .* is empty. Ever",
        ),
        ("a.jsonl", '{"words": ["a", "b"], "labels": [true, "O"]}', "line 1: expected text in place 1 of .*, got True"),
        (
            "a.jsonl",
            '{"words": ["a", "b"], "labels": [1, -100]}',
            "place 2 of column 'labels' is -100, and negative",
        ),
        (
            "a.jsonl",
            '{"words": ["a", "b"], "labels": ["-1", "1"]}',
            "place 1 of column 'labels' is -1, .* give whole",
        ),
    ],
)
def test_bad_words_are_explained(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load(TokenClassification, train=str(tmp_path / name))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_white_space_around_a_label_makes_no_other_class(tmp_path: Path, name: str) -> None:
    rows = [{"words": ["Mrs", f"w{n}"], "labels": ["B-PER ", " O" if n % 2 else "O\t"]} for n in range(30)]
    path = tmp_path / name
    if name.endswith(".parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        lines(path, rows)
    data = load(TokenClassification, train=str(path))
    assert data.task.labels == ("O", "B-PER")
    assert data.task.metric == "token_classification.entity_f1"


def test_a_negative_number_may_be_the_name_of_a_class(tmp_path: Path) -> None:
    rows = [{"words": ["a", f"w{n}"], "labels": [-1, 1]} for n in range(30)]
    train = lines(tmp_path / "a.jsonl", rows)
    assert load(TokenClassification, train=train, labels=["-1", "1"]).splits["train"][0]["label"] == [0, 1]
    with pytest.raises(DataError, match=r"a.jsonl, line 1: .* is -1, and negative numbers are no classes"):
        load(TokenClassification, train=train, labels=["O", "B-PER"])


def test_a_label_that_only_the_test_has_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(CONLL)
    (tmp_path / "t.conll").write_text("fine O\n\nParis B-LOC\n")
    with pytest.raises(DataError, match=r"t.conll, line 3: label 'B-LOC' does not occur in the training file"):
        load(TokenClassification, train=str(tmp_path / "a.conll"), test=str(tmp_path / "t.conll"))


def test_a_pair_and_the_pair_the_other_way_round_are_on_one_side(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(40)]
    pairs = [(words[n % 40], words[(n * 7 + 1) % 40]) for n in range(200)]
    rows = [{"a": a, "b": b, "label": "yn"[len(a) % 2]} for a, b in [*pairs, *((b, a) for a, b in pairs)]]
    data = load(TextClassification, train=lines(tmp_path / "a.jsonl", rows), text_columns=["a", "b"], labels=["y", "n"])
    assert data.notes["carved_select"] > 0
    assert overlaps(data)["overlap_select_train"] == 0


def test_a_file_that_may_not_be_read_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lines(tmp_path / "a.jsonl", [{"text": "a", "label": "y"}])

    def refuse(*_: Any) -> Any:  # as for a user who is not root
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("autodistill.data.tables.opened_text", refuse)
    with pytest.raises(DataError, match=r"data.train: .*a.jsonl may not be read by this user"):
        load(TextClassification, train=path)
