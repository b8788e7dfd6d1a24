"""Corpora: every format, parts that lose and double nothing, documents held out by their hashes, bad files."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.components.task import Continued, DataContext, TaskData
from autodistill.data import corpus_files
from autodistill.data.corpus import Corpus, _share_of_too_large
from autodistill.data.corpus_configs import CorpusConfig
from autodistill.data.corpus_files import CorpusFiles, Found, Reading, cut_into_parts, read_part
from autodistill.data.corpus_files import corpus_files as files_of
from autodistill.data.document_keys import with_keys
from autodistill.data.part_workers import map_parts
from autodistill.engine.guards import data_checks
from autodistill.errors import ConfigError, DataError
from autodistill.testing.sources import write_tiny_corpus

SMALL = {"select_documents": 20, "test_documents": 10, "workers": 1}


def load(cache: Path, **parameters: Any) -> TaskData:
    return Corpus(DataContext(cache), **asdict(CorpusConfig(**{**SMALL, **parameters}))).load()


def documents_of(data: TaskData, role: str) -> list[str]:
    stream = data.splits[role]
    return [text for part in range(stream.parts) for text in stream.documents(part)]


def write(path: Path, texts: list[str]) -> Path:
    """Texts in the format that the path's name says."""
    name = path.name
    if name.endswith(".parquet"):
        pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path, row_group_size=7)
        return path
    if ".jsonl" in name:
        content = "".join(json.dumps({"text": text, "more": 1}) + "\n" for text in texts)
    else:
        content = "\n\n".join(texts) + "\n"
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


TEXTS = [f"document {n} has\n{n % 7 + 1} lines and the number {n * n}" for n in range(200)]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_every_format_gives_the_same_documents(tmp_path: Path, name: str) -> None:
    data = load(tmp_path / "cache", path=str(write(tmp_path / name, TEXTS)))
    assert {role: len(documents_of(data, role)) for role in data.splits} == {"train": 170, "select": 20, "test": 10}
    assert Counter(text for role in data.splits for text in documents_of(data, role)) == Counter(TEXTS)
    assert data.task.kind == "mlm"
    assert data.notes["train_documents"] == 170  # without those that are held out
    assert data.notes["train_files_characters"] == sum(map(len, TEXTS))


def test_what_is_held_out_depends_on_the_documents_alone(tmp_path: Path) -> None:
    one = load(tmp_path / "cache", path=str(write(tmp_path / "a.txt", TEXTS)))
    folder = tmp_path / "shards"
    folder.mkdir()
    write(folder / "1.jsonl", TEXTS[100:])
    write(folder / "0.txt.gz", list(reversed(TEXTS[:100])))
    (folder / "README.md").write_text("no text of the corpus")
    many = load(tmp_path / "cache", path=str(folder))
    for role in ("select", "test"):
        assert sorted(documents_of(one, role)) == sorted(documents_of(many, role))
    assert many.notes["train_files_of_other_kinds_left_out"] == 1


def test_equal_documents_are_on_one_side(tmp_path: Path) -> None:
    data = load(tmp_path / "cache", path=str(write(tmp_path / "a.txt", [*TEXTS, *map(str.upper, TEXTS)])))
    sides = [{text.lower() for text in documents_of(data, role)} for role in data.splits]
    assert sum(map(len, sides)) == 200
    assert len(documents_of(data, "select")) == 20  # ten, each twice


def dealt_alike(data: TaskData, pairs: list[tuple[str, str]]) -> float:
    """Share of the pairs of documents that are of one split, of those of which one is held out."""
    role_of = {text: role for role in data.splits for text in documents_of(data, role)}
    roles = [(role_of[first], role_of[second]) for first, second in pairs]
    held_out = [(first, second) for first, second in roles if (first, second) != ("train", "train")]
    assert len(held_out) >= 10
    return sum(first == second for first, second in held_out) / len(held_out)


