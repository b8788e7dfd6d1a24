"""Which features of a teacher are stored, and which are computed again from them when a batch is read.

Attention maps and scores follow from queries and keys, the output of the embedding block is the lowest hidden state,
and relations (`autodistill.losses.minilm_relation`) are computed by their loss. What is smaller is stored.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from autodistill.losses.masking import counted_tokens
from autodistill.training.attention import windowed_layers
from autodistill.training.batches import evaluating, on_device
from autodistill.training.features import forward_features
from autodistill.training.precision import autocast
from autodistill.training.softened import MASKED_LOGITS, temperature_of, without_temperature
from autodistill.training.stored_features import LARGE, TOKENS, Dense, FeatureShape, StoredForm, TopLogits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch, FeatureKey, Features
    from autodistill.training.row_sets import RowSet
    from autodistill.training.tokenised import TokenisedSplit

    IntArray: TypeAlias = "NDArray[np.int64]"

#: Sizes of a feature's dimensions after the batch that follow the number of tokens.
_TOKEN_DIMENSIONS = {
    "hidden_states": (0,),
    "attentions": (1, 2),
    "attention_scores": (1, 2),
    "queries": (1,),
    "keys": (1,),
    "values": (1,),
}

#: What queries and keys give.
MAPS = ("attentions", "attention_scores")

#: Scores computed anew must agree with the teacher's own to this, relative and absolute: float32's rounding.
TOLERANCE = 1e-4

#: Examples from which the share of tokens that count is estimated.
SAMPLED = 64


@dataclass(frozen=True)
class CachePlan:
    """What is stored for the features that were asked for.

    Args:
        keys: what was asked for.
        forms: what is stored.
    """

    keys: tuple[FeatureKey, ...]
    forms: tuple[StoredForm, ...]

    @property
    def stored(self) -> frozenset[FeatureKey]:
        """Features that the teacher computes."""
        return frozenset(form.key for form in self.forms)

    def total_bytes(self, counts: IntArray) -> int:
        """Bytes of all examples; ``counts``: how many of them have 0 tokens, how many have 1, and so on."""
        return sum(form.total_bytes(counts) for form in self.forms)


def make_plan(
    teacher: PreTrainedModel, split: TokenisedSplit, keys: frozenset[FeatureKey], counts: IntArray
) -> CachePlan:
    """Decide what to store; runs the teacher on the shortest example.

    Args:
        teacher: whose features they are.
        split: the examples.
        keys: features that will be asked for.
        counts: how many of the examples to be kept have 0 tokens, how many have 1, and so on; see `counts_of`.
    """
    base = frozenset(_base(key) for key in keys)
    maps = {key[1] for key in base if key[0] in MAPS}
    probed = base | {(name, layer) for layer in maps for name in ("queries", "keys", "attention_scores")}
    shortest = split.batch(np.array([int(np.argmin(split.lengths))], dtype=np.int64))
    values = compute(teacher, shortest, probed)
    counted = _counted_share(split) if split.kind in ("mlm", "token_classification") else 1.0
    temperatures = sorted({found for key in keys if (found := temperature_of(key)) is not None})
    kept = tuple(temperatures) if keeps_likeliest(teacher, split) else ()
    forms = {key: _form(key, value, counted, kept) for key, value in values.items()}
    chosen = {key for key in base if key[0] not in MAPS}
    windowed = windowed_layers(teacher.config)
    for layer in sorted(maps, key=lambda item: item or 0):
        wanted = {key for key in base if key[0] in MAPS and key[1] == layer}
        factors: set[FeatureKey] = {("queries", layer), ("keys", layer)}
        cost = sum(forms[key].total_bytes(counts) for key in factors - chosen)
        smaller = cost < sum(forms[key].total_bytes(counts) for key in wanted)
        chosen |= factors if smaller and layer not in windowed and _follows(values, layer) else wanted
    return CachePlan(tuple(ordered(keys)), tuple(forms[key] for key in ordered(chosen)))


def counts_of(split: TokenisedSplit, rows: RowSet) -> IntArray:
    """How many of these rows have 0 tokens, how many have 1, and so on."""
    counts = np.zeros(int(split.lengths.max(initial=0)) + 1, dtype=np.int64)
    for piece in rows.pieces():
        counts += np.bincount(split.lengths_of(piece), minlength=len(counts))
    return counts


def compute(
    teacher: PreTrainedModel, batch: Batch, keys: Iterable[FeatureKey], precision: str = "32-true"
) -> Mapping[FeatureKey, Tensor]:
    """Features of a batch, on the teacher's device, as float32, without gradients and without dropout.

    Args:
        teacher: whose features they are.
        batch: the examples.
        keys: features to give.
        precision: what the teacher computes in, one of `TEACHING_PRECISIONS`.
    """
    with evaluating(teacher), torch.inference_mode():
        return teach(teacher, on_device(batch, teacher.device), frozenset(keys), precision)


def teach(
    teacher: PreTrainedModel,
    batch: Batch,
    keys: frozenset[FeatureKey],
    precision: str = "32-true",
    *,
    max_layer: int | None = None,
) -> Features:
    """Features of a batch on the teacher's device, as float32, whatever precision a student around them computes in.

    Args:
        teacher: in evaluation mode.
        batch: the examples.
        keys: features to give.
        precision: what the teacher computes in, one of `TEACHING_PRECISIONS`.
        max_layer: see `forward_features`.
    """
    with torch.autocast(teacher.device.type, enabled=False), autocast(precision, teacher.device):
        features = forward_features(teacher, batch, keys, max_layer=max_layer)
    return {key: feature.float() for key, feature in features.items()}


def derive(keys: Iterable[FeatureKey], stored: Mapping[FeatureKey, Tensor], batch: Batch) -> dict[FeatureKey, Tensor]:
    """Return what was asked for from what is stored.

    Args:
        keys: features to give.
        stored: features that are stored, float32.
        batch: its attention mask says which keys are padding.
    """
    found: dict[FeatureKey, Tensor] = {}
    for key in keys:
        source = _source(key, stored)
        if source in stored:
            whole = key == MASKED_LOGITS != source
            found[key] = stored[source][counted_tokens(batch)] if whole else stored[source]
        else:
            scores = _scores(stored["queries", key[1]], stored["keys", key[1]])
            found[key] = _softmax(scores, batch.attention_mask) if key[0] == "attentions" else scores
    return found


def needed(keys: Iterable[FeatureKey], stored: frozenset[FeatureKey]) -> frozenset[FeatureKey]:
    """Return which stored features these are derived from."""
    found: set[FeatureKey] = set()
    for key in keys:
        source = _source(key, stored)
        found |= {source} if source in stored else {("queries", key[1]), ("keys", key[1])}
    return frozenset(found)


def ordered(keys: Iterable[FeatureKey]) -> list[FeatureKey]:
    """Keys by name and layer."""
    return sorted(keys, key=lambda key: (key[0], -1 if key[1] is None else key[1]))


def _base(key: FeatureKey) -> FeatureKey:
    """The feature under which another name of it is stored."""
    return ("hidden_states", 0) if key[0] == "embeddings" else without_temperature(key)


def _source(key: FeatureKey, stored: Container[FeatureKey]) -> FeatureKey:
    """Where a feature is read from, unless it is computed from others."""
    return key if key in stored else _base(key)


def keeps_likeliest(teacher: PreTrainedModel, split: TokenisedSplit) -> bool:
    """Whether the logits are one distribution over very many outputs, of which the likeliest and a mass are kept.

    Sentence embeddings and the yes or no of every class are no such distribution, however wide they are.
    """
    config = teacher.config
    if split.kind == "mlm":
        return bool(config.vocab_size >= LARGE)
    if split.kind not in ("classification", "token_classification") or config.num_labels < LARGE:
        return False
    several = split.kind == "classification" and split.labels is not None and split.labels.ndim == 2
    return not several and getattr(config, "problem_type", None) != "multi_label_classification"


def _form(key: FeatureKey, value: Tensor, counted: float, temperatures: tuple[float, ...]) -> StoredForm:
    """How a feature is stored, from its value for one example; logits of `keeps_likeliest` for some temperatures."""
    dimensions: list[int | str] = list(value.shape[1:])
    per_token = key[0] == "logits" and value.dim() > 2
    if key[0] == "logits" and temperatures:
        return TopLogits(key, value.shape[-1], per_token, counted, temperatures)
    for position in (0,) if per_token else _TOKEN_DIMENSIONS.get(key[0], ()):
        dimensions[position] = TOKENS
    return Dense.of(key, FeatureShape(tuple(dimensions)))


def _counted_share(split: TokenisedSplit) -> float:
    """Share of the tokens whose answers count, from some examples."""
    rows = np.linspace(0, len(split) - 1, min(SAMPLED, len(split))).astype(np.int64)
    batch = split.batch(rows)
    return float(counted_tokens(batch).sum() / batch.attention_mask.sum().clamp_min(1))


def _scores(queries: Tensor, keys: Tensor) -> Tensor:
    """Scaled dot products: ``batch x heads x tokens x tokens``, in the precision of what is multiplied."""
    with torch.autocast(queries.device.type, enabled=False):
        scores: Tensor = torch.matmul(queries, keys.transpose(2, 3)) * queries.shape[-1] ** -0.5
    return scores


def _softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Attention maps: padding gets exactly nothing."""
    hidden = scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min)
    return torch.softmax(hidden, dim=-1)


def _follows(values: Mapping[FeatureKey, Tensor], layer: int | None) -> bool:
    """Whether a layer's scores are the scaled products of its queries and keys; some models add positions to them."""
    scores = _scores(values["queries", layer].float(), values["keys", layer].float())
    own = values["attention_scores", layer].float()
    maps_follow = True
    if ("attentions", layer) in values:
        maps = torch.softmax(own, dim=-1)  # one example, no padding
        maps_follow = torch.allclose(values["attentions", layer].float(), maps, rtol=TOLERANCE, atol=TOLERANCE)
    return maps_follow and torch.allclose(scores, own, rtol=TOLERANCE, atol=TOLERANCE)
