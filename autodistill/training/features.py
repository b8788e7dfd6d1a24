"""Features of a model: what losses compare, from one forward pass."""

from __future__ import annotations

import contextlib
import functools
import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from autodistill.components.training import FEATURES, Batch
from autodistill.errors import ConfigError
from autodistill.losses.masking import counted_tokens
from autodistill.training.attention import ATTENTION_FEATURES, recording
from autodistill.training.batches import evaluating
from autodistill.training.softened import MASKED_LOGITS, without_temperature

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from autodistill.components.training import FeatureKey, Features


#: What is read from transformers' hidden states.
STATE_FEATURES = frozenset({"hidden_states", "embeddings"})


def forward_features(
    model: PreTrainedModel, batch: Batch, keys: frozenset[FeatureKey], *, max_layer: int | None = None
) -> Features:
    """Run a model once and return what is asked for.

    Args:
        model: a stock transformers model, in the mode (training, evaluation) and under the gradient setting it has.
        batch: on the model's device.
        keys: (feature, layer) pairs.
        max_layer: run only the first blocks; features of blocks above are left out, logits come from the last one
            run. None for all.

    Returns:
        Feature key -> tensor with its graph; attention maps are those before dropout. The ``logits`` of a masked
        language model are 0 where nothing is asked, as those of a cached teacher are: its head, which costs a small
        model more than all of its blocks, runs on the masked tokens only, and on none where no logits are wanted.

    Raises:
        ConfigError: a feature that this model cannot give.
    """
    names = frozenset(name for name, _ in keys)
    with_states = bool(names & STATE_FEATURES)
    if max_layer is not None and with_states:
        _install_hooks(model, batch)
    asked = _asked(model, batch)
    if asked is not None and not any(without_temperature(key)[0] == "logits" for key in keys):
        asked = torch.zeros_like(asked)
    cut = max_layer if with_states and _normalises_last(model, max_layer) else None
    with (
        _outputs_of_block(model, cut) as uppermost,
        _truncated(model, max_layer),
        _head_on(model, asked),
        recording(model, names & ATTENTION_FEATURES) as blocks,
    ):
        output = model(**model_inputs(model, batch), output_hidden_states=with_states, return_dict=True)
    features: dict[FeatureKey, Tensor] = {}
    for name, layer in keys:
        if layer is not None and max_layer is not None and layer > max_layer:
            continue
        if cut is not None and (name, layer) == ("hidden_states", cut):
            features[name, layer] = uppermost[0]
            continue
        source, _ = without_temperature((name, layer))
        feature = _feature(model, source, layer, output, blocks, batch.attention_mask)
        if (name, layer) == MASKED_LOGITS:
            feature = feature[counted_tokens(batch)] if asked is None else feature[0]
        elif source == "logits" and asked is not None:
            feature = _spread(feature, asked)
        features[name, layer] = feature
    return features