def test_documents_that_differ_in_punctuation_alone_are_on_one_side(tmp_path: Path) -> None:
    signs = [text.title().replace(" ", ", ") + "\u2026" for text in TEXTS]
    data = load(tmp_path / "cache", path=str(write(tmp_path / "a.jsonl", [*TEXTS, *signs])))
    assert dealt_alike(data, list(zip(TEXTS, signs, strict=True))) == 1


def test_documents_with_a_line_more_are_mostly_on_one_side(tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = [" ".join(f"w{rng.randrange(10_000)}" for _ in range(200)) for _ in range(400)]
    longer = [f"{text}\nRead more texts like this one on our pages." for text in texts]
    path = write(tmp_path / "a.txt", [*texts, *longer])
    data = load(tmp_path / "cache", path=str(path), select_documents=100, test_documents=100)
    assert dealt_alike(data, list(zip(texts, longer, strict=True))) > 0.8
    assert len(documents_of(data, "select")) == len(documents_of(data, "test")) == 100
    checks = [row for row in data_checks({**data.notes, "max_length": 16}) if row["name"].startswith("select as")]
    assert checks == [
        {
            "name": "select as carved from train",
            "found": "100 of 100 examples, largest group of near-duplicates 2",
            "alarm": None,
        }
    ]


@pytest.mark.parametrize(
    ("groups", "documents", "share"),
    [
        ([1] * 20, 1000, 0.0),
        ([300, *[1] * 19], 1000, 0.3),  # however few of the others were looked at
        ([300, *[1] * 700], 1000, 0.3),
        ([60, 60, 60, *[1] * 20], 10_000, (60 + 120 / 140 * 9940) / 10_000),
        ([100], 100, 1.0),
        ([], 0, 0.0),
    ],
)
def test_one_large_group_of_documents_stands_for_itself_alone(groups: list[int], documents: int, share: float) -> None:
    assert _share_of_too_large(dict(enumerate(groups)), 50, documents) == pytest.approx(share)


def test_documents_of_a_form_are_divided_with_an_alarm_but_equal_ones_are_not(tmp_path: Path) -> None:
    form = " ".join(f"entry{number} is left blank by whoever asks" for number in range(40))
    filled = [f"{form} name {number}" for number in range(150)]
    path = write(tmp_path / "a.txt", [*filled, *map(str.upper, filled)])
    data = load(tmp_path / "cache", path=str(path))
    assert {role: len(documents_of(data, role)) for role in data.splits} == {"train": 270, "select": 20, "test": 10}
    assert dealt_alike(data, [(text, text.upper()) for text in filled]) == 1
    alarms = [row["alarm"] for row in data_checks({**data.notes, "max_length": 16}) if row["alarm"]]
    assert any("near-duplicates in groups larger than the 20 of select" in alarm for alarm in alarms)


def test_a_text_that_stands_too_often_is_not_held_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", [*TEXTS, *["This page was not found."] * 60])
    data = load(tmp_path / "cache", path=str(path))
    for role, count in (("select", 20), ("test", 10)):
        texts = documents_of(data, role)
        assert len(texts) == count
        assert "This page was not found." not in texts


def test_each_split_of_a_corpus_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "train.txt", TEXTS)
    tests = [write(tmp_path / f"test{count}.txt", [f"Of test {row}." for row in range(count)]) for count in (5, 6)]
    first, other = (load(tmp_path / "cache", path=str(path), test=str(test)) for test in tests)
    assert first.fingerprint_of("train") == other.fingerprint_of("train") != first.fingerprint_of("select")
    assert first.fingerprint_of("select") == other.fingerprint_of("select")
    assert first.fingerprint_of("test") != other.fingerprint_of("test")
    dealt = load(tmp_path / "cache", path=str(path), test=str(tests[0]), select_documents=21)
    assert dealt.fingerprint_of("train") != first.fingerprint_of("train"), "other documents are held out from it"
    assert dealt.fingerprint_of("test") == first.fingerprint_of("test")


