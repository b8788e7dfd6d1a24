"""The user's own files: what is read, and every way in which they can be wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from autodistill.components.task import DataContext, TaskData
from autodistill.data.configs import TextClassificationConfig
from autodistill.data.tables import read_table
from autodistill.data.text_classification import TextClassification
from autodistill.engine.guards import data_checks, overlaps
from autodistill.errors import ConfigError, DataError

ROWS = [(f"this is text number {number} of {number * 7}", "good" if number % 3 else "bad") for number in range(60)]


def load(**parameters: Any) -> TaskData:
    config = TextClassificationConfig(**parameters)
    return TextClassification(DataContext(Path("unused")), **asdict(config)).load()


def write(path: Path, text: str | bytes) -> str:
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def tsv(rows: Sequence[tuple[str, str]] = ROWS, header: str = "text\tlabel") -> str:
    return "\n".join([header, *("\t".join(row) for row in rows)]) + "\n"


def as_parquet(path: Path, rows: Sequence[tuple[str, Any]]) -> str:
    table = pyarrow.Table.from_pylist([{"text": text, "label": label} for text, label in rows])
    pyarrow.parquet.write_table(table, path)
    return str(path)


def test_all_formats_give_the_same_examples(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"text": text, "label": label, "more": 1}) for text, label in ROWS)
    files = [
        write(tmp_path / "a.tsv", tsv()),
        write(tmp_path / "a.tsv.gz", tsv()),
        write(tmp_path / "a.csv", tsv().replace("\t", ",")),
        write(tmp_path / "bom.csv", "\ufeff" + tsv().replace("\t", ",").replace("\n", "\r\n")),
        write(tmp_path / "a.jsonl", lines),
        write(tmp_path / "a.json.gz", lines + "\n\n"),
        as_parquet(tmp_path / "a.parquet", ROWS),
    ]
    loaded = [load(train=file) for file in files]
    assert len({data.fingerprint for data in loaded}) == 1
    assert loaded[0].task.labels == ("bad", "good")
    assert loaded[0].task.metric == "classification.accuracy"
    assert loaded[0].notes["carved_select"] == len(loaded[0].splits["select"]) == 6
    assert loaded[0].splits["train"].column_names == ["id", "text", "label"]


def test_quotes_are_characters_in_tsv_and_quotes_in_csv(tmp_path: Path) -> None:
    rows = [('"an open quote, a comma', "good"), ('say ""what""', "bad")]
    data = load(train=write(tmp_path / "a.tsv", tsv(rows)), select=write(tmp_path / "s.tsv", tsv(rows)))
    assert data.splits["train"]["text"][0] == '"an open quote, a comma'
    quoted = write(tmp_path / "a.csv", 'text,label\n"two\nlines, ""quoted""",1\nplain,0\n')
    assert load(train=quoted, select=quoted).splits["train"]["text"][0] == 'two\nlines, "quoted"'


def test_whole_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    rows = [(f"text {number} {number}", str(number)) for number in range(11)]
    path = write(tmp_path / "a.tsv", tsv(rows))
    assert load(train=path, select=path).task.labels == tuple(map(str, range(11)))
    floats = as_parquet(tmp_path / "a.parquet", [(text, float(label)) for text, label in rows])
    assert load(train=floats, select=path).splits["train"]["label"][10] == 10


def test_without_label_column_the_labels_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", tsv())
    unlabelled = write(tmp_path / "t.tsv", "text\nsome text\n")
    data = load(train=path, test=unlabelled, label_column=None)
    assert data.task.label_free
    assert data.task.labels == ()
    assert data.task.metric == "agreement.accuracy"
    assert all("label" not in split.column_names for split in data.splits.values())


def test_two_text_columns_and_ids(tmp_path: Path) -> None:
    rows = [(f"premise {number}\thypothesis {number}", str(number % 2)) for number in range(20)]
    data = load(train=write(tmp_path / "a.tsv", tsv(rows, "p\th\tlabel")), text_columns=["p", "h"], select_share=0.2)
    ids = [identity for role in ("train", "select") for identity in data.splits[role]["id"]]
    assert len(ids) == len(set(ids)) == 20
    first = data.splits["select"][0]
    assert first["id"].startswith("select-")
    assert first["p"] == f"premise {first['id'].removeprefix('select-')}"


