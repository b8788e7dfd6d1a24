"""The teacher ``huggingface``: a transformers model from a directory, checked before and while it is loaded.

Only safetensors are read and no remote code is run. The hub is asked only with ``allow_hub``.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from autodistill.components.students import FineTuning, TeacherContext, Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.components.training import FEATURES
from autodistill.errors import TeacherError
from autodistill.students.heads import head_of, label_fields
from autodistill.teachers.checkpoint import load_checkpoint, set_dropout
from autodistill.teachers.files import ModelFiles, file_digest
from autodistill.teachers.packaged import NAME, SHA256, packaged_directory
from autodistill.training.attention import windowed_layers

#: Embeddings are padded to a round number of rows (1024 is the largest rounding in use); a tokeniser that leaves more
#: rows unused belongs to another model.
SPARE_ROWS = 1024

#: Files of a hub repository that are downloaded: no pickles, no code.
HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model"]


class HuggingFaceTeacher:
    """A teacher in the format of transformers.

    Args:
        context: folders of the study.
        path: directory, hub name, or None for the packaged quickstart teacher.
        sha256: expected digest of model.safetensors, or None.
        allow_hub: whether ``path`` may name a repository of the model hub.
        revision: of that repository.
        fine_tune_epochs: passes over the train split.
        fine_tune_batch_size: examples per step.
        fine_tune_lr: peak learning rate.
        fine_tune_warmup_share: share of the steps with rising learning rate.
        fine_tune_weight_decay: AdamW's.
        fine_tune_head_lr_factor: on the learning rate of pooler and classifier.
        fine_tune_freeze_embeddings: whether the word embeddings stay as they are.
        fine_tune_dropout: while fine-tuning; None for the checkpoint's own.
        fine_tune_max_examples: read while fine-tuning at most; None for no limit.
        allow_weak: whether students may learn from it though it has not learnt the task; read by the engine.

    Raises:
        TeacherError: files are missing, weights have another digest, or the tokeniser does not fit the model.
    """

    def __init__(
        self,
        context: TeacherContext,
        *,
        path: str | None,
        sha256: str | None,
        allow_hub: bool,
        revision: str | None,
        fine_tune_epochs: float,
        fine_tune_batch_size: int,
        fine_tune_lr: float,
        fine_tune_warmup_share: float,
        fine_tune_weight_decay: float,
        fine_tune_head_lr_factor: float,
        fine_tune_freeze_embeddings: bool,
        fine_tune_dropout: float | None,
        fine_tune_max_examples: int | None,
        allow_weak: bool,
    ) -> None:
        self.context = context
        self.allow_weak = allow_weak
        self.dropout = fine_tune_dropout
        self.name = NAME if path is None else path
        self._fine_tuning = FineTuning(
            epochs=fine_tune_epochs,
            batch_size=fine_tune_batch_size,
            lr=fine_tune_lr,
            warmup_share=fine_tune_warmup_share,
            weight_decay=fine_tune_weight_decay,
            head_lr_factor=fine_tune_head_lr_factor,
            freeze_embeddings=fine_tune_freeze_embeddings,
            dropout=fine_tune_dropout,
            max_examples=fine_tune_max_examples,
        )
        self._files = ModelFiles.find(_directory(path, allow_hub, revision))
        for expected in (SHA256 if path is None else None, sha256):
            self._check_digest(expected)
        self._config = self._read_config()
        # Where a token sees only its neighbourhood, scores of what it does not see mean nothing.
        self.features = frozenset(FEATURES) - ({"attention_scores"} if windowed_layers(self._config) else frozenset())
        self._check_tokenizer()

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokeniser, which is also every student's."""
        try:
            return AutoTokenizer.from_pretrained(self._directory, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise TeacherError(f"The tokeniser of the teacher {self.name} cannot be loaded: {error}") from error

    @property
    def vocabulary(self) -> Vocabulary:
        """What a student's embedding must fit."""
        config = self._config
        return Vocabulary(
            size=config.vocab_size,
            max_positions=config.max_position_embeddings,
            # DistilBERT and its like have no segments; BERT students keep one row, which then is a constant.
            type_size=getattr(config, "type_vocab_size", None) or 1,
            pad_token_id=config.pad_token_id or 0,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over weights, configuration and tokeniser."""
        return self._files.fingerprint()

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of the checkpoint's own classification head; empty when it has none."""
        names = self._config.id2label or {}
        # One output is regression, not a class.
        if not self._has_head("ForSequenceClassification") or len(names) == 1:
            return ()
        return tuple(str(names[index]) for index in sorted(names))

    @property
    def fine_tuning(self) -> FineTuning:
        """How to fine-tune it."""
        return self._fine_tuning

    def needs_fine_tuning(self, task: TaskSpec) -> bool:
        """Whether the head of `load` is new: the checkpoint has none, or one with other labels."""
        head = head_of(task)
        if head.suffix == "Model":
            return False
        if not self._has_head(head.suffix):
            return True
        if task.kind == "classification":
            return self.labels != task.labels
        if task.kind == "regression":
            return bool(self._config.num_labels != 1)
        if task.kind == "token_classification":
            return tuple(str(self._config.id2label[key]) for key in sorted(self._config.id2label)) != task.labels
        return False

    def load(self, task: TaskSpec) -> PreTrainedModel:
        """The model with a head for ``task``, float32, eval mode; a new head is random (torch's global generator).

        A pooler that was never trained starts anew together with a new head.

        Raises:
            TeacherError: the weights do not fit the configuration, or nobody knows the task: no labels, no head.
        """
        if task.label_free and self.needs_fine_tuning(task):
            classes = ", ".join(task.labels) or "(none)"
            raise TeacherError(
                f"The data has no labels, so the teacher's answers are the target, but the teacher {self.name} has no "
                f"head for {task.kind} with the classes {classes}. Use a checkpoint that was fine-tuned on the task, "
                "or data with labels."
            )
        model_class = _model_class(self._config, head_of(task).suffix)
        new_head = self.needs_fine_tuning(task)
        model = load_checkpoint(model_class, self._directory, self.name, label_fields(task), new_head)
        if self.dropout is not None:
            set_dropout(model, self.dropout)
        return model

    @property
    def _directory(self) -> Path:
        return self._files.directory

    def _has_head(self, suffix: str) -> bool:
        return any(name.endswith(suffix) for name in self._config.architectures or ())

    def _read_config(self) -> Any:
        self._files.config  # noqa: B018 - raises a readable error for broken JSON
        try:
            config = AutoConfig.from_pretrained(self._directory, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise TeacherError(
                f"The configuration of the teacher {self.name} is not one that transformers {transformers.__version__} "
                f"knows without running code from its repository: {error}"
            ) from error
        for field in ("vocab_size", "max_position_embeddings", "num_hidden_layers", "hidden_size"):
            if not isinstance(getattr(config, field, None), int):
                raise TeacherError(
                    f"The configuration of the teacher {self.name} (model type {config.model_type!r}) has no {field}; "
                    "a text encoder such as BERT is needed."
                )
        return config

    def _check_digest(self, expected: str | None) -> None:
        if expected is None:
            return
        if len(self._files.weights) > 1:
            raise TeacherError(
                f"teacher.sha256 is the digest of one model.safetensors, but the teacher {self.name} has "
                f"{len(self._files.weights)} shards. Set teacher.sha256=null."
            )
        given = file_digest(self._files.weights[0])
        if given != expected:
            raise TeacherError(
                f"The weights of the teacher {self.name} are not the expected ones: the SHA-256 of "
                f"{self._files.weights[0]} is {given}, expected {expected}. Install or download them anew, or correct "
                "teacher.sha256."
            )

    def _check_tokenizer(self) -> None:
        size, rows = len(self.tokenizer), self._config.vocab_size
        if size > rows or size <= rows - SPARE_ROWS:
            raise TeacherError(
                f"The tokeniser of the teacher {self.name} has {size} tokens, but its configuration has {rows} word "
                "embeddings: they belong to different models. Put the model's own tokeniser into its directory."
            )
        pad, expected = self.tokenizer.pad_token_id, self._config.pad_token_id
        if pad is None or (expected is not None and pad != expected):
            raise TeacherError(
                f"The tokeniser of the teacher {self.name} pads with token id {pad}, but its configuration has "
                f"pad_token_id {expected}. Make them agree in tokenizer_config.json or config.json."
            )


def _directory(path: str | None, allow_hub: bool, revision: str | None) -> Path:
    if path is None:
        return packaged_directory()
    directory = Path(path).expanduser()
    if directory.is_dir():
        return directory
    if not allow_hub:
        raise TeacherError(
            f"teacher.path={path} is no directory. Give a directory with config.json, model.safetensors and "
            "tokenizer.json, or, to download the model of that name from the hub, set teacher.allow_hub=true."
        )
    return _download(path, revision)


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=HUB_FILES))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise TeacherError(
            f"The teacher {name} is no directory and cannot be downloaded from the model hub: {error}"
        ) from error


def _model_class(config: Any, suffix: str) -> Any:
    names = {"ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"}
    auto = f"AutoModel{suffix}" if suffix in names else {"ForMaskedLM": "AutoModelForMaskedLM"}.get(suffix, "AutoModel")
    return getattr(transformers, auto)