def test_the_fingerprint_follows_content_and_dealing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", TEXTS)
    first = load(tmp_path / "cache", path=str(path)).fingerprint
    assert load(tmp_path / "other", path=str(path)).fingerprint == first
    assert load(tmp_path / "cache", path=str(path), workers=2).fingerprint == first
    assert load(tmp_path / "cache", path=str(path), select_documents=21).fingerprint != first
    write(path, [*TEXTS[:-1], "another"])
    assert load(tmp_path / "cache", path=str(path)).fingerprint != first


def test_the_first_pass_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", TEXTS)
    first = load(tmp_path / "cache", path=str(path))
    monkeypatch.setattr("autodistill.data.corpus.map_parts", None)
    assert load(tmp_path / "cache", path=str(path)).fingerprint == first.fingerprint


def test_files_of_ones_own_are_held_out_as_they_are(tmp_path: Path) -> None:
    path, other = write(tmp_path / "a.txt", TEXTS), write_tiny_corpus(tmp_path / "b.txt", 30)
    data = load(tmp_path / "cache", path=str(path), select=str(other), test_documents=0)
    assert len(documents_of(data, "train")) == 200
    assert len(documents_of(data, "select")) == 30
    assert set(data.splits) == {"train", "select"}


@settings(max_examples=60)
@given(
    lines=st.lists(st.text("ab é\r", max_size=12), max_size=40),
    part_bytes=st.integers(1, 60),
    mode=st.sampled_from(["blank_line", "line"]),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_parts_lose_and_double_nothing(lines: list[str], part_bytes: int, mode: str, ending: str) -> None:
    lines = [line.replace("\r", " ") for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.txt")
        path.write_bytes((ending.join(lines)).encode())
        reading = Reading(mode, "text")
        parts = cut_into_parts(path, reading, part_bytes)
        found = [text for part in parts for text in read_part(part, reading)]
    if mode == "line":
        expected = [line for line in lines if line.strip()]
    else:
        blocks: list[list[str]] = [[]]
        for line in lines:
            blocks[-1].append(line) if line.strip() else blocks.append([])
        expected = ["\n".join(block) for block in blocks if block]
    assert found == expected


@settings(max_examples=30)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=20), part_bytes=st.integers(1, 200))
def test_json_lines_are_cut_between_records(texts: list[str], part_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), "utf-8")
        reading, found = Reading("blank_line", "text"), Found()
        read = [text for part in cut_into_parts(path, reading, part_bytes) for text in read_part(part, reading, found)]
    assert read == [text for text in texts if text.strip()]
    assert found.documents + found.empty == len(texts)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_documents_of_any_length_are_read_in_pieces_and_counted(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_files, "DOCUMENT_CHARACTERS", 100)
    long = " ".join(f"word{n}" for n in range(300))
    path = write(tmp_path / name, ["short", long, "end"])
    reading, found = Reading("blank_line", "text"), Found()
    read = [text for part in cut_into_parts(path, reading) for text in read_part(part, reading, found)]
    assert max(map(len, read)) <= 100
    assert "".join("".join(read).split()) == "".join(f"short {long} end".split())
    assert (found.documents, found.cut, found.empty) == (3, 1, 0)


