"""Parameters of the built-in student families, their default spaces and range checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from autodistill.errors import ConfigError, did_you_mean

#: How student layers take their weights from teacher layers; see `autodistill.students.layers`.
LAYER_SELECTIONS = ("uniform", "first", "last", "ends")

#: What students start from.
INITIALISATIONS = ("teacher", "random")

#: How heads and feed-forward units are ranked; see `autodistill.students.importance`.
IMPORTANCES = ("activations", "weights")

#: Width of MobileBERT's word embedding, fixed as in the paper (arXiv 2004.02984).
MOBILEBERT_EMBEDDING_SIZE = 128


@dataclass
class BertFamilyConfig:
    """Parameters of the student family ``bert``."""

    space: dict[str, Any] = field(
        default_factory=lambda: {
            "num_layers": [2, 3, 4, 5, 6],
            "hidden_size": [128, 192, 256, 384],
            "num_heads": [2, 4, 6, 12],
            "intermediate_size": [256, 512, 768, 1024, 1536],
        }
    )
    """Search space: name -> list of ordinal choices, or a mapping with ``type``."""
    rules: dict[str, str | None] = field(default_factory=lambda: {"heads_divide_width": "hidden_size % num_heads == 0"})
    """Label -> expression over the names of the space that every architecture must satisfy."""
    initialisation: str = "teacher"
    """What students start from: the teacher, or random weights, which shows what starting from the teacher gains."""
    layer_selection: str = "uniform"
    """Which teacher layers a shallower student starts from: uniform, first, last or ends (both ends alternately)."""
    importance: str = "activations"
    """What narrower students keep of heads and feed-forward units: activations (on training text) or weights."""
    activation: str = "gelu"
    """Activation of the feed-forward networks, a name that transformers knows; the teacher's, to start from it."""
    dropout: float = 0.0
    """Dropout of hidden states and attentions while training, in [0, 1)."""

    def __post_init__(self) -> None:
        _check_choice("student.initialisation", self.initialisation, INITIALISATIONS)
        _check_choice("student.layer_selection", self.layer_selection, LAYER_SELECTIONS)
        _check_choice("student.importance", self.importance, IMPORTANCES)
        _check_dropout("student.dropout", self.dropout)


@dataclass
class MobileBertFamilyConfig:
    """Parameters of the student family ``mobilebert``."""

    space: dict[str, Any] = field(
        default_factory=lambda: {
            "num_layers": [6, 12, 18, 24],
            "hidden_size": [256, 384, 512],
            "bottleneck_size": [64, 96, 128, 160],
            "num_heads": [1, 2, 4, 8],
            "intermediate_size": [384, 512, 640],
            "num_ffn": [2, 4, 6],
        }
    )
    """Search space: name -> list of ordinal choices, or a mapping with ``type``."""
    rules: dict[str, str | None] = field(
        default_factory=lambda: {
            "heads_divide_bottleneck": "bottleneck_size % num_heads == 0",
            "wider_than_embedding": f"hidden_size > {MOBILEBERT_EMBEDDING_SIZE}",
        }
    )
    """Label -> expression over the names of the space that every architecture must satisfy."""
    initialisation: str = "teacher"
    """What students start from: the teacher, or random weights, which shows what starting from the teacher gains."""
    layer_selection: str = "uniform"
    """Which layers of a MobileBERT teacher a shallower student starts from: uniform, first, last or ends."""
    importance: str = "activations"
    """Which feed-forward units of a MobileBERT teacher are kept: activations (on training text) or weights."""
    dropout: float = 0.0
    """Dropout of hidden states and attentions while training, in [0, 1)."""

    def __post_init__(self) -> None:
        _check_choice("student.initialisation", self.initialisation, INITIALISATIONS)
        _check_choice("student.layer_selection", self.layer_selection, LAYER_SELECTIONS)
        _check_choice("student.importance", self.importance, IMPORTANCES)
        _check_dropout("student.dropout", self.dropout)


def _check_choice(where: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{where} must be one of {', '.join(choices)}, got {value!r}.{did_you_mean(value, choices)}")


def _check_dropout(where: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{where} must be >= 0 and < 1, got {value}.")
