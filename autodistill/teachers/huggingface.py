"""The teacher ``huggingface``: a transformers model from a directory, checked before and while it is loaded.

Only safetensors are read and no remote code is run. The hub is asked only with ``allow_hub``.
"""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from autodistill.components.students import FineTuning, TeacherContext, Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.errors import TeacherError
from autodistill.students.heads import head_of, label_fields
from autodistill.teachers.checkpoint import dropout_fields, load_checkpoint, reorder_classes
from autodistill.teachers.encoder import Encoder
from autodistill.teachers.files import ModelFiles, file_digest
from autodistill.teachers.labels import are_default, same_classes
from autodistill.teachers.packaged import NAME, SHA256, packaged_directory
from autodistill.teachers.pooling import check_mean_pooling
from autodistill.training.packed import vocabulary_size

logger = logging.getLogger(__name__)

#: Embeddings are padded to a round number of rows (1024 is the largest rounding in use); a tokeniser that leaves more
#: rows unused belongs to another model.
SPARE_ROWS = 1024

#: Files of a hub repository that are downloaded: no pickles, no code.
HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model"]

#: Classes "ForPreTraining" that hold a head for masked words; those of ELECTRA and Funnel tell replaced words instead.
MASKED_PRETRAINING = frozenset(
    f"{family}ForPreTraining"
    for family in ("Albert", "Bert", "BigBird", "Ernie", "FNet", "MegatronBert", "MobileBert", "RoCBert")
)