def model_inputs(model: PreTrainedModel, batch: Batch) -> dict[str, Tensor]:
    """Return the keyword arguments of a forward pass; token types only where the model takes them."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask.long()}
    if _takes_token_types(type(model).forward):
        inputs["token_type_ids"] = batch.token_type_ids
    return inputs


@functools.lru_cache
def _takes_token_types(forward: Callable[..., Any]) -> bool:
    """Whether the forward pass has the argument ``token_type_ids``."""
    return "token_type_ids" in inspect.signature(forward).parameters


def _asked(model: PreTrainedModel, batch: Batch) -> Tensor | None:
    """Tokens whose words a masked language model is asked for, ``batch x tokens``; None of one with another head."""
    if model.base_model is model or model.get_output_embeddings() is None:
        return None
    return counted_tokens(batch)


@contextlib.contextmanager
def _head_on(model: PreTrainedModel, asked: Tensor | None) -> Iterator[None]:
    """Let the head of the forward pass inside see these tokens only, as one row; all when None.

    The head of a masked language model looks at each token alone.
    """
    if asked is None:
        yield
        return

    def select(module: nn.Module, arguments: Any, output: Any) -> Any:
        output["last_hidden_state"] = output["last_hidden_state"][asked].unsqueeze(0)
        return output

    handle = model.base_model.register_forward_hook(select)
    try:
        yield
    finally:
        handle.remove()


def _spread(logits: Tensor, asked: Tensor) -> Tensor:
    """``1 x asked x outputs`` -> ``batch x tokens x outputs``, 0 elsewhere."""
    spread = logits.new_zeros(*asked.shape, logits.shape[-1])
    spread[asked] = logits[0]
    return spread


def head_outputs(output: Any, mask: Tensor) -> Tensor | None:
    """Outputs of the head; of a model without one the sentence embedding, the mean of its tokens at unit length.

    Args:
        output: of a forward pass.
        mask: ``batch x tokens``, true where the token counts.
    """
    if "logits" in output:
        logits: Tensor = output.logits
        return logits
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    if "last_hidden_state" in output:
        states = output.last_hidden_state.float() * mask.unsqueeze(-1)
        return nn.functional.normalize(states.sum(1) / mask.sum(1, keepdim=True).clamp_min(1), dim=-1)
    return None


def _feature(
    model: PreTrainedModel,
    name: str,
    layer: int | None,
    output: Any,
    blocks: list[dict[str, Tensor]],
    mask: Tensor,
) -> Tensor:
    """One feature of a forward pass's output."""
    if name == "logits" and layer is None:
        logits = head_outputs(output, mask)
        if logits is not None:
            return logits
    states = output.get("hidden_states") or ()
    if name == "embeddings" and layer is None and states:
        embedded: Tensor = states[0]
        return embedded
    if name == "hidden_states" and layer is not None and 0 <= layer < len(states):
        state: Tensor = states[layer]
        return state
    if name in ATTENTION_FEATURES and layer is not None and 1 <= layer <= len(blocks):
        return blocks[layer - 1][name]
    where = "" if layer is None else f" of layer {layer}"
    raise ConfigError(
        f"{type(model).__name__} with {model.config.num_hidden_layers} layers has no feature {name!r}{where}. "
        f"Features are {', '.join(FEATURES)}; hidden_states has layers from 0, features of a block from 1."
    )


#: Models whose every block gives its hidden states to transformers -> whether a normalisation follows the last block.
_hooked: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()


def _install_hooks(model: PreTrainedModel, batch: Batch) -> None:
    """Run the whole model once on a token: transformers puts its hooks only on blocks of the first such run."""
    if model in _hooked:
        return
    inputs = {name: value[:1, :1] for name, value in model_inputs(model, batch).items()}
    last = model.config.num_hidden_layers
    with evaluating(model), torch.no_grad(), _outputs_of_block(model, last if has_blocks(model) else None) as outputs:
        states = model(**inputs, output_hidden_states=True, return_dict=True)["hidden_states"]
    _hooked[model] = bool(outputs) and not torch.allclose(outputs[0].float(), states[-1].float())


def _normalises_last(model: PreTrainedModel, max_layer: int | None) -> bool:
    """Whether a run that ends at this block would normalise its states, which a run of the whole model does not."""
    return max_layer is not None and max_layer < model.config.num_hidden_layers and _hooked.get(model, False)


@contextlib.contextmanager
def _outputs_of_block(model: PreTrainedModel, layer: int | None) -> Iterator[list[Tensor]]:
    """What a block, counted from 1, puts out inside; nothing is looked at when None."""
    outputs: list[Tensor] = []
    if layer is None:
        yield outputs
        return

    def add(module: nn.Module, arguments: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handle = blocks_of(model)[layer - 1].register_forward_hook(add)
    try:
        yield outputs
    finally:
        handle.remove()


@contextlib.contextmanager
def _truncated(model: PreTrainedModel, max_layer: int | None) -> Iterator[None]:
    """Let the forward pass inside run only the first blocks."""
    if max_layer is None or max_layer >= model.config.num_hidden_layers:
        yield
        return
    parent, name, blocks = _blocks(model)
    setattr(parent, name, nn.ModuleList(list(blocks)[:max_layer]))
    try:
        yield
    finally:
        setattr(parent, name, blocks)


def has_blocks(model: PreTrainedModel) -> bool:
    """Whether the model has a list of blocks, of which some can be run alone; shared blocks have none."""
    try:
        _blocks(model)
    except ConfigError:
        return False
    return True


def blocks_of(model: PreTrainedModel) -> nn.ModuleList:
    """Return the transformer blocks of a model, lowest first.

    Raises:
        ConfigError: it has no such list.
    """
    return _blocks(model)[2]


def _blocks(model: PreTrainedModel) -> tuple[nn.Module, str, nn.ModuleList]:
    """The list of transformer blocks, its name and the module that holds it."""
    count = model.config.num_hidden_layers
    for parent in model.base_model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return parent, name, child
    raise ConfigError(f"{type(model).__name__} has no list of {count} blocks, so a phase cannot run only some of them.")
