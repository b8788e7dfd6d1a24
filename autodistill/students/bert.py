"""The student family ``bert``: stock transformers BERT models of any depth, width, heads and feed-forward width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import transformers
from transformers import BertConfig, PreTrainedModel
from transformers.activations import ACT2FN

from autodistill.components.architecture import Architecture
from autodistill.components.students import Dimensions, Initialisation, Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.components.training import FEATURES, Batch
from autodistill.errors import ConfigError, did_you_mean
from autodistill.students.choices import integer_choices
from autodistill.students.embeddings import initialise_word_embeddings
from autodistill.students.heads import head_of, head_width, label_fields
from autodistill.students.importance import importance_of
from autodistill.students.initialisation import initialise_bert, tensor_groups
from autodistill.students.layers import layer_map
from autodistill.students.learning_rate import lr_factor

CHOICES = ("num_layers", "hidden_size", "num_heads", "intermediate_size")


@dataclass(frozen=True, slots=True)
class BertSizes:
    """The choices of a `bert` architecture, checked."""

    num_layers: int
    hidden_size: int
    num_heads: int
    intermediate_size: int


class BertFamily:
    """Post-norm BERT encoders (Devlin et al. 2019) with one head per task.

    Args:
        space: search space over `CHOICES`; read by the engine.
        rules: label -> expression that must hold; read by the engine.
        initialisation: what students start from, ``"teacher"`` or ``"random"`` weights.
        layer_selection: which teacher layers a shallower student starts from.
        importance: how heads and feed-forward units are ranked when a student has fewer.
        activation: of the feed-forward networks.
        dropout: while training, in [0, 1). Students are smaller than the data deserves and learn from soft targets,
            so the default is none.

    Raises:
        ConfigError: transformers has no such activation.
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
        activation: str,
        dropout: float,
    ) -> None:
        if activation not in ACT2FN:
            raise ConfigError(
                f"student.activation must be a name that transformers knows, got {activation!r}."
                f"{did_you_mean(activation, ACT2FN)} It knows: {', '.join(sorted(ACT2FN))}."
            )
        self.space = space
        self.rules = rules
        self.initialisation = initialisation
        self.layer_selection = layer_selection
        self.importance = importance
        self.activation = activation
        self.dropout = dropout

    def validate(self, architecture: Architecture) -> None:
        """Raise `ConfigError` when no model can be built from these choices."""
        self._sizes(architecture)

    def build(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary) -> PreTrainedModel:
        """A stock BERT model with random weights from torch's global generator, eval mode, float32, CPU."""
        sizes, head = self._sizes(architecture), head_of(task)
        config = BertConfig(
            num_hidden_layers=sizes.num_layers,
            hidden_size=sizes.hidden_size,
            num_attention_heads=sizes.num_heads,
            intermediate_size=sizes.intermediate_size,
            hidden_act=self.activation,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            vocab_size=vocabulary.size,
            max_position_embeddings=vocabulary.max_positions,
            type_vocab_size=vocabulary.type_size,
            pad_token_id=vocabulary.pad_token_id,
            attn_implementation="sdpa",
            **label_fields(task),
        )
        return getattr(transformers, f"Bert{head.suffix}")(config).eval()

    def parameters(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary) -> int:
        """Number of parameters, tied ones once."""
        sizes, head = self._sizes(architecture), head_of(task)
        width, inner = sizes.hidden_size, sizes.intermediate_size
        embeddings = (vocabulary.size + vocabulary.max_positions + vocabulary.type_size + 2) * width
        layer = 4 * (width + 1) * width + (width + 1) * inner + (inner + 1) * width + 4 * width
        pooler = (width + 1) * width if head.pooled else 0
        top = (width + 1) * head_width(task)
        if task.kind == "mlm":
            top = (width + 1) * width + 2 * width + vocabulary.size
        return embeddings + sizes.num_layers * layer + pooler + top

    def flops(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary, tokens: int) -> int:
        """Floating-point operations of the matrix products of one forward pass over one sequence of ``tokens``."""
        sizes, head = self._sizes(architecture), head_of(task)
        width, inner = sizes.hidden_size, sizes.intermediate_size
        layer = tokens * (4 * width * width + 2 * width * inner) + 2 * tokens * tokens * width
        pooler = width * width if head.pooled else 0
        top = width * head_width(task) * (1 if head.pooled else tokens)
        if task.kind == "mlm":
            top = tokens * width * (width + vocabulary.size)
        return 2 * (sizes.num_layers * layer + pooler + top)

    def dimensions(self, architecture: Architecture, task: TaskSpec) -> Dimensions:
        """Sizes of the architecture; ``classes`` is 0 where logits are over the vocabulary or absent."""
        sizes = self._sizes(architecture)
        return Dimensions(sizes.num_layers, sizes.hidden_size, sizes.num_heads, head_width(task))

    def lr_factor(self, architecture: Architecture) -> float:
        """1 for 6 layers of width 384, the geometry of MiniLM-L6-H384; see `autodistill.students.learning_rate`."""
        sizes = self._sizes(architecture)
        return lr_factor(width=sizes.hidden_size, depth=sizes.num_layers, reference_width=384, reference_depth=6)

    def initialise(
        self, student: PreTrainedModel, teacher: PreTrainedModel, examples: Sequence[Batch] = ()
    ) -> Initialisation:
        """Start from a BERT teacher by choosing layers, channels, heads and units; from others by word embeddings."""
        if self.initialisation == "random":
            return Initialisation(dict.fromkeys(tensor_groups(student), "random"))
        if teacher.config.model_type != "bert":
            return initialise_word_embeddings(student, teacher, tensor_groups(student))
        layers = layer_map(student.config.num_hidden_layers, teacher.config.num_hidden_layers, self.layer_selection)
        text = examples if self.importance == "activations" else ()
        return initialise_bert(student, teacher, layers, importance_of(teacher.base_model, text))

    def architecture_of(self, model: PreTrainedModel) -> Architecture | None:
        """The architecture of a stock BERT encoder, or None."""
        config = model.config
        if config.model_type != "bert" or config.is_decoder:
            return None
        sizes = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size)
        return Architecture("bert", dict(zip(CHOICES, sizes, strict=True)))

    def _sizes(self, architecture: Architecture) -> BertSizes:
        sizes = BertSizes(**integer_choices(architecture, "bert", CHOICES))
        if sizes.hidden_size % sizes.num_heads:
            raise ConfigError(
                f"num_heads must divide hidden_size, got {sizes.num_heads} and {sizes.hidden_size} in {architecture}."
            )
        return sizes