def test_ids_of_ones_own_stay_as_they_are(tmp_path: Path) -> None:
    rows = [(f"train-{number + 100}\ttext {number}", str(number % 2)) for number in range(20)]
    data = load(train=write(tmp_path / "a.tsv", tsv(rows, "key\ttext\tlabel")), id_column="key", select_share=0.2)
    ids = {identity for role in ("train", "select") for identity in data.splits[role]["id"]}
    assert ids == {f"train-{number}" for number in range(100, 120)}


def test_names_that_are_very_long_numbers_are_names(tmp_path: Path) -> None:
    names = ["9" * 5000, "1"]
    data = load(train=write(tmp_path / "a.tsv", tsv([(f"text {number}", names[number % 2]) for number in range(20)])))
    assert set(data.task.labels) == set(names)


def test_the_limit_keeps_the_same_training_examples_each_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", tsv())
    whole, limited = load(train=path), load(train=path, train_limit=20)
    assert len(limited.splits["train"]) == 20
    assert set(limited.splits["train"]["id"]) < set(whole.splits["train"]["id"])
    assert limited.splits["select"].to_list() == whole.splits["select"].to_list()
    assert limited.fingerprint == load(train=path, train_limit=20).fingerprint != whole.fingerprint


def test_texts_of_train_that_stand_in_test_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", tsv())
    test = write(tmp_path / "t.tsv", tsv([("THIS is text number 1 of 7!", "good"), ("new", "bad")]))
    found = overlaps(load(train=path, select=path, test=test))
    assert found["overlap_test_train"] == 1
    assert found["overlap_select_train"] == 60


def test_a_select_split_that_near_duplicates_decide_is_told(tmp_path: Path) -> None:
    phrases = [" ".join(f"w{n + place}" for place in range(8)) for n in range(0, 600, 3)]
    chained = [(text, "good" if place % 2 else "bad") for place, text in enumerate(phrases)]
    data = load(train=write(tmp_path / "a.tsv", tsv(chained)))
    carved = {name: data.notes[name] for name in ("carved_select", "asked_select", "largest_near_duplicates")}
    assert carved == {"carved_select": 20, "asked_select": 20, "largest_near_duplicates": 200}
    (alarm,) = [row["alarm"] for row in data_checks(data.notes) if row["name"].startswith("select as carved")]
    assert alarm.startswith("200 training examples are near-duplicates in groups larger than the 20 of select")
    assert "data.select" in alarm
    copies = [(f"text {number % 3}", "good" if number % 3 else "bad") for number in range(60)]
    few = load(train=write(tmp_path / "b.tsv", tsv([*copies, ("new", "good"), ("other", "bad")])))
    (alarm,) = [row["alarm"] for row in data_checks(few.notes) if row["name"].startswith("select as carved")]
    assert alarm.startswith("Select has 2 examples, 6 were asked for")
    plain = load(train=write(tmp_path / "c.tsv", tsv()))
    (told,) = [row for row in data_checks(plain.notes) if row["name"].startswith("select as carved")]
    assert (told["found"], told["alarm"]) == ("6 of 6 examples, largest group of near-duplicates 1", None)
    with pytest.raises(DataError, match=r"up to 20 are near-duplicates of each other.* your own \(data\.select\)\."):
        load(train=write(tmp_path / "d.tsv", tsv(copies)))


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl"])
def test_empty_lines_are_counted(tmp_path: Path, name: str) -> None:
    content = tsv() if name == "a.tsv" else "".join(json.dumps({"text": a, "label": b}) + "\n" for a, b in ROWS)
    clean, gaps = write(tmp_path / name, content), write(tmp_path / f"gaps-{name}", "\n\n".join(content.split("\n", 2)))
    assert "train_blank_lines_left_out" not in load(train=clean).notes
    assert load(train=gaps).notes["train_blank_lines_left_out"] == 2
    assert load(train=gaps).notes["train_blank_lines_left_out_of"] == 2 + len(ROWS)