@pytest.mark.parametrize("separator", [" ", "\n"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet"])
def test_long_documents_are_cut_between_words(
    tmp_path: Path, name: str, separator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_files, "DOCUMENT_CHARACTERS", 100)
    words = [f"word{number}" for number in range(300)] + ["x" * 250, "end"]
    path = write(tmp_path / name, [separator.join(words)])
    reading = Reading("blank_line", "text")
    pieces = [text for part in cut_into_parts(path, reading) for text in read_part(part, reading)]
    assert max(map(len, pieces)) <= 100
    found = [word for piece in pieces for word in piece.split()]
    assert [word for word in found if "x" not in word] == [word for word in words if "x" not in word]
    assert "".join(word for word in found if "x" in word) == "x" * 250  # longer than a piece: it has to be cut
    assert [isinstance(piece, Continued) for piece in pieces] == [False] + [True] * (len(pieces) - 1)


@pytest.mark.parametrize("separator", [" ", "\n"])
def test_a_document_of_several_pieces_is_counted_once(
    tmp_path: Path, separator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_files, "DOCUMENT_CHARACTERS", 100)
    long = [separator.join(f"word{number}" for number in range(start, start + 50)) for start in (0, 1000)]
    path = write(tmp_path / "a.txt", [*TEXTS, *long])  # each is cut more than once
    notes = load(tmp_path / "cache", path=str(path)).notes
    assert notes["train_documents"] == 202 - 30  # without those that are held out
    assert notes["train_documents_cut_at_a_million_characters"] == 2


@pytest.mark.parametrize("documents", ["blank_line", "line"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet"])
def test_the_pieces_of_a_long_document_are_of_one_split(
    tmp_path: Path, name: str, documents: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_files, "DOCUMENT_CHARACTERS", 50)
    separator = "\n" if documents == "blank_line" and name == "a.txt" else " "
    names = [f"document{number:03}" for number in range(40)]
    long = [separator.join(f"{one} word{place}" for place in range(12)) for one in names]
    path = write(tmp_path / name, long)
    data = load(tmp_path / "cache", path=str(path), documents=documents, select_documents=8, test_documents=8)
    roles: dict[str, set[str]] = {one: set() for one in names}
    for role in ("train", "select", "test"):
        texts = documents_of(data, role)
        assert max(map(len, texts)) <= 50
        for word in " ".join(texts).split():
            if word in roles:
                roles[word].add(role)
    assert all(len(found) == 1 for found in roles.values())
    assert Counter(role for found in roles.values() for role in found) == {"train": 24, "select": 8, "test": 8}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\n\nGr\xfc\xdfe\n", r"a.txt, line 3 is not UTF-8 text"),
        ("a.txt.gz", gzip.compress(b"text\n" * 1000, mtime=0)[:-12], r"a.txt.gz breaks off or is damaged in line"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "a.jsonl, line 2 is not JSON"),
        ("a.jsonl", b'{"text": "a"}\n\n[1]\n', "a.jsonl, line 3 is not an object"),
        ("a.jsonl", b'{"text": "a", "id": 1, "text": "b"}\n', "a.jsonl, line 1 has 'text' several times"),
        ("a.jsonl", b'{"txt": "a"}\n', r"a.jsonl, line 1 has no field 'text'. Did you mean 'txt'\?.*data.column"),
        (
            "a.jsonl",
            b'{"text": "a"}\n{"text": "cut \\ud83d"}\n',
            r"a.jsonl, line 2 has \\ud83d, half of a surrogate pair",
        ),
        ("a.jsonl", b'{"text": "a"}\n' + b"[" * 100_000, "a.jsonl, line 2 is not JSON .*recursion"),
        ("a.txt", "one\n\ntwo\n".encode("utf-16-le"), "a.txt, line 1: 9 of the first 18 bytes are null, as in UTF-16"),
        # mtime: with the time in it, processes that collect the tests in different seconds name them differently
        ("a.txt.gz", gzip.compress("one\n".encode("utf-16-le"), mtime=0), "a.txt.gz, line 1: 4 of the first 8 bytes"),
        ("a.jsonl", b'{"text": ' + b"3" * 900 + b"}\n", r"a.jsonl, line 1: expected text, got 3{80}\."),
        ("a.jsonl", b'{"text": 3}\n', "a.jsonl, line 1: expected text, got 3"),
        ("a.parquet", b"text", r"a.parquet ends in .parquet but cannot be read as Parquet: .*[^.]\.$"),
        (
            "a.txt",
            gzip.compress(b"text", mtime=0),
            r"a.txt is a gzip file whatever its name says. Rename it to end in .txt.gz",
        ),
        ("a.doc", b"text", r"a.doc has an ending that is not understood. Expected one of .txt"),
        ("a.txt", b"one\n\ntwo\n", r"has 2 documents .* too few to hold out 30 of them"),
    ],
)
def test_bad_files_are_explained(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "cache", path=str(tmp_path / name))


def test_a_line_far_into_a_file_has_its_own_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_files, "PART_BYTES", 64)
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\n' * 50 + "broken\n")
    reading = Reading("line", "text")
    parts = cut_into_parts(path, reading, 64)
    assert len(parts) > 5
    with pytest.raises(DataError, match=r"a.jsonl, line 51 is not JSON"):
        [list(read_part(part, reading)) for part in parts]


def test_no_path_and_empty_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.path must name a text file, a folder of them or a hub data set"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"has no file that is understood. Expected .txt"):
        files_of(tmp_path)
    with pytest.raises(DataError, match=r"data.path names 'wikimedia/wikipedia', which does not exist"):
        load(tmp_path, path="wikimedia/wikipedia")
    with pytest.raises(DataError, match=r"wikimedia/wikipedia .* cannot be read from the hub"):
        load(tmp_path, path="wikimedia/wikipedia", allow_hub=True)  # the tests are offline


def on_the_hub(monkeypatch: pytest.MonkeyPatch, rows: Callable[[], Any]) -> list[str]:
    """Put a data set on the hub, which is at another commit whenever it is asked; returns the commits that are read."""
    read, commits = list[str](), itertools.count(1)

    def info(*unused: Any, **also: Any) -> Any:
        return SimpleNamespace(sha=f"commit {next(commits)}")

    def load_dataset(*unused: Any, revision: str, **also: Any) -> Any:
        read.append(revision)
        return rows()

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", info)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    return read


class Cut(datasets.IterableDataset):  # type: ignore[misc]
    """A stream that breaks off before some of its rows, or after the last one, once each."""

    cuts: list[int]
    seen: list[int]

    def __iter__(self) -> Iterator[Any]:
        for row in super().__iter__():
            self.break_off(row["number"])
            self.seen.append(row["number"])
            yield row
        self.break_off(self.seen[-1] + 1)

    def break_off(self, number: int) -> None:
        if number in self.cuts:
            self.cuts.remove(number)
            raise ConnectionError("the line was cut")


@pytest.mark.parametrize("cuts", [[25], [20], [7, 30], [44], [45]])
@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_a_download_that_breaks_off_goes_on_with_the_same_commit_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, cuts: list[int]
) -> None:
    texts = [f"Document {number} has words of its own: {number * 7919}." for number in range(45)]
    table = datasets.Dataset.from_dict({"text": texts, "number": list(range(45))})
    file = str(tmp_path / f"set.{kind}")
    if kind == "parquet":
        table.to_parquet(file, batch_size=4)  # row groups, amid which streams go on
    else:
        table.to_json(file)
    whole, left, seen = datasets.load_dataset, list(cuts), list[int]()

    def rows() -> Cut:
        found = whole(kind, data_files=file, split="train", streaming=True)
        found.__class__, found.cuts, found.seen = Cut, left, seen
        return found

    monkeypatch.setattr("autodistill.data.corpus_hub.SHARD", 10)
    read = on_the_hub(monkeypatch, rows)
    for _ in cuts:
        with pytest.raises(DataError, match="the line was cut"):
            load(tmp_path, path="some/set", allow_hub=True, select_documents=5, test_documents=0)
    load(tmp_path, path="some/set", allow_hub=True, select_documents=5, test_documents=0)
    assert read == ["commit 1"] * (len(cuts) + 1)
    (folder,) = (tmp_path / "corpus").glob("hub-*")
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == [f"{number:05}.jsonl" for number in range(5)]
    assert [json.loads(line)["text"] for path in files for line in path.read_text().splitlines()] == texts
    again = [number for number, times in Counter(seen).items() if times > 1]
    assert {number // 10 for number in again} <= {cut // 10 for cut in cuts}  # no finished file is read again


def test_a_hub_set_without_the_column_is_told_at_its_first_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = iter([{"content": "a text", "id": 1}, {"content": "another", "id": 2}])
    on_the_hub(monkeypatch, lambda: rows)
    with pytest.raises(
        DataError, match=r"some/set, row 1 has no column 'text'.* Its columns: 'content', 'id'. Set data"
    ):
        load(tmp_path, path="some/set", allow_hub=True)
    assert next(rows)["id"] == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"documents": "page"}, "data.documents must be blank_line or line, got 'page'"),
        ({"masked_share": 0}, "data.masked_share must be between 0 and 1, got 0"),
        ({"maskings": 0}, "data.maskings must be >= 1"),
        ({"select_documents": 0}, "data.select_documents must be >= 1"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CorpusConfig(**parameters)


def test_files_that_are_held_out_are_not_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    (folder / "held").mkdir(parents=True)
    write(folder / "train.txt", TEXTS[:100])
    write(folder / "held" / "select.txt", TEXTS[100:150])
    test = write(folder / "test.jsonl", TEXTS[150:])
    data = load(tmp_path / "cache", path=str(folder), select=str(folder / "held"), test=str(test))
    assert {role: sorted(documents_of(data, role)) for role in data.splits} == {
        "train": sorted(TEXTS[:100]),
        "select": sorted(TEXTS[100:150]),
        "test": sorted(TEXTS[150:]),
    }
    assert data.notes["train_files_of_other_splits_left_out"] == 2
    with pytest.raises(DataError, match=r"data.path: all files of .*test.jsonl are given as data.select or data.test"):
        load(tmp_path / "cache", path=str(test), test=str(test))


def test_hidden_files_and_folders_are_counted_and_not_read(tmp_path: Path) -> None:
    root = tmp_path / ".corpora" / "texts"  # what is hidden above the folder does not count
    for place in ("b", "b/.ipynb_checkpoints", ".git/deep"):
        (root / place).mkdir(parents=True)
    read = [write(root / "a.txt", ["a"]), write(root / "b" / "c.jsonl", ["c"])]
    for name in (".d.txt", "b/.ipynb_checkpoints/c.txt", ".git/deep/e.txt", ".git/index"):
        (root / name).write_text("hidden")
    (root / "b" / "README.md").write_text("another kind")
    assert files_of(root) == CorpusFiles(tuple(read), unknown=1, hidden=4)
    write(root / "a.txt", TEXTS)
    assert load(tmp_path / "cache", path=str(root)).notes["train_hidden_files_left_out"] == 4
    for path in read:
        path.unlink()
    with pytest.raises(DataError, match=r"has no file that is understood.* Its 4 hidden files, whose names or folders"):
        files_of(root)


def test_links_to_folders_are_followed_and_each_file_is_read_once(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "texts", tmp_path / "elsewhere"
    for place in (root / "b" / "c", elsewhere):
        place.mkdir(parents=True)
    read = [write(root / "a.txt", ["a"]), write(root / "b" / "c" / "d.txt", ["d"]), write(elsewhere / "e.txt", ["e"])]
    (root / "linked").symlink_to(elsewhere)
    (root / "b" / "circle").symlink_to(root)
    (root / "again").symlink_to(root / "b")
    (root / ".hidden").symlink_to(root / "b" / "c")
    (root / "z.txt").symlink_to(root / "a.txt")
    (root / "lost.txt").symlink_to(tmp_path / "nothing.txt")
    found = files_of(root)
    assert [path.resolve() for path in found.paths] == [read[0], read[1], read[2]]
    assert found.paths[-1] == root / "linked" / "e.txt"
    assert (found.unknown, found.hidden) == (1, 0)


def test_a_folder_that_may_not_be_read_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.txt", ["a"])
    (tmp_path / "b").mkdir()
    listed = os.scandir

    def refuse(place: Any) -> Any:  # as for a user who is not root
        if Path(place).name == "b":
            raise PermissionError(13, "Permission denied", str(place))
        return listed(place)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match=r"data.path: the folder .*/b cannot be read .* Change its permissions"):
        files_of(tmp_path)


@pytest.mark.parametrize("role", ["select", "test"])
def test_a_role_without_text_is_named_before_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    path, empty = write(tmp_path / "a.txt", TEXTS), tmp_path / "empty.jsonl"
    empty.write_text('{"text": " "}\n\n')
    surveyed, survey = [], Corpus._survey

    def noted(corpus: Corpus, of: str, *others: Any) -> Any:
        surveyed.append(of)
        return survey(corpus, of, *others)

    monkeypatch.setattr(Corpus, "_survey", noted)
    with pytest.raises(DataError, match=rf"data.{role}: .*empty.jsonl has no text for the {role} split: .* 2 that are"):
        load(tmp_path / "cache", path=str(path), **{role: str(empty)})
    assert surveyed == [role]
    with pytest.raises(DataError, match=r"data.path: .*empty.jsonl has no text for the train split"):
        load(tmp_path / "cache", path=str(empty), select=str(path), test_documents=0)
    with pytest.raises(DataError, match=rf"data.{role} names .*none.txt', which does not exist"):
        load(tmp_path / "cache", path=str(path), **{role: str(tmp_path / "none.txt")})


def test_documents_of_ones_own_held_out_files_are_looked_for_in_the_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", TEXTS[:150])
    again = [text.upper().replace(" ", ",  ") for text in TEXTS[100:120]]  # equal but for case, signs and spaces
    test = write(tmp_path / "test.txt", [*again, *TEXTS[150:180]])
    select = write(tmp_path / "select.txt", [*TEXTS[0:5], *TEXTS[150:160], *TEXTS[180:]])
    notes = load(tmp_path / "cache", path=str(path), select=str(select), test=str(test)).notes
    found = {name: notes[name] for name in notes if name.startswith(("texts_", "overlap_"))}
    assert found == {
        "texts_test": 50,
        "overlap_test_train": 20,
        "texts_select": 35,
        "overlap_select_train": 5,
        "overlap_test_select": 10,
    }
    alarms = [row["alarm"] for row in data_checks({**notes, "max_length": 16}) if row["alarm"]]
    assert any("20 of 50 texts of the test split also stand in the train split" in alarm for alarm in alarms)
    carved = load(tmp_path / "cache", path=str(path), test=str(test), select_documents=30).notes
    assert carved["texts_test"] == 50
    assert carved["overlap_test_train"] + carved["overlap_test_select"] == 20
    assert 0 < carved["overlap_test_select"] < 20  # these were held out for select


def test_documents_of_ones_own_select_are_looked_for_in_a_test_split_that_was_held_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", TEXTS)
    test = documents_of(
        load(
            tmp_path / "cache",
            path=str(path),
        ),
        "test",
    )
    select = write(tmp_path / "select.txt", [*test[:7], "a text that is nowhere else"])
    notes = load(tmp_path / "cache", path=str(path), select=str(select)).notes
    found = {name: notes[name] for name in notes if name.startswith(("texts_", "overlap_"))}
    assert found == {"texts_select": 8, "overlap_select_train": 0, "texts_test": 10, "overlap_test_select": 7}


class CountingFile:
    """A file that counts the bytes that are read of it line by line."""

    def __init__(self, file: Any, read: list[int]) -> None:
        self._file, self._read = file, read

    def __enter__(self) -> CountingFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(size)
        self._read.append(len(line))
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("line", ["a line of text\n", "x" * 15])
def test_cutting_reads_a_file_about_once_and_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    path, read = tmp_path / "a.txt", list[int]()
    path.write_text(line * 2000)
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda *given, **named: CountingFile(opened(*given, **named), read))
    monkeypatch.setattr(corpus_files, "_LINE_BYTES", 1000)
    assert len(cut_into_parts(path, Reading("blank_line", "text"), 500)) == 1
    assert sum(read) <= path.stat().st_size
    assert max(read) <= 1000


