"""Whatever bytes a file holds, a reader gives examples or one error that names the file; nothing else comes out."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.components.task import DataContext
from autodistill.data.benchmark_configs import GlueConfig, SquadConfig
from autodistill.data.configs import TextClassificationConfig, TextRegressionConfig, TokenClassificationConfig
from autodistill.data.corpus_files import Reading, cut_into_parts, read_part
from autodistill.data.glue import Glue
from autodistill.data.squad import Squad, read_squad
from autodistill.data.tables import read_table
from autodistill.data.text_classification import TextClassification
from autodistill.data.text_regression import TextRegression
from autodistill.data.token_classification import TokenClassification, read_conll
from autodistill.errors import DataError

#: Pieces that have broken readers before: quotes, marks, odd line ends, halves of characters, nulls, structure.
PIECES = st.sampled_from(
    [b"text", b"label", b"\t", b",", b'"', b"'", b"\n", b"\r\n", b"\r", b"\xef\xbb\xbf", b"\xff", b"\xc3", b"\x00",
     b"{", b"}", b"[", b"]", b":", b'{"text": "a", "label": "b"}\n', b'"\\ud800"', b"a O\n", b"1", b"null",
     b"\xe2\x80\xa8", b" ", "\U0001f600".encode(), b"data", b"paragraphs", b"x" * 200_000]
)  # fmt: skip
CONTENT = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=25).map(b"".join))


OWN: dict[Any, tuple[Any, str]] = {
    TextClassification: (TextClassificationConfig, ".tsv"),
    TextRegression: (TextRegressionConfig, ".jsonl"),
    TokenClassification: (TokenClassificationConfig, ".conll"),
    Squad: (SquadConfig, ".json"),
}


def checked(path: Path, read: Callable[[], Any]) -> None:
    message = path.name
    with contextlib.suppress(DataError):
        try:
            read()
        except DataError as error:
            message = str(error)
            raise
    assert path.name in message


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl", ".parquet", ".tsv.gz", ".jsonl.gz"])
@settings(max_examples=60)
@given(content=CONTENT, cut=st.integers(0, 30), zipped=st.booleans())
def test_tables(ending: str, content: bytes, cut: int, zipped: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"fuzzed{ending}")
        path.write_bytes(gzip.compress(content)[: -cut or None] if zipped else content)
        checked(path, lambda: read_table(path, ["text", "label"], "data.train", {}))


@settings(max_examples=60)
@given(content=CONTENT)
def test_words_and_questions(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fuzzed.conll")
        path.write_bytes(content)
        checked(path, lambda: list(read_conll(path, "data.train", ("words", "labels"), {})))
        checked(path, lambda: list(read_squad(path, "data.train")))


@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".txt.gz", ".jsonl.gz", ".parquet"])
@settings(max_examples=40)
@given(content=CONTENT, cut=st.integers(0, 30), zipped=st.booleans(), documents=st.sampled_from(["line", "blank_line"]))
def test_corpora(ending: str, content: bytes, cut: int, zipped: bool, documents: str) -> None:
    reading = Reading(documents=documents, column="text")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"fuzzed{ending}")
        path.write_bytes(gzip.compress(content)[: -cut or None] if zipped else content)
        checked(path, lambda: [list(read_part(part, reading)) for part in cut_into_parts(path, reading, 50)])


@pytest.mark.parametrize("source", [TextClassification, TextRegression, TokenClassification, Squad])
@settings(max_examples=40)
@given(content=CONTENT)
def test_sources(source: Any, content: bytes) -> None:
    config, ending = OWN[source]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"fuzzed{ending}")
        path.write_bytes(content)
        checked(path, source(DataContext(Path(folder)), **asdict(config(train=str(path)))).load)


@settings(max_examples=60)
@given(content=CONTENT, task=st.sampled_from(["cola", "sst2", "mrpc", "stsb", "qqp"]))
def test_glue_files(content: bytes, task: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("train.tsv", "dev.tsv"):
            Path(folder, name).write_bytes(content)
        source = Glue(DataContext(Path(folder)), **asdict(GlueConfig(task=task, root=folder)))
        checked(Path(folder), source.load)


@settings(max_examples=40)
@given(texts=st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.sampled_from("ab")), min_size=4, max_size=30))
def test_texts_come_back_as_they_were_written(texts: list[tuple[str, str]]) -> None:
    import json

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.jsonl")
        path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in texts))
        parameters = asdict(TextClassificationConfig(train=str(path), select=str(path)))
        source = TextClassification(DataContext(Path(folder)), **parameters)
        if len({label for _, label in texts}) == 1:
            with pytest.raises(DataError, match="has only one class"):
                source.load()
            return
        data = source.load()
    assert data.splits["train"]["text"] == [text for text, _ in texts]
    assert data.notes.get("train_empty_texts", 0) == sum(not text.strip() for text, _ in texts)
