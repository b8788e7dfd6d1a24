"""What a class of transformers can do, asked of the class itself: an encoder is built, of shapes without weights."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModel

from autodistill.components.training import FEATURES
from autodistill.errors import ConfigError
from autodistill.teachers.checkpoint import quiet
from autodistill.training.attention import ATTENTION_FEATURES, recordable, windowed_layers

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class Encoder:
    """The encoder that a configuration describes, on torch's device ``meta``: built in a moment, in no memory.

    Args:
        config: of a transformers model.

    Raises:
        ValueError: its values contradict each other, or transformers has no encoder for it.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        # A copy, because transformers writes into it; "eager" is what every class has.
        with torch.device("meta"), quiet():
            self._model: Any = AutoModel.from_config(deepcopy(config), attn_implementation="eager")

    @property
    def attention(self) -> str:
        """The fastest attention that the class has: ``sdpa``, or ``eager`` (MPNet, DeBERTa, ConvBERT, ...)."""
        # What transformers itself looks at before it refuses; by default config.json could choose another one.
        return "sdpa" if self._model._supports_sdpa else "eager"

    @property
    def max_positions(self) -> int:
        """Longest sequence in tokens.

        RoBERTa and its like (MPNet, XLM-R, ...) count positions from behind the padding token's id, so that their
        first rows of position embeddings are never read: 514 rows are 512 positions.
        """
        rows = int(self._model.config.max_position_embeddings)
        embeddings = getattr(getattr(self._model, "embeddings", None), "position_embeddings", None)
        padding = getattr(embeddings, "padding_idx", None)
        return rows if padding is None else rows - padding - 1

    @property
    def features(self) -> frozenset[str]:
        """Names of the features that can be read while it runs."""
        # A decoder of its own reads the encoder: whose states and attention a layer means is not told.
        if self._model.config.is_encoder_decoder:
            return frozenset({"logits"})
        lacking: set[str] = set()
        # Where a token sees only its neighbourhood, scores of what it does not see mean nothing.
        if windowed_layers(self._model.config):
            lacking.add("attention_scores")
        try:
            with quiet(), recordable(self._model):
                pass
        except ConfigError:  # classes with an attention of their own, such as DeBERTa's
            lacking |= ATTENTION_FEATURES
        return frozenset(FEATURES) - lacking