def test_empty_lines_among_records_are_counted_and_long_ones_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, records = tmp_path / "a.txt", tmp_path / "a.jsonl"
    lines.write_text("one\n\n \ntwo\n")
    records.write_text('{"text": "one"}\n\n{"text": ""}\n')
    for path in (lines, records):
        found = Found()
        [part] = cut_into_parts(path, Reading("line", "text"))
        assert len(list(read_part(part, Reading("line", "text"), found))) + found.empty == path.read_text().count("\n")
        assert found.empty == 2
    monkeypatch.setattr(corpus_files, "RECORD_CHARACTERS", 12)
    with pytest.raises(DataError, match=r"a.jsonl, line 1 has more than 12 characters. Expected one JSON object"):
        list(read_part(part, Reading("line", "text")))


def failing(payload: str, part: int) -> int:
    """Run in another process."""
    if part == 3:
        raise DataError(f"{payload} {part}")
    if part == 5:
        raise SystemExit(7)
    if part == 9:
        time.sleep(120)  # a part that takes long
    return part * part


def test_processes_share_the_parts_and_pass_on_what_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert dict(map_parts("test_corpus:failing", "x", [0, 1, 2, 4], 2)) == {0: 0, 1: 1, 2: 4, 4: 16}
    started = time.monotonic()
    with pytest.raises(DataError, match="bad 3"):  # at once, however much is left
        list(map_parts("test_corpus:failing", "bad", [9, 3, 9, 9], 2))
    assert time.monotonic() - started < 60
    with pytest.raises(RuntimeError, match="ended with exit code 7"):
        list(map_parts("test_corpus:failing", "x", [1, 5], 2))


