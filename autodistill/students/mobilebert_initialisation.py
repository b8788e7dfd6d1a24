"""Starting a MobileBERT student from a MobileBERT teacher of its widths and heads: fewer layers, units or networks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from autodistill.components.students import Initialisation, InitialisationKind
from autodistill.students.embeddings import copy_word_embeddings
from autodistill.students.importance import keep_top, network_importance

if TYPE_CHECKING:
    from torch import Tensor

    from autodistill.components.training import Batch

#: Fields of the configuration that the family fixes at MobileBERT's own values. ``classifier_activation`` is not one of
#: them: the pooler of the published model has no dense layer, but all of its other tensors fit.
FIXED = (
    "embedding_size",
    "trigram_input",
    "use_bottleneck",
    "use_bottleneck_attention",
    "key_query_shared_bottleneck",
    "normalization_type",
    "hidden_act",
)


def tensor_groups(student: Any) -> tuple[str, ...]:
    """Names of the tensor groups of a MobileBERT model, bottom up."""
    groups = ["word_embeddings", "embedding_rest"]
    for index in range(student.config.num_hidden_layers):
        groups += [f"layer.{index}.{part}" for part in ("bottlenecks", "attention", "feed_forward")]
    return (*groups, *(name for name, _ in _top_modules(student)))


def same_widths(student: Any, teacher: Any) -> bool:
    """Whether embeddings, bottlenecks and attention of two MobileBERT configurations have the same shapes."""
    sizes = ("vocab_size", "type_vocab_size", "hidden_size", "intra_bottleneck_size", "num_attention_heads")
    return all(getattr(student, name) == getattr(teacher, name) for name in (*sizes, *FIXED))


@torch.no_grad()
def initialise_mobilebert(
    student: Any, teacher: Any, layers: Sequence[int], examples: Sequence[Batch] = ()
) -> Initialisation:
    """Start ``student`` from ``teacher`` in place.

    Args:
        student: a stock MobileBERT model.
        teacher: a stock MobileBERT model for which `same_widths` holds.
        layers: 1-based teacher layer of every student layer.
        examples: batches of text on which the importance of the teacher's units is measured; none: by its weights.
    """
    importance = _unit_importance(teacher.base_model, examples)
    groups: dict[str, InitialisationKind] = dict.fromkeys(tensor_groups(student), "random")
    _copy_embeddings(student.base_model.embeddings, teacher.base_model.embeddings)
    groups["word_embeddings"] = groups["embedding_rest"] = "exact"
    for index, layer in enumerate(layers):
        block, source = student.base_model.encoder.layer[index], teacher.base_model.encoder.layer[layer - 1]
        for part in ("bottleneck", "attention"):
            getattr(block, part).load_state_dict(getattr(source, part).state_dict())
        block.output.bottleneck.load_state_dict(source.output.bottleneck.state_dict())
        groups[f"layer.{index}.bottlenecks"] = groups[f"layer.{index}.attention"] = "exact"
        groups[f"layer.{index}.feed_forward"] = _copy_feed_forward(block, source, importance[layer - 1])
    groups.update(_copy_top(student, teacher))
    return Initialisation(groups, tuple(layers))


def _copy_embeddings(student: Any, teacher: Any) -> None:
    positions = min(student.position_embeddings.num_embeddings, teacher.position_embeddings.num_embeddings)
    student.position_embeddings.weight[:positions] = teacher.position_embeddings.weight[:positions]
    copy_word_embeddings(student.word_embeddings, teacher.word_embeddings)
    for part in ("token_type_embeddings", "embedding_transformation", "LayerNorm"):
        getattr(student, part).load_state_dict(getattr(teacher, part).state_dict())


def _networks(block: Any) -> list[tuple[Any, Any]]:
    """(first linear layer, output module) of the stacked feed-forward networks, in the order they run."""
    stacked = [(network.intermediate.dense, network.output) for network in getattr(block, "ffn", ())]
    return [*stacked, (block.intermediate.dense, block.output)]


def _unit_importance(encoder: Any, examples: Sequence[Batch]) -> list[tuple[Tensor, ...]]:
    """Scores of the units per layer and network, in the order they run."""
    networks = [[(inner, output.dense) for inner, output in _networks(block)] for block in encoder.encoder.layer]
    scores = iter(network_importance(encoder, list(itertools.chain.from_iterable(networks)), examples))
    return [tuple(itertools.islice(scores, len(own))) for own in networks]


def _copy_feed_forward(block: Any, source: Any, importance: Sequence[Tensor]) -> InitialisationKind:
    """Keep the last networks of the stack and the best units of each; networks beyond the teacher's do nothing."""
    targets, sources = _networks(block), _networks(source)
    pairs = zip(reversed(targets), reversed(sources), reversed(importance), strict=False)
    for (inner, output), (teacher_inner, teacher_output), scores in pairs:
        units = keep_top(scores, inner.out_features)
        inner.weight[: len(units)] = teacher_inner.weight[units]
        inner.bias[: len(units)] = teacher_inner.bias[units]
        output.dense.weight[:, : len(units)] = teacher_output.dense.weight[:, units]
        output.dense.weight[:, len(units) :] = 0
        output.dense.bias.copy_(teacher_output.dense.bias)
        output.LayerNorm.load_state_dict(teacher_output.LayerNorm.state_dict())
    for _, output in targets[: max(0, len(targets) - len(sources))]:
        # A network that the teacher lacks starts as the identity (residual connection, NoNorm of 1 and 0).
        output.dense.weight.zero_()
        output.dense.bias.zero_()
    same = len(targets) == len(sources) and targets[0][0].out_features == sources[0][0].out_features
    return "exact" if same else "reduced"


def _top_modules(model: Any) -> Iterator[tuple[str, Any]]:
    pooler = getattr(model.base_model, "pooler", None)
    if pooler is not None:
        yield "pooler", pooler
    for name in ("classifier", "qa_outputs", "cls"):
        if hasattr(model, name):
            yield name, getattr(model, name)


def _copy_top(student: Any, teacher: Any) -> dict[str, InitialisationKind]:
    """Copy the pooler when it has the same shapes, and the head when it has the same class and shapes."""
    sources, kinds = dict(_top_modules(teacher)), dict[str, InitialisationKind]()
    for name, module in _top_modules(student):
        source = sources.get(name)
        if source is None or (name != "pooler" and type(student) is not type(teacher)):
            continue
        if [tensor.shape for tensor in module.parameters()] == [tensor.shape for tensor in source.parameters()]:
            module.load_state_dict(source.state_dict())
            kinds[name] = "exact"
        elif name == "pooler":
            break  # what a head reads from another pooler means nothing to it
    return kinds
