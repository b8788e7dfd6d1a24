"""Parameters of the built-in evaluators: the only home of their defaults and range checks.

Light: the standard library and autodistill's errors only. The evaluators stand beside this file, one each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autodistill.errors import ConfigError


@dataclass
class ClassificationConfig:
    """Scores against reference labels have no parameters."""


@dataclass
class TokenClassificationConfig:
    """Scores of words against reference labels have no parameters."""


@dataclass
class RegressionConfig:
    """Scores against reference values have no parameters."""


@dataclass
class AgreementConfig:
    """Parameters of the agreement with the teacher."""

    min_class_examples: int = 10
    """Classes that the teacher answers less often than this are left out of ``worst_class``; >= 1."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.min_class_examples < 1:
            raise ConfigError(f"evaluator.agreement.min_class_examples must be >= 1, got {self.min_class_examples}.")


@dataclass
class GlueConfig:
    """The official metrics have no parameters."""


@dataclass
class SquadConfig:
    """Parameters of the decoding of answers."""

    null_threshold: float = 0.0
    """Where questions may be unanswerable: how much "no answer" must score above the best span; any number."""

    def __post_init__(self) -> None:
        """Check the range."""
        if not math.isfinite(self.null_threshold):
            raise ConfigError(f"evaluator.squad.null_threshold must be a finite number, got {self.null_threshold}.")


@dataclass
class MlmConfig:
    """Scores of masked tokens have no parameters."""


@dataclass
class EmbeddingConfig:
    """Parameters of the comparison of embeddings."""

    neighbours: int = 10
    """Nearest texts of each text that are compared; >= 1."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.neighbours < 1:
            raise ConfigError(f"evaluator.embedding.neighbours must be >= 1, got {self.neighbours}.")


@dataclass
class SizeConfig:
    """Size has no parameters."""