@pytest.mark.parametrize("role", ["select", "test"])
@pytest.mark.parametrize("name", ["bad.jsonl", "bad.txt", "bad.parquet", "bad.txt.gz"])
def test_what_cannot_be_read_is_told_with_the_key_that_named_it(tmp_path: Path, role: str, name: str) -> None:
    (tmp_path / "train.txt").write_text("one\n\ntwo\n")
    (tmp_path / name).write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(DataError, match=rf"^data\.{role}: .*{name}"):
        load(tmp_path / "cache", path=str(tmp_path / "train.txt"), **{role: str(tmp_path / name)})


def test_a_hub_that_breaks_off_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Iterator[dict[str, str]]:
        yield {"text": "one"}
        raise ConnectionError("the line was cut")

    on_the_hub(monkeypatch, rows)
    with pytest.raises(DataError, match=r"some/set \(default, train\) cannot be read from the hub: the line was cut"):
        load(tmp_path, path="some/set", allow_hub=True)


def test_what_follows_a_blank_first_piece_is_a_document_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_files, "DOCUMENT_CHARACTERS", 20)
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "short"}) + "\n" + json.dumps({"text": " " * 20 + "x" * 50}))
    (part,) = cut_into_parts(tmp_path / "a.jsonl", Reading("line", "text"))
    counts = Found()
    texts = list(with_keys(read_part(part, Reading("line", "text"), counts)))
    assert (counts.documents, counts.cut, counts.empty) == (2, 1, 0)
    assert [text for text, _ in texts] == ["short", " " + "x" * 19, "x" * 20, "x" * 11]
    assert len({number for _, number in texts}) == 2
    assert len({number for _, number in texts[1:]}) == 1