#: What transformers' ``problem_type`` says of the classes of a text.
CLASSES_OF_A_TEXT = {
    "single_label_classification": "exactly one class",
    "multi_label_classification": "any number of classes",
}


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
        self._told: set[str] = set()
        self._check_tokenizer()

    @cached_property
    def features(self) -> frozenset[str]:
        """Names of the features that a model of its class can give."""
        return self._encoder.features

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokeniser, which is also every student's."""
        # Students of one segment could not look up those that some tokenisers, such as DeBERTa's, write unasked.
        columns = {"model_input_names": ["input_ids", "attention_mask"]} if self._type_size == 1 else {}
        try:
            return AutoTokenizer.from_pretrained(
                self._directory, local_files_only=True, trust_remote_code=False, **columns
            )
        except (OSError, ValueError) as error:
            raise TeacherError(f"The tokeniser of the teacher {self.name} cannot be loaded: {error}") from error

    @property
    def vocabulary(self) -> Vocabulary:
        """What a student's embedding must fit."""
        config = self._config
        return Vocabulary(
            size=config.vocab_size,
            max_positions=self._encoder.max_positions,
            type_size=self._type_size,
            # As batches are padded; a configuration may leave it out (Qwen, GPT-2).
            pad_token_id=self.tokenizer.pad_token_id if config.pad_token_id is None else config.pad_token_id,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over weights, configuration and tokeniser."""
        return self._files.fingerprint()

    @property
    def activation(self) -> str | None:
        """That of a BERT's feed-forward networks, which BERT students copy; None for other models."""
        return str(self._config.hidden_act) if self._config.model_type == "bert" else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of the checkpoint's own classification head, of texts or of words; empty when it has none."""
        # One output for a text is regression, not a class.
        of_texts = self._has_head("ForSequenceClassification") and len(self._head_labels) > 1
        return self._head_labels if of_texts or self._has_head("ForTokenClassification") else ()

    @property
    def fine_tuning(self) -> FineTuning:
        """How to fine-tune it."""
        return self._fine_tuning

    def needs_fine_tuning(self, task: TaskSpec) -> bool:
        """Whether the head of `load` is new: the checkpoint has none, or one with other labels or problem type.

        Labels are compared as `autodistill.teachers.labels.same_classes` does.
        """
        head = head_of(task)
        if head.suffix == "Model":
            return False
        if not self._has_head(head.suffix) or self._is_other_problem(task):
            return True
        if task.kind in ("classification", "token_classification"):
            return same_classes(self._head_labels, task.labels) is None
        return bool(task.kind == "regression" and self._config.num_labels != 1)

    def load(self, task: TaskSpec) -> PreTrainedModel:
        """The model with a head for ``task``, float32, eval mode; a new head is random (torch's global generator).

        A pooler that was never trained starts anew together with a new head. A head that has the task's classes in
        another order is brought into the task's.

        Raises:
            TeacherError: the weights do not fit the configuration, or nobody knows the task: no labels, no head.
        """
        if task.label_free and self.needs_fine_tuning(task):
            if self._has_head(head_of(task).suffix) and self._is_other_problem(task):
                raise TeacherError(
                    "The data has no labels, so the teacher's answers are the target, and the head of the teacher "
                    f"{self.name} {self._other_problem(task)}. Give data.multi_label="
                    f"{str(not task.multi_label).lower()}, or correct problem_type if it is wrong."
                )
            classes = ", ".join(task.labels) or "(none)"
            raise TeacherError(
                f"The data has no labels, so the teacher's answers are the target, but the teacher {self.name} has no "
                f"head for {task.kind} with the classes {classes}. Use a checkpoint that was fine-tuned on the task, "
                "or data with labels."
            )
        if task.kind == "embedding":
            self._check_sentences()
        model_class = _model_class(self._config, head_of(task).suffix)
        new_head = self.needs_fine_tuning(task)
        fields = label_fields(task) | dropout_fields(self._config, self.dropout)
        model = load_checkpoint(model_class, self._directory, self.name, fields, new_head, self._encoder.attention)
        if task.kind in ("classification", "token_classification") and self._has_head(head_of(task).suffix):
            self._tell_labels(task)
            order = same_classes(self._head_labels, task.labels)
            if order is not None and order != tuple(range(len(order))):
                reorder_classes(model, order)
        return model

    @property
    def _type_size(self) -> int:
        """Segments; DistilBERT and its like have none, and BERT students keep one row, which then is a constant."""
        return getattr(self._config, "type_vocab_size", None) or 1

    @property
    def _head_labels(self) -> tuple[str, ...]:
        """Class names of the configuration, in the order of the outputs."""
        names = self._config.id2label or {}
        return tuple(str(names[index]) for index in sorted(names))

    def _check_sentences(self) -> None:
        """Raise `TeacherError` where the mean of the last layer's tokens is not what the model gives of a sentence."""
        if self._config.is_encoder_decoder:
            raise TeacherError(
                f"The teacher {self.name} (model type {self._config.model_type!r}) has a decoder, whose states are no "
                "sentence embedding. Use an encoder such as BERT."
            )
        check_mean_pooling(self._directory, self.name)

    def _is_other_problem(self, task: TaskSpec) -> bool:
        """Whether a text has exactly one class for the checkpoint's head and any number for the task, or reversely.

        Softmax and sigmoid read the same outputs otherwise.
        """
        wanted = label_fields(task)["problem_type"] if task.kind == "classification" else None
        return self._config.problem_type in set(CLASSES_OF_A_TEXT) - {wanted} if wanted else False

    def _other_problem(self, task: TaskSpec) -> str:
        """For messages: what the head gives, and what the data asks for."""
        wanted = CLASSES_OF_A_TEXT[label_fields(task)["problem_type"]]
        return (
            f"gives a text {CLASSES_OF_A_TEXT[self._config.problem_type]} (problem_type "
            f"{self._config.problem_type!r} in its config.json), but the data asks for {wanted} "
            f"(data.multi_label={str(task.multi_label).lower()})"
        )

    def _tell_labels(self, task: TaskSpec) -> None:
        """Warn, once, of what is taken for granted or lost between the classes of checkpoint and task."""
        given, wanted = self._head_labels, task.labels
        message = ""
        if same_classes(given, wanted) is None:
            message = (
                f"The teacher {self.name} has a head for the classes {', '.join(given)}, but the data's are "
                f"{', '.join(wanted)}: its head is made anew and fine-tuned. If they mean the same, name them alike in "
                "id2label of its config.json, or in the data."
            )
        elif self._is_other_problem(task):
            message = (
                f"The head of the teacher {self.name} {self._other_problem(task)}: it is fine-tuned for that. If the "
                f"data is meant otherwise, give data.multi_label={str(not task.multi_label).lower()}."
            )
        elif task.multi_label and self._config.problem_type is None:
            message = (
                f"The teacher {self.name} does not say whether a text may have several of its classes (problem_type in "
                "its config.json is missing); its outputs are taken to be independent, as data.multi_label=true says."
            )
        elif given != wanted and are_default(given):
            message = (
                f"The teacher {self.name} does not name its classes ({', '.join(given)}); its outputs are taken to be, "
                f"in this order, {', '.join(wanted)}. If that is wrong, name them in id2label of its config.json; a "
                "head for other classes is made anew and fine-tuned."
            )
        if message and message not in self._told:
            self._told.add(message)
            logger.warning(message)

    @cached_property
    def _encoder(self) -> Encoder:
        try:
            return Encoder(self._config)
        except (ValueError, RuntimeError, ImportError) as error:
            raise TeacherError(
                f"No encoder can be built from the configuration of the teacher {self.name} (model type "
                f"{self._config.model_type!r}): {error}"
            ) from error

    @property
    def _directory(self) -> Path:
        return self._files.directory

    def _has_head(self, suffix: str) -> bool:
        names = set(self._config.architectures or ())
        masked = suffix == "ForMaskedLM" and bool(names & MASKED_PRETRAINING)
        return masked or any(name.endswith(suffix) for name in names)

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
        size, rows = vocabulary_size(self.tokenizer), self._config.vocab_size
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
