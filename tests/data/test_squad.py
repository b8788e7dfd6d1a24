"""SQuAD: both versions from files in the official layout, and what may be wrong with them."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from autodistill.components.task import DataContext, TaskData
from autodistill.data.benchmark_configs import SquadConfig
from autodistill.data.squad import Squad
from autodistill.errors import ConfigError, DataError
from autodistill.testing.sources import write_tiny_squad


def load(**parameters: Any) -> TaskData:
    return Squad(DataContext(Path("unused")), **asdict(SquadConfig(**parameters))).load()


def test_questions_answers_and_contexts_are_read(tmp_path: Path) -> None:
    train, test = write_tiny_squad(tmp_path / "train.json"), write_tiny_squad(tmp_path / "dev.json", 5, seed=1)
    data = load(train=str(train), test=str(test))
    assert data.task.kind == "question_answering"
    assert data.task.benchmark == "squad/1.1"
    assert data.task.stride == 128
    assert {role: len(split) for role, split in data.splits.items()} == {"train": 58, "select": 2, "test": 10}
    for row in data.splits["train"]:
        start, text = row["answers"]["start"][0], row["answers"]["text"][0]
        assert row["context"][start : start + len(text)] == text
    assert not set(data.splits["train"]["context"]) & set(data.splits["select"]["context"])


def test_an_answer_before_the_context_is_in_none_of_it(tmp_path: Path) -> None:
    path = write_tiny_squad(tmp_path / "train.json")
    content = json.loads(path.read_text())
    paragraph = content["data"][0]["paragraphs"][0]
    paragraph["qas"][0]["answers"][0]["answer_start"] -= len(paragraph["context"])  # Python finds it from the end
    path.write_text(json.dumps(content))
    assert load(train=str(path)).notes["dropped_answers_not_in_context"] == 1


def test_to_score_a_model_the_dev_file_will_do(tmp_path: Path) -> None:
    test = write_tiny_squad(tmp_path / "dev.json", 5)
    parameters = asdict(SquadConfig(test=str(test)))
    splits = Squad(DataContext(tmp_path, ()), **parameters).load().splits
    assert {role: len(split) for role, split in splits.items()} == {"test": 10}
    with pytest.raises(DataError, match=r"data\.train is null"):  # nothing is trained without
        Squad(DataContext(tmp_path), **parameters).load()


def test_version_2_has_questions_without_answers(tmp_path: Path) -> None:
    path = write_tiny_squad(tmp_path / "train.json", impossible=True)
    data = load(train=str(path), version="2.0")
    assert sum(not row["answers"]["text"] for row in data.splits["train"]) >= 28
    with pytest.raises(DataError, match=r"paragraph 1, question 2: .* has no answer. Set data.version=2.0"):
        load(train=str(path))


def test_answers_that_are_not_in_their_context_are_dropped_from_train_and_counted(tmp_path: Path) -> None:
    path = write_tiny_squad(tmp_path / "train.json")
    content = json.loads(path.read_text())
    question = content["data"][0]["paragraphs"][0]["qas"][0]
    question["answers"][0]["answer_start"] += 1
    path.write_text(json.dumps(content))
    data = load(train=str(path), test=str(path))
    assert data.notes["dropped_answers_not_in_context"] == 1
    assert data.notes["dropped_answers_not_in_context_of"] == 60
    assert question["id"] not in {*data.splits["train"]["id"], *data.splits["select"]["id"]}
    assert question["id"] in data.splits["test"]["id"]  # its texts are what is scored


def broken(path: Path, change: str) -> str:
    content = json.loads(write_tiny_squad(path).read_text())
    paragraph = content["data"][0]["paragraphs"][1]
    if change == "id":
        paragraph["qas"][1]["id"] = paragraph["qas"][0]["id"]
    elif change == "context":
        del paragraph["context"]
    elif change == "half":
        paragraph["context"] += "\ud83d"
    elif change == "start":
        paragraph["qas"][0]["answers"][0]["answer_start"] = "3"
    elif change == "text":
        paragraph["qas"][0]["is_impossible"] = "false"
    elif change == "both":
        paragraph["qas"][0]["is_impossible"] = True
    elif change == "empty":
        content["data"] = []
    else:
        content = []
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "id",
            r"train.json, article 1, paragraph 2, question 2: .* 'q0-1-\d+' stands in .*paragraph 2, question 1 too",
        ),
        ("context", r"article 1, paragraph 2: expected 'context' \(str\)"),
        ("half", r"article 1, paragraph 2: 'context' has \\ud83d, half of a surrogate pair"),
        ("start", r"article 1, paragraph 2, question 1: expected 'answer_start' \(int\)"),
        ("text", r"paragraph 2, question 1: expected 'is_impossible' to be true or false, got 'false'"),
        ("both", r"paragraph 2, question 1: 'is_impossible' is true, but there are answers"),
        ("empty", "train.json has no questions"),
        ("list", r"train.json: expected 'data' \(list\), as in the official files"),
    ],
)
def test_a_wrong_structure_is_named(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(train=broken(tmp_path / "train.json", change))


def test_files_that_cannot_be_read_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "train.json.gz"
    path.write_bytes(gzip.compress(write_tiny_squad(tmp_path / "a.json").read_bytes())[:-20])
    with pytest.raises(DataError, match=r"data.train: .*train.json.gz breaks off or is damaged in line"):
        load(train=str(path))
    (tmp_path / "c.json").write_bytes(gzip.compress(b"{}"))
    with pytest.raises(DataError, match=r"c.json is a gzip file whatever its name says. Rename it to end in .json.gz"):
        load(train=str(tmp_path / "c.json"))
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(DataError, match=r"b.json is not JSON"):
        load(train=str(tmp_path / "b.json"))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"deep.json is not JSON .*recursion"):
        load(train=str(tmp_path / "deep.json"))
    with pytest.raises(DataError, match=r"data.train names the file .* which does not exist"):
        load(train="none.json")
    with pytest.raises(DataError, match="rajpurkar/squad would be read from the hub"):
        load()


def test_a_file_is_unzipped_whatever_the_case_of_its_ending(tmp_path: Path) -> None:
    plain = write_tiny_squad(tmp_path / "train.json")
    zipped = tmp_path / "train.json.GZ"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    assert load(train=str(zipped)).fingerprint == load(train=str(plain)).fingerprint


def test_questions_of_the_hub_are_read_and_one_without_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"text": ["blue"], "answer_start": [11]}
    rows = [
        {"id": str(number), "question": "Which colour?", "context": f"The sky is blue {number}.", "answers": answers}
        for number in range(40)
    ]
    monkeypatch.setattr("autodistill.data.squad.load_from_hub", lambda *unused: rows)
    data = load(allow_hub=True)
    assert data.splits["test"][0]["answers"] == {"text": ["blue"], "start": [11]}
    rows[1]["question"] = None
    with pytest.raises(DataError, match=r"rajpurkar/squad, .*, row 2: expected 'question' \(str\)"):
        load(allow_hub=True)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.version must be 1.1 or 2.0, got '3'"):
        SquadConfig(version="3")
    with pytest.raises(ConfigError, match=r"data.stride must be >= 0 and < data.max_length / 2 \(32\), got 32"):
        SquadConfig(stride=32, max_length=64)


@pytest.mark.data
@pytest.mark.skipif("AUTODISTILL_DATA" not in os.environ, reason="AUTODISTILL_DATA names no folder of real data")
def test_the_real_dev_set_has_its_official_count() -> None:
    path = str(Path(os.environ["AUTODISTILL_DATA"]) / "squad" / "dev-v1.1.json.gz")
    data = load(train=path, test=path)
    assert len(data.splits["test"]) == 10570
    assert not data.notes.get("dropped_answers_not_in_context")
