"""The student family ``mobilebert``: stock transformers MobileBERT models (Sun et al. 2020, arXiv 2004.02984)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import transformers
from transformers import MobileBertConfig, PreTrainedModel

from autodistill.components.architecture import Architecture
from autodistill.components.students import Dimensions, Initialisation, Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.components.training import FEATURES, Batch
from autodistill.errors import ConfigError
from autodistill.students.choices import integer_choices
from autodistill.students.configs import MOBILEBERT_EMBEDDING_SIZE
from autodistill.students.embeddings import initialise_word_embeddings
from autodistill.students.heads import head_of, head_width, label_fields
from autodistill.students.layers import layer_map
from autodistill.students.learning_rate import lr_factor
from autodistill.students.mobilebert_initialisation import FIXED, initialise_mobilebert, same_widths, tensor_groups

CHOICES = ("num_layers", "hidden_size", "bottleneck_size", "num_heads", "intermediate_size", "num_ffn")

#: The word embeddings of a token and its two neighbours enter the network together.
TRIGRAM = 3

#: On the learning rate, as these students start at random but for their word embeddings.
RANDOM_START = 1.5


@dataclass(frozen=True, slots=True)
class MobileBertSizes:
    """The choices of a `mobilebert` architecture, checked."""

    num_layers: int
    hidden_size: int
    bottleneck_size: int
    num_heads: int
    intermediate_size: int
    num_ffn: int


class MobileBertFamily:
    """MobileBERT encoders: bottlenecks around every block, stacked feed-forward networks, no layer norm.

    Args:
        space: search space over `CHOICES`; read by the engine.
        rules: label -> expression that must hold; read by the engine.
        initialisation: what students start from, ``"teacher"`` or ``"random"`` weights.
        layer_selection: which layers of a MobileBERT teacher a shallower student starts from.
        importance: how the feed-forward units of a MobileBERT teacher are ranked when a student has fewer.
        dropout: while training, in [0, 1).
    """

    features = frozenset(FEATURES)

    def __init__(
        self,
        *,
        space: dict[str, Any],
        rules: dict[str, str],
        initialisation: str,
        layer_selection: str,
        importance: str,
        dropout: float,
    ) -> None:
        self.space = space
        self.rules = rules
        self.initialisation = initialisation
        self.layer_selection = layer_selection
        self.importance = importance
        self.dropout = dropout

    def validate(self, architecture: Architecture) -> None:
        """Raise `ConfigError` when no model can be built from these choices."""
        self._sizes(architecture)

    def build(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary) -> PreTrainedModel:
        """A stock MobileBERT model with random weights from torch's global generator, eval mode, float32, CPU."""
        sizes, head = self._sizes(architecture), head_of(task)
        config = MobileBertConfig(
            num_hidden_layers=sizes.num_layers,
            hidden_size=sizes.hidden_size,
            intra_bottleneck_size=sizes.bottleneck_size,
            num_attention_heads=sizes.num_heads,
            intermediate_size=sizes.intermediate_size,
            num_feedforward_networks=sizes.num_ffn,
            embedding_size=MOBILEBERT_EMBEDDING_SIZE,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            vocab_size=vocabulary.size,
            max_position_embeddings=vocabulary.max_positions,
            type_vocab_size=vocabulary.type_size,
            pad_token_id=vocabulary.pad_token_id,
            attn_implementation="sdpa",
            **label_fields(task),
        )
        return getattr(transformers, f"MobileBert{head.suffix}")(config).eval()

    def parameters(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary) -> int:
        """Number of parameters, tied ones once."""
        sizes, head = self._sizes(architecture), head_of(task)
        width, embedding = sizes.hidden_size, MOBILEBERT_EMBEDDING_SIZE
        embeddings = vocabulary.size * embedding + (vocabulary.max_positions + vocabulary.type_size) * width
        embeddings += (TRIGRAM * embedding + 1) * width + 2 * width
        pooler = (width + 1) * width if head.pooled else 0
        top = (width + 1) * head_width(task)
        if task.kind == "mlm":
            top = (width + 1) * width + 2 * width + vocabulary.size * (width - embedding + 1)
        return embeddings + sizes.num_layers * _layer_parameters(sizes) + pooler + top

    def flops(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary, tokens: int) -> int:
        """Floating-point operations of the matrix products of one forward pass over one sequence of ``tokens``."""
        sizes, head = self._sizes(architecture), head_of(task)
        width = sizes.hidden_size
        embeddings = tokens * TRIGRAM * MOBILEBERT_EMBEDDING_SIZE * width
        pooler = width * width if head.pooled else 0
        top = width * head_width(task) * (1 if head.pooled else tokens)
        if task.kind == "mlm":
            top = tokens * width * (width + vocabulary.size)
        return 2 * (embeddings + sizes.num_layers * _layer_products(sizes, tokens) + pooler + top)

    def dimensions(self, architecture: Architecture, task: TaskSpec) -> Dimensions:
        """Sizes of the architecture; ``classes`` is 0 where logits are over the vocabulary or absent."""
        sizes = self._sizes(architecture)
        return Dimensions(
            layers=sizes.num_layers,
            hidden=sizes.hidden_size,
            heads=sizes.num_heads,
            classes=head_width(task),
            attention_width=sizes.bottleneck_size,
        )

    def lr_factor(self, architecture: Architecture) -> float:
        """`RANDOM_START` for MobileBERT's own 24 layers of width 128; see `autodistill.students.learning_rate`.

        The width is the bottleneck's, in which attention and feed-forward networks work; what leads into it and out of
        it is as wide as ``hidden_size`` in all architectures, hence its root.
        """
        sizes = self._sizes(architecture)
        return RANDOM_START * lr_factor(
            width=sizes.bottleneck_size,
            depth=sizes.num_layers,
            reference_width=128,
            reference_depth=24,
            width_power=0.5,
        )

    def initialise(
        self, student: PreTrainedModel, teacher: PreTrainedModel, examples: Sequence[Batch] = ()
    ) -> Initialisation:
        """Start from a MobileBERT teacher by choosing layers and units; from others by word embeddings.

        A MobileBERT teacher of other widths or another number of heads counts as another. A BERT teacher has no
        bottlenecks, so only its word embeddings fit, reduced to `MOBILEBERT_EMBEDDING_SIZE` principal components;
        everything else keeps transformers' random start.
        """
        if self.initialisation == "random":
            return Initialisation(dict.fromkeys(tensor_groups(student), "random"))
        if teacher.config.model_type != "mobilebert" or not same_widths(student.config, teacher.config):
            return initialise_word_embeddings(student, teacher, tensor_groups(student))
        layers = layer_map(student.config.num_hidden_layers, teacher.config.num_hidden_layers, self.layer_selection)
        return initialise_mobilebert(student, teacher, layers, examples if self.importance == "activations" else ())

    def architecture_of(self, model: PreTrainedModel) -> Architecture | None:
        """The architecture of a MobileBERT as `build` makes it, or None (e.g. layer norm, shared bottlenecks).

        The pooler, which is not searched, may lack the dense layer that `build` gives it.
        """
        config = model.config
        if config.model_type != "mobilebert":
            return None
        stock = MobileBertConfig()
        if any(getattr(config, name) != getattr(stock, name) for name in FIXED):
            return None
        sizes = {
            "num_layers": config.num_hidden_layers,
            "hidden_size": config.hidden_size,
            "bottleneck_size": config.intra_bottleneck_size,
            "num_heads": config.num_attention_heads,
            "intermediate_size": config.intermediate_size,
            "num_ffn": config.num_feedforward_networks,
        }
        return Architecture("mobilebert", sizes)

    def _sizes(self, architecture: Architecture) -> MobileBertSizes:
        sizes = MobileBertSizes(**integer_choices(architecture, "mobilebert", CHOICES))
        if sizes.bottleneck_size % sizes.num_heads:
            raise ConfigError(
                f"num_heads must divide bottleneck_size, got {sizes.num_heads} and {sizes.bottleneck_size} "
                f"in {architecture}."
            )
        if sizes.hidden_size <= MOBILEBERT_EMBEDDING_SIZE:
            raise ConfigError(
                f"hidden_size must be > {MOBILEBERT_EMBEDDING_SIZE}, the width of MobileBERT's word embedding, "
                f"got {sizes.hidden_size} in {architecture}."
            )
        return sizes


def _layer_parameters(sizes: MobileBertSizes) -> int:
    width, thin, inner = sizes.hidden_size, sizes.bottleneck_size, sizes.intermediate_size
    bottlenecks = 2 * ((width + 1) * thin + 2 * thin) + (thin + 1) * width + 2 * width
    attention = 3 * (thin + 1) * thin + (width + 1) * thin + 2 * thin
    feed_forward = (thin + 1) * inner + (inner + 1) * thin + 2 * thin
    return bottlenecks + attention + sizes.num_ffn * feed_forward


def _layer_products(sizes: MobileBertSizes, tokens: int) -> int:
    """Multiply-adds of one block over one sequence."""
    width, thin, inner = sizes.hidden_size, sizes.bottleneck_size, sizes.intermediate_size
    bottlenecks = 3 * tokens * width * thin
    attention = tokens * thin * (3 * thin + width) + 2 * tokens * tokens * thin
    return bottlenecks + attention + sizes.num_ffn * 2 * tokens * thin * inner
