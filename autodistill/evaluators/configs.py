"""Parameters of the built-in evaluators: the only home of their defaults and range checks.

Light: the standard library and autodistill's errors only. The evaluators stand beside this file, one each.
"""

from __future__ import annotations

from dataclasses import dataclass

from autodistill.errors import ConfigError


@dataclass
class ClassificationConfig:
    """Scores against reference labels have no parameters."""


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
class SizeConfig:
    """Size has no parameters."""
