"""Starting a BERT student from a BERT teacher: which tensors are copied, which are reduced, and how that is told.

A student no wider than its teacher keeps the same subset of residual channels everywhere, embeddings included: layer
norms and residual sums work channel by channel, so that principal components of the embeddings, which mix channels,
would mean nothing to the weights that are copied into the blocks. Heads and feed-forward units are chosen per layer
(`autodistill.students.importance`, `autodistill.students.attention`). A wider student keeps its random start, since
there is nothing to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from autodistill.components.students import Initialisation, InitialisationKind
from autodistill.errors import ConfigError
from autodistill.students.attention import copy_attention
from autodistill.students.importance import Importance, columns_norm, keep_top, rows_norm, weight_importance


@dataclass
class Transfer:
    """A student, its teacher and what has been done so far.

    Args:
        student: a stock BERT model.
        teacher: a stock BERT model at least as wide.
        importance: of the teacher's parts.
    """

    student: Any
    teacher: Any
    importance: Importance
    groups: dict[str, InitialisationKind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.channels = keep_top(self.importance.channels, self.student.config.hidden_size)
        self.same_width = self.student.config.hidden_size == self.teacher.config.hidden_size

    def record(self, group: str, exact: bool) -> None:
        """Note how a tensor group started."""
        self.groups[group] = "exact" if exact and self.same_width else "reduced"


@torch.no_grad()
def initialise_bert(
    student: Any, teacher: Any, layers: Sequence[int], importance: Importance | None = None
) -> Initialisation:
    """Start ``student`` from ``teacher`` in place.

    Args:
        student: a stock BERT model.
        teacher: a stock BERT model, any head.
        layers: 1-based teacher layer of every student layer.
        importance: what to keep; by default from the teacher's weights.

    Raises:
        ConfigError: the vocabularies differ, or the activations of a student that takes the teacher's weights.
    """
    _check_vocabulary(student.config, teacher.config)
    if student.config.hidden_size > teacher.config.hidden_size:
        return Initialisation(dict.fromkeys(tensor_groups(student), "random"))
    _check_activation(student.config, teacher.config)
    transfer = Transfer(student, teacher, importance or weight_importance(teacher.base_model))
    _copy_layer_norm_epsilon(student, teacher)
    _copy_embeddings(transfer)
    for index, layer in enumerate(layers):
        _copy_layer(transfer, index, layer - 1)
    _copy_top(transfer)
    groups = {group: transfer.groups.get(group, "random") for group in tensor_groups(student)}
    return Initialisation(groups, tuple(layers))


def tensor_groups(student: Any) -> tuple[str, ...]:
    """Names of the tensor groups of a BERT model, bottom up."""
    groups = ["word_embeddings", "position_embeddings", "token_type_embeddings", "embedding_norm"]
    for index in range(student.config.num_hidden_layers):
        groups += [f"layer.{index}.{part}" for part in ("attention", "feed_forward", "norms")]
    if getattr(student.base_model, "pooler", None) is not None:
        groups.append("pooler")
    return (*groups, *(name for name in ("classifier", "qa_outputs", "cls") if hasattr(student, name)))


def _check_vocabulary(student: Any, teacher: Any) -> None:
    if student.vocab_size != teacher.vocab_size:
        raise ConfigError(
            f"The student has {student.vocab_size} word embeddings and the teacher {teacher.vocab_size}; "
            "a student is built with its teacher's vocabulary."
        )


def _check_activation(student: Any, teacher: Any) -> None:
    if student.hidden_act != teacher.hidden_act:
        raise ConfigError(
            f"student.activation is {student.hidden_act!r}, but the teacher's is {teacher.hidden_act!r}, so its "
            f"feed-forward weights would compute something else. Set student.activation={teacher.hidden_act}."
        )


def _copy_layer_norm_epsilon(student: Any, teacher: Any) -> None:
    student.config.layer_norm_eps = teacher.config.layer_norm_eps
    for module in student.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = teacher.config.layer_norm_eps


def _copy_embeddings(transfer: Transfer) -> None:
    student, teacher = transfer.student.base_model.embeddings, transfer.teacher.base_model.embeddings
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        target, source = getattr(student, name).weight, getattr(teacher, name).weight
        rows = min(len(target), len(source))
        target[:rows] = source[:rows, transfer.channels]
        transfer.record(name, exact=len(target) <= len(source))
    _copy_norm(student.LayerNorm, teacher.LayerNorm, transfer.channels)
    transfer.record("embedding_norm", exact=True)


def _copy_norm(student: Any, teacher: Any, channels: Tensor) -> None:
    student.weight.copy_(teacher.weight[channels])
    student.bias.copy_(teacher.bias[channels])


def _copy_linear(student: Any, teacher: Any, outputs: Tensor, inputs: Tensor) -> None:
    student.weight.copy_(teacher.weight[outputs][:, inputs])
    student.bias.copy_(teacher.bias[outputs])


def _copy_layer(transfer: Transfer, index: int, teacher_index: int) -> None:
    teacher_layers = transfer.teacher.base_model.encoder.layer
    student, teacher = transfer.student.base_model.encoder.layer[index], teacher_layers[teacher_index]
    below = teacher_layers[teacher_index - 1].output if teacher_index else transfer.teacher.base_model.embeddings
    scores = transfer.importance.heads[teacher_index]
    copy_attention(student.attention, teacher.attention, below.LayerNorm, transfer.channels, scores)
    _copy_norm(student.attention.output.LayerNorm, teacher.attention.output.LayerNorm, transfer.channels)
    _copy_feed_forward(student, teacher, transfer.channels, transfer.importance.units[teacher_index])
    _copy_norm(student.output.LayerNorm, teacher.output.LayerNorm, transfer.channels)
    same_heads = student.attention.self.num_attention_heads == teacher.attention.self.num_attention_heads
    transfer.record(f"layer.{index}.attention", exact=same_heads)
    same_units = student.intermediate.dense.out_features == teacher.intermediate.dense.out_features
    transfer.record(f"layer.{index}.feed_forward", exact=same_units)
    transfer.record(f"layer.{index}.norms", exact=True)


def _copy_feed_forward(student: Any, teacher: Any, channels: Tensor, scores: Tensor) -> None:
    """Keep the most important units; units that the teacher lacks keep a random input and write nothing yet."""
    inner, outer = student.intermediate.dense, student.output.dense
    units = keep_top(scores, inner.out_features)
    inner.weight[: len(units)] = teacher.intermediate.dense.weight[units][:, channels]
    inner.bias[: len(units)] = teacher.intermediate.dense.bias[units]
    outer.weight[:, : len(units)] = teacher.output.dense.weight[channels][:, units]
    outer.weight[:, len(units) :] = 0
    outer.bias.copy_(teacher.output.dense.bias[channels])


def _copy_top(transfer: Transfer) -> None:
    """Copy the pooler and the head where both models have them with the same outputs."""
    student, teacher = transfer.student, transfer.teacher
    features = transfer.channels
    pooler, source = getattr(student.base_model, "pooler", None), getattr(teacher.base_model, "pooler", None)
    if pooler is not None and source is not None:
        features = _pooled_features(transfer, source.dense)
        _copy_linear(pooler.dense, source.dense, features, transfer.channels)
        transfer.record("pooler", exact=True)
    for name in ("classifier", "qa_outputs"):
        head, teacher_head = getattr(student, name, None), getattr(teacher, name, None)
        # A head reads either the pooler or the tokens; it means the same only over the same kind of input.
        if head is None or teacher_head is None or type(student) is not type(teacher):
            continue
        if head.out_features == teacher_head.out_features:
            _copy_linear(head, teacher_head, torch.arange(head.out_features), features)
            transfer.record(name, exact=True)
    if hasattr(student, "cls") and hasattr(teacher, "cls"):
        _copy_language_head(student.cls.predictions, teacher.cls.predictions, transfer.channels)
        transfer.record("cls", exact=True)


def _pooled_features(transfer: Transfer, pooler: Any) -> Tensor:
    """Outputs of the teacher's pooler to keep: those that its classifier reads most."""
    scores = rows_norm(pooler)
    classifier = getattr(transfer.teacher, "classifier", None)
    if classifier is not None:
        scores = scores * columns_norm(classifier)
    return keep_top(scores, transfer.student.config.hidden_size)


def _copy_language_head(student: Any, teacher: Any, channels: Tensor) -> None:
    """The output matrix is tied to the word embeddings, so the transform keeps the residual channels."""
    _copy_linear(student.transform.dense, teacher.transform.dense, channels, channels)
    _copy_norm(student.transform.LayerNorm, teacher.transform.LayerNorm, channels)
    student.bias.copy_(teacher.bias)
    student.decoder.bias.copy_(teacher.bias)
