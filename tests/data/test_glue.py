"""GLUE: the nine tasks from files in the official layout, and what may be wrong with them."""

from __future__ import annotations

import gzip
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from autodistill.components.task import DataContext, TaskData
from autodistill.data.benchmark_configs import GlueConfig
from autodistill.data.glue import Glue
from autodistill.data.glue_tasks import TASKS
from autodistill.errors import ConfigError, DataError
from autodistill.testing.sources import write_tiny_glue


def load(**parameters: Any) -> TaskData:
    return Glue(DataContext(Path("unused")), **asdict(GlueConfig(**parameters))).load()


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_read(tmp_path: Path, task: str) -> None:
    data = load(task=task, root=str(write_tiny_glue(tmp_path, task)))
    layout = TASKS[task]
    assert data.task.benchmark == f"glue/{task}"
    assert data.task.kind == ("regression" if task == "stsb" else "classification")
    assert data.task.labels == layout.classes
    assert data.task.text_columns == layout.hub_texts
    assert len(data.splits["train"]) == 108
    assert len(data.splits["select"]) == data.notes["carved_select"] == 12
    assert len(data.splits["test"]) == 40 * len(layout.tests)
    assert set(data.splits["test"].column_names) == {"id", *layout.hub_texts, "label"}


def test_mnli_keeps_matched_and_mismatched_apart(tmp_path: Path) -> None:
    ids = load(task="mnli", root=str(write_tiny_glue(tmp_path, "mnli"))).splits["test"]["id"]
    assert [identity.split("-")[0] for identity in ids] == ["matched"] * 40 + ["mismatched"] * 40


def test_to_score_a_model_the_dev_sets_will_do(tmp_path: Path) -> None:
    folder = write_tiny_glue(tmp_path, "mnli") / TASKS["mnli"].folder
    (folder / "train.tsv").unlink()
    for root in (tmp_path, folder):
        parameters = asdict(GlueConfig(task="mnli", root=str(root)))
        splits = Glue(DataContext(tmp_path, ()), **parameters).load().splits
        assert {role: len(split) for role, split in splits.items()} == {"test": 80}
        with pytest.raises(DataError, match=r"has no train\.tsv"):  # nothing is trained without
            Glue(DataContext(tmp_path), **parameters).load()


def test_the_layout_of_the_files_may_vary(tmp_path: Path) -> None:
    root = write_tiny_glue(tmp_path / "a", "mrpc")
    expected = load(task="mrpc", root=str(root))
    folder = root / "MRPC"
    content = (folder / "train.tsv").read_text()
    (folder / "train.tsv").unlink()
    (folder / "train.tsv.gz").write_bytes(gzip.compress(("\ufeff" + content.replace("\n", "\r\n")).encode()))
    folder.rename(root / "mrpc")
    for place in (root, root / "mrpc"):
        assert load(task="mrpc", root=str(place)).fingerprint == expected.fingerprint


def test_short_rows_of_qqp_are_counted_and_of_others_an_error(tmp_path: Path) -> None:
    for task in ("qqp", "rte"):
        path = write_tiny_glue(tmp_path, task) / TASKS[task].folder / "train.tsv"
        path.write_text(path.read_text() + "\n7\tonly a question\n")
    data = load(task="qqp", root=str(tmp_path))
    assert data.notes["dropped_short_rows"] == 1
    assert data.notes["blank_lines_left_out"] == 1
    assert data.notes["dropped_short_rows_of"] == data.notes["blank_lines_left_out_of"] == 162
    with pytest.raises(DataError, match=r"RTE/train.tsv, line 123 has 2 fields, but rte has 4 columns"):
        load(task="rte", root=str(tmp_path))


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("rte", "0\ta\tb\tmaybe", r"train.tsv, line 122: the label 'maybe' is none of 'entailment', 'not_entailment'"),
        ("cola", "x\t2\t\tA sentence.", r"train.tsv, line 121: the label '2' is none of '0', '1'"),
        ("stsb", "0\ta\tb\t5.5", r"line 122: the score '5.5' is no number from 0 to 5"),
        ("stsb", "0\ta\tb\tnan", r"line 122: the score 'nan' is no number"),
        ("stsb", "0\ta\tb\t0_3", r"line 122: the score '0_3' is no number"),
        ("sst2", "0\ta\t1\t1", r"line 122 has 4 fields, but sst2 has 3 columns"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, task: str, row: str, message: str) -> None:
    path = write_tiny_glue(tmp_path, task) / TASKS[task].folder / "train.tsv"
    path.write_text(f"{path.read_text()}{row}\n")
    with pytest.raises(DataError, match=message):
        load(task=task, root=str(tmp_path))


def test_missing_files_are_explained(tmp_path: Path) -> None:
    write_tiny_glue(tmp_path, "qnli")
    (tmp_path / "QNLI" / "train.tsv").unlink()
    with pytest.raises(DataError, match=r"QNLI has no train.tsv .* which qnli needs; it has dev.tsv. Get the official"):
        load(task="qnli", root=str(tmp_path))
    with pytest.raises(DataError, match="has no folder SST-2 for sst2; its folders: QNLI"):
        load(task="sst2", root=str(tmp_path))
    with pytest.raises(DataError, match=r"data.root: the folder .*none' does not exist"):
        load(task="sst2", root=str(tmp_path / "none"))


def test_the_hub_is_asked_only_when_allowed() -> None:
    with pytest.raises(DataError, match=r"nyu-mll/glue would be read from the hub, .* unless data.allow_hub=true"):
        load(task="sst2")
    with pytest.raises(DataError, match=r"nyu-mll/glue \(sst2, train\) cannot be read from the hub"):
        load(task="sst2", allow_hub=True)  # the tests are offline


def test_a_text_of_the_hub_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"sentence1": "a", "sentence2": text, "label": 1} for text in ("b", None)]
    monkeypatch.setattr("autodistill.data.glue.load_from_hub", lambda *unused: rows)
    expected = r"nyu-mll/glue/rte, train, row 2, column 'sentence2': expected text, got None\. Give data\.revision"
    with pytest.raises(DataError, match=expected):
        load(task="rte", allow_hub=True)


def test_an_unknown_task_lists_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"data.task must be one of cola, sst2, .* got 'sst-2'. Did you mean 'sst2'\?"
    ):
        GlueConfig(task="sst-2")


@pytest.mark.data
@pytest.mark.skipif("AUTODISTILL_DATA" not in os.environ, reason="AUTODISTILL_DATA names no folder of real data")
@pytest.mark.parametrize(
    ("task", "train", "test"),
    [
        ("cola", 8551, 1043),
        ("sst2", 67349, 872),
        ("mrpc", 3668, 408),
        ("stsb", 5749, 1500),
        ("rte", 2490, 277),
        ("wnli", 635, 71),
    ],
)
def test_the_real_files_have_their_official_counts(task: str, train: int, test: int) -> None:
    data = load(task=task, root=str(Path(os.environ["AUTODISTILL_DATA"]) / "glue"))
    assert len(data.splits["train"]) + len(data.splits["select"]) == train
    assert len(data.splits["test"]) == test
    assert not data.notes.get("dropped_short_rows")
