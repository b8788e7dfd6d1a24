"""What a narrower student keeps of its teacher: importance of residual channels, heads and feed-forward units.

`measured_importance` looks at what each part of a BERT does on training text, once for all architectures;
`weight_importance` needs no text. `network_importance` ranks the units of any feed-forward networks, by either.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from autodistill.components.training import Batch

Found = TypeVar("Found")


@dataclass(frozen=True)
class Importance:
    """Scores >= 0; higher is kept. The order within a field is all that counts.

    Args:
        channels: hidden: channels of the residual stream, one choice for the whole model.
        heads: per teacher layer: heads.
        units: per teacher layer: intermediate units of the feed-forward network.
    """

    channels: Tensor
    heads: tuple[Tensor, ...]
    units: tuple[Tensor, ...]


@torch.no_grad()
def weight_importance(encoder: Any) -> Importance:
    """Importance from weight magnitudes: norm of what a unit or head reads times norm of what it writes.

    A unit or head whose reading or writing weights are all zero has importance 0, so dropping it changes nothing; a
    channel has importance 0 when every layer norm silences it.

    Args:
        encoder: a transformers `BertModel`.
    """
    layers = list(encoder.encoder.layer)
    return Importance(
        channels=_channel_importance(encoder.embeddings, layers),
        heads=tuple(_head_importance(layer.attention) for layer in layers),
        units=tuple(_unit_importance(*network) for network in _networks(layers)),
    )


@torch.no_grad()
def measured_importance(encoder: Any, examples: Sequence[Batch]) -> Importance:
    """Importance from activations on text: the size of what a unit or head gives, over unmasked tokens.

    A unit's is the root mean square of its activation times the norm of its output weights; a head's the root mean
    square norm of what it adds to the residual stream. Pruning by activations as in Minitron (Muralidharan et al.
    2024, arXiv 2407.14679), which leaves the output weights out. Channels are ranked as by `weight_importance`: their
    size behind the layer norms keeps less of the teacher's hidden states.

    Args:
        encoder: a transformers `BertModel`; put into evaluation mode for the while.
        examples: batches of text, one at least, on any device.
    """
    layers = list(encoder.encoder.layer)
    watched = [*_unit_watches(_networks(layers))]
    for index, layer in enumerate(layers):
        output = layer.attention.output.dense
        squares = _head_squares(output.weight, layer.attention.self.num_attention_heads)
        watched.append((("heads", index), output, squares))
    sums = _watched_pass(encoder, examples, watched)
    return Importance(
        channels=_channel_importance(encoder.embeddings, layers),
        heads=tuple(sums.mean("heads", index).sqrt() for index in range(len(layers))),
        units=_measured_units(sums, _networks(layers)),
    )


@torch.no_grad()
def network_importance(
    encoder: Any, networks: Sequence[tuple[Any, Any]], examples: Sequence[Batch]
) -> tuple[Tensor, ...]:
    """Importance of the units of feed-forward networks, remembered as by `importance_of`.

    Args:
        encoder: a transformers encoder that takes BERT's inputs; its weights do not change any more.
        networks: (linear layer into the units, linear layer out of them), always the same of an encoder.
        examples: batches of text, see `measured_importance`; none: by the weights, see `weight_importance`.

    Returns:
        Per network, a score >= 0 for each unit.
    """
    if not examples:
        return tuple(_unit_importance(*network) for network in networks)
    return _remembered(
        encoder,
        examples,
        lambda: _measured_units(_watched_pass(encoder, examples, _unit_watches(networks)), networks),
    )


#: What is summed over tokens, of the input of a module: ``batch x tokens x ...``.
Measure: TypeAlias = Callable[[Tensor], Tensor]


class _Sums:
    """Sums of activations over unmasked tokens, collected by hooks."""

    def __init__(self) -> None:
        self.mask = torch.ones(0)
        self._totals: dict[tuple[str, int], Tensor] = {}
        self._tokens: dict[tuple[str, int], int] = {}

    @contextmanager
    def watch(self, key: tuple[str, int], module: Any, measure: Measure) -> Iterator[None]:
        """Add ``measure`` of a module's input to the sum of ``key`` inside the block."""

        def add(_: Any, inputs: tuple[Tensor, ...]) -> None:
            values = measure(inputs[0])[self.mask]
            self._totals[key] = self._totals.get(key, torch.zeros(())) + values.double().sum(0).cpu()
            self._tokens[key] = self._tokens.get(key, 0) + len(values)

        handle = module.register_forward_pre_hook(add)
        try:
            yield
        finally:
            handle.remove()

    def mean(self, name: str, index: int) -> Tensor:
        """The mean over tokens, float32."""
        return (self._totals[name, index] / max(1, self._tokens[name, index])).float()