def labelled(value: str) -> str:
    """Two lines of JSON, the second with this label."""
    return f'{{"text": "a", "label": "x"}}\n{{"text": "b", "label": {value}}}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "text\n", r"data.train: .*a.txt has an ending that is not understood. Expected one of .tsv, .csv"),
        ("a.parquet", tsv(), "a.parquet ends in .parquet but is not a Parquet file"),
        ("a.parquet", b"PAR1" + b"x" * 50, "a.parquet ends in .parquet but cannot be read as Parquet"),
        (
            "a.tsv",
            gzip.compress(tsv().encode(), mtime=0),
            r"a.tsv is a gzip file whatever its name says. Rename .* \.tsv\.gz",
        ),
        ("a.csv", b"PAR1" + b"x" * 50, "a.csv is a Parquet file whatever its name says"),
        ("a.tsv", b"text\tlabel\nGr\xfc\xdfe\t1\n", "a.tsv, line 2 is not UTF-8 text"),
        ("a.tsv", "text\tlabel\nonly one field\n", "a.tsv, line 2 has 1 fields, but the first line names 2 columns"),
        ("a.csv", 'text,label\n"never closed,1\n', "a.csv, line 2 cannot be read as a table"),
        (
            "a.csv",
            'text,label\nfine,0\n"two\nlines",1\n"never closed,1\nb,0\nc,1\n',
            r"a.csv, line 5, read to line 7, cannot be read as a table: unexpected end of data\. In \.csv a quote",
        ),
        ("a.csv", 'text,label\n"two\nlines"\n', "a.csv, line 2 has 1 fields, but the first line names 2 columns"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": ', "a.jsonl, line 2 is not JSON .* one JSON object per line"),
        (
            "a.jsonl",
            '{"text": "a", "label": 1}\n{"text": "\\udc80", "label": 2}',
            r"a.jsonl, line 2 has \\udc80, half of",
        ),
        ("a.jsonl", '["a", 1]\n', "a.jsonl, line 1 is not an object"),
        (
            "a.jsonl",
            '{"text": "a", "label": "x", "label": "y"}\n',
            "line 1 has 'label' several times, and only one can",
        ),
        ("a.jsonl", "[" * 100_000, "a.jsonl, line 1 is not JSON .*recursion"),
        (
            "a.jsonl",
            labelled('["x"]'),
            r"line 2: expected one label .* got the list \['x'\]. Set data.multi_label=true",
        ),
        ("a.jsonl", labelled("NaN"), r"a.jsonl, line 2: the label .column 'label'. is empty"),
        (
            "a.jsonl",
            labelled('{"x": 1}'),
            r"line 2: expected the name or number of a class in column 'label', got {'x'",
        ),
        (
            "a.jsonl",
            labelled("0.5"),
            r"expected the name or number of a class .* got 0.5. For numbers .*data=text_regression",
        ),
        ("a.jsonl", '{"text": "a", "labels": 1}\n', r"line 1 has no column 'label'. Did you mean 'labels'\?"),
        ("a.jsonl", '{"text": null, "label": 1}\n{"text": "b", "label": 2}', "line 1: expected text in column 'text'"),
        ("a.tsv", tsv(header="txt\tlabel"), r"no column 'text'. Did you mean 'txt'\? Its columns: 'txt', 'label'"),
        ("a.tsv", tsv(header="text\tclass"), "no column 'label'. .*data.label_column"),
        ("a.tsv", "text\tlabel\n", "a.tsv has no examples. Expected at least one row"),
        ("a.tsv", "", "a.tsv has no column 'text'. Its columns: none"),
        ("a.tsv", tsv([("a", "x"), ("b", "x")]), "has only one class in column 'label': 'x'. Expected at least two"),
        ("a.tsv", tsv([("a", "x"), ("b", " ")]), "a.tsv, line 3: the label .column 'label'. is empty"),
        ("a.tsv", tsv([("a", "x"), ("b", "y")]), "with 2 examples cannot be split into train and select"),
    ],
)
def test_a_bad_training_file_is_explained(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(train=write(tmp_path / name, content))


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_damaged_pages_of_parquet_are_explained(tmp_path: Path, compression: str) -> None:
    path, texts = tmp_path / "a.parquet", [f"text {number}" for number in range(2000)]
    table = pyarrow.table({"text": texts, "label": ["x", "y"] * 1000})
    pyarrow.parquet.write_table(table, path, compression=compression, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[200:2000] = b"\xff" * 1800
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.parquet ends in .parquet but cannot be read as Parquet"):
        load(train=str(path))


def test_a_table_is_what_its_last_ending_says(tmp_path: Path) -> None:
    data = load(train=write(tmp_path / "a.tsv.csv", "text,label\n" + "".join(f"a{n},{n % 2}\n" for n in range(40))))
    assert data.task.labels == ("0", "1")


def test_broken_gzip_files_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    path.write_text(tsv())
    with pytest.raises(DataError, match=r"a.tsv.gz ends in .gz but is not gzip"):
        load(train=str(path))
    path.write_bytes(gzip.compress(tsv().encode())[:-20])
    with pytest.raises(DataError, match=r"a.tsv.gz breaks off or is damaged"):
        load(train=str(path))
    whole = bytearray(gzip.compress(tsv().encode()))
    whole[-8] ^= 1  # the checksum
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"a.tsv.gz breaks off or is damaged in line \d+ .CRC check failed"):
        load(train=str(path))


def test_a_missing_file_and_no_file_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.train names the file .*none.tsv', which does not exist"):
        load(train=str(tmp_path / "none.tsv"))
    with pytest.raises(DataError, match=r"data.train must name a file of training examples"):
        load()


def test_an_unknown_label_is_reported_with_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", tsv())
    test = write(tmp_path / "t.tsv", tsv([("fine", "good"), ("odd", "ugly")]))
    with pytest.raises(DataError, match=r"data.test: .*t.tsv, line 3: label 'ugly' does not occur .* 'bad', 'good'"):
        load(train=path, test=test)
    parquet = as_parquet(tmp_path / "t.parquet", [("odd", "ugly")])
    with pytest.raises(DataError, match=r"t.parquet, row 1: label 'ugly'"):
        load(train=path, test=parquet)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"text_columns": []}, r"data.text_columns must be one or two different names, got \[\]"),
        ({"text_columns": ["label"]}, "data.label_column must be none of data.text_columns, got 'label'"),
        ({"text_columns": ["label"], "label_column": "c"}, "data.text_columns must be other than 'id' and 'label'"),
        ({"text_columns": ["id"]}, "rename the file's column, got 'id'"),
        ({"select_share": 0.0}, "data.select_share must be between 0 and 1, got 0.0"),
        ({"select_max": 0}, "data.select_max must be >= 1, got 0"),
        ({"train_limit": 0}, "data.train_limit must be >= 1 or null, got 0"),
        ({"max_length": 7}, "data.max_length must be >= 8, got 7"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TextClassificationConfig(**parameters)


def test_a_key_that_nobody_reads_may_stand_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": "x", "meta": 1, "meta": 2}\n')
    assert [row.values["text"] for row in read_table(path, ["text", "label"], "data.train", {})] == ["a"]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.parquet"])
def test_a_column_that_stands_twice_is_refused(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        columns = [pyarrow.array(["x", "y"]), pyarrow.array(["0", "1"]), pyarrow.array(["1", "2"])]
        pyarrow.parquet.write_table(pyarrow.table(columns, names=["text", "label", "label"]), tmp_path / name)
    else:
        mark = "\t" if name == "a.tsv" else ","
        (tmp_path / name).write_text(f"text{mark}label{mark}label\nx{mark}0{mark}1\n")
    with pytest.raises(DataError, match=r"has 2 columns that are called 'label', and only one can be meant"):
        load(train=str(tmp_path / name))


def test_classes_that_no_training_example_has_are_told(tmp_path: Path) -> None:
    rows = [(f"text {number} of words", "common" if number else "rare") for number in range(200)]
    data = load(train=write(tmp_path / "a.tsv", tsv(rows)), train_limit=2)
    assert (data.notes["classes_without_training_examples"], data.notes["classes"]) == (1, 2)
    (row,) = [row for row in data_checks(data.notes) if row["name"].startswith("classes")]
    assert row["alarm"].startswith("1 of 2 classes have no training example")
    whole = load(train=write(tmp_path / "b.tsv", tsv()))
    assert "classes_without_training_examples" not in whole.notes
