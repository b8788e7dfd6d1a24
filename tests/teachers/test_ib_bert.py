"""IB-BERT as an architecture: it learns from a random start, and its MobileBERT students copy its embeddings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from autodistill.components.architecture import Architecture
from autodistill.components.students import TeacherContext
from autodistill.components.task import TaskSpec
from autodistill.components.training import FeatureKey
from autodistill.engine.workbench import model_dimensions
from autodistill.errors import ConfigError, TeacherError
from autodistill.students.configs import MobileBertFamilyConfig
from autodistill.students.mobilebert import MobileBertFamily
from autodistill.teachers.configs import IBBertTeacherConfig
from autodistill.teachers.ib_bert import IBBertTeacher
from autodistill.testing.losses import toy_batch
from autodistill.testing.tiny import write_tiny_teacher
from autodistill.training.features import forward_features

TASK = TaskSpec("classification", ("a", "b", "c"), ("text",), "classification.accuracy")
TINY = {"num_layers": 2, "hidden_size": 160, "intra_size": 192, "num_heads": 4, "intermediate_size": 256}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_teacher(tmp_path_factory.mktemp("tokeniser"))


def make(directory: Path, **changes: Any) -> IBBertTeacher:
    parameters = asdict(IBBertTeacherConfig(tokenizer=str(directory), max_positions=64, **{**TINY, **changes}))
    return IBBertTeacher(TeacherContext(directory), **parameters)


def test_the_default_sizes_are_ib_bert_larges(directory: Path) -> None:
    teacher = IBBertTeacher(TeacherContext(directory), **asdict(IBBertTeacherConfig()))
    with torch.device("meta"):
        model = teacher.load(TaskSpec("mlm", (), ("text",), "mlm.accuracy"))
    assert sum(parameter.numel() for parameter in model.base_model.parameters()) == 331_953_920
    assert model_dimensions(model).attention == 1024


def test_it_starts_at_random_by_its_seed_and_must_learn(directory: Path) -> None:
    teacher = make(directory)
    assert teacher.needs_fine_tuning(TASK)
    assert teacher.labels == ()
    before = torch.get_rng_state()
    first, again = (make(directory).load(TASK).state_dict() for _ in range(2))
    assert torch.get_rng_state().equal(before)
    assert all(value.equal(again[name]) for name, value in first.items())
    other = make(directory, start_seed=1)
    assert not other.load(TASK).state_dict()["classifier.weight"].equal(first["classifier.weight"])
    assert len({teacher.fingerprint, other.fingerprint, make(directory, num_heads=2).fingerprint}) == 3
    assert teacher.fine_tuning.epochs == 3.0
    assert teacher.vocabulary.size == len(teacher.tokenizer)


def test_settings_of_the_tokeniser_make_another_teacher(tmp_path: Path) -> None:
    directory = write_tiny_teacher(tmp_path)
    before = make(directory).fingerprint
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_lower_case": False}))
    assert make(directory).fingerprint != before


def test_dropout_is_that_of_fine_tuning(directory: Path) -> None:
    model = make(directory, fine_tune_dropout=0.3).load(TASK)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}


def test_losses_can_read_all_of_it_and_students_copy_its_embeddings(directory: Path) -> None:
    teacher = make(directory)
    model = teacher.load(TASK)
    keys: frozenset[FeatureKey] = frozenset({("hidden_states", 2), ("queries", 1), ("attentions", 2), ("logits", None)})
    features = forward_features(model, toy_batch([3, 5]), keys)
    assert features["hidden_states", 2].shape == (2, 5, 160)
    assert features["queries", 1].shape == (2, 4, 5, 48)
    family = MobileBertFamily(**asdict(MobileBertFamilyConfig()))
    sizes = {"num_layers": 2, "hidden_size": 144, "bottleneck_size": 32, "num_heads": 2}
    architecture = Architecture("mobilebert", {**sizes, "intermediate_size": 64, "num_ffn": 2})
    student = family.build(architecture, TASK, teacher.vocabulary)
    initialisation = family.initialise(student, model)
    assert initialisation.groups["word_embeddings"] == "exact"
    assert student.get_input_embeddings().weight.equal(model.get_input_embeddings().weight)


def test_what_it_cannot_learn_from_is_refused(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"must learn its task, but the data has no labels.*teacher=huggingface"):
        make(directory).load(TaskSpec("classification", ("a", "b"), ("text",), "agreement.accuracy", label_free=True))
    with pytest.raises(TeacherError, match="has no tokeniser"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 0}, r"teacher.num_layers must be >= 1, got 0"),
        ({"hidden_size": 128}, r"teacher.hidden_size must be > 128"),
        ({"num_heads": 5}, r"teacher.intra_size must be a multiple of teacher.num_heads, got 1024 and 5"),
        ({"fine_tune_lr": 0.0}, r"teacher.fine_tune_lr must be > 0"),
    ],
)
def test_sizes_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        IBBertTeacherConfig(**changes)