def _watched_pass(
    encoder: Any, examples: Sequence[Batch], watched: Iterable[tuple[tuple[str, int], Any, Measure]]
) -> _Sums:
    """Run the encoder on text and sum up what the watched modules, (key, module, measure) each, are given."""
    sums = _Sums()
    training = encoder.training
    encoder.eval()
    with ExitStack() as stack:
        for key, module, measure in watched:
            stack.enter_context(sums.watch(key, module, measure))
        for batch in examples:
            mask = batch.attention_mask.to(encoder.device)
            sums.mask = mask
            encoder(
                batch.input_ids.to(encoder.device),
                attention_mask=mask.long(),
                token_type_ids=batch.token_type_ids.to(encoder.device),
            )
    encoder.train(training)
    return sums


def _networks(layers: Iterable[Any]) -> list[tuple[Any, Any]]:
    """(linear layer into the units, linear layer out of them) of BERT's layers."""
    return [(layer.intermediate.dense, layer.output.dense) for layer in layers]


def _unit_watches(networks: Sequence[tuple[Any, Any]]) -> Iterator[tuple[tuple[str, int], Any, Measure]]:
    """What to watch for `_measured_units`."""
    for index, (_, output) in enumerate(networks):
        yield ("units", index), output, torch.square


def _measured_units(sums: _Sums, networks: Sequence[tuple[Any, Any]]) -> tuple[Tensor, ...]:
    """Root mean square of every unit's activation times the norm of its output weights, per network."""
    return tuple(
        sums.mean("units", index).sqrt() * columns_norm(output).cpu() for index, (_, output) in enumerate(networks)
    )


def _head_squares(weight: Tensor, heads: int) -> Measure:
    """Squared norm of what each head adds: ``batch x tokens x heads`` from the heads' joined outputs."""
    columns = weight.view(len(weight), heads, -1)
    gram = torch.einsum("chi,chj->hij", columns, columns)

    def squares(value: Tensor) -> Tensor:
        split = value.view(*value.shape[:-1], heads, -1)
        return torch.einsum("bthi,hij,bthj->bth", split, gram, split)

    return squares


#: Teacher's encoder -> (rows of the text, what was measured): one pass for all architectures of a process.
_measured: weakref.WeakKeyDictionary[Any, tuple[tuple[int, ...], Any]] = weakref.WeakKeyDictionary()


def importance_of(encoder: Any, examples: Sequence[Batch]) -> Importance:
    """Measured importance, remembered while the encoder lives; from the weights when there is no text.

    Args:
        encoder: a transformers `BertModel` whose weights do not change any more.
        examples: batches of text.
    """
    if not examples:
        return weight_importance(encoder)
    return _remembered(encoder, examples, lambda: measured_importance(encoder, examples))


def _remembered(encoder: Any, examples: Sequence[Batch], measure: Callable[[], Found]) -> Found:
    """What was measured of an encoder on this text before, or else now."""
    text = tuple(row for batch in examples for row in batch.rows.tolist())
    known = _measured.get(encoder)
    if known is None or known[0] != text:
        known = _measured[encoder] = text, measure()
    found: Found = known[1]
    return found


def rows_norm(linear: Any) -> Tensor:
    """Norm of each output's weights and bias: ``out``."""
    squares = linear.weight.square().sum(dim=1) + linear.bias.square()
    root: Tensor = squares.sqrt()
    return root


def columns_norm(linear: Any) -> Tensor:
    """Norm of each input's weights: ``in``."""
    norm: Tensor = linear.weight.norm(dim=0)
    return norm


def _unit_importance(inner: Any, output: Any) -> Tensor:
    return rows_norm(inner) * columns_norm(output)


def _head_importance(attention: Any) -> Tensor:
    """Frobenius norm of the value-to-output map of each head; query and key only move weight between tokens."""
    heads = attention.self.num_attention_heads
    value = torch.cat([attention.self.value.weight, attention.self.value.bias[:, None]], dim=1)
    value = value.view(heads, -1, value.shape[1])
    output = attention.output.dense.weight
    output = output.view(output.shape[0], heads, -1).permute(1, 0, 2)
    norms: Tensor = torch.linalg.matrix_norm(output @ value)
    return norms


def _channel_importance(embeddings: Any, layers: list[Any]) -> Tensor:
    """Sum over the layer norms of the squared gain: the variance that a channel has where it is read.

    Weighing it with the readers' weights, or ranking by the weights alone, keeps less of the teacher's hidden states.
    """
    norms = [embeddings.LayerNorm]
    for layer in layers:
        norms += [layer.attention.output.LayerNorm, layer.output.LayerNorm]
    total: Tensor = torch.stack([norm.weight for norm in norms]).square().sum(dim=0)
    return total


def keep_top(scores: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` highest scores in rising order; ties go to the lower index."""
    order = torch.argsort(scores, descending=True, stable=True)[:count]
    return torch.sort(order).values
