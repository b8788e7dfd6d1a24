"""Parameters of the built-in search strategies: the only home of their defaults and range checks.

Light: the standard library and autodistill's errors only. The strategies stand beside this file, one each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from autodistill.errors import ConfigError


@dataclass
class RandomConfig:
    """Random search has no parameters."""


@dataclass
class SobolConfig:
    """The Sobol sequence has no parameters."""


@dataclass
class BotorchConfig:
    """Parameters of multi-objective Bayesian optimisation."""

    initial: int = 5
    """Space-filling proposals before the first model, in trials that were feasible; >= 2."""
    max_candidates: int = 100_000
    """Spaces of at most so many architectures are scored whole, larger ones by local search; >= 1."""
    samples: int = 32
    """Posterior draws of the front, and quasi-Monte-Carlo samples where two objectives must be learnt; >= 16."""
    size_features: bool = True
    """Whether logarithms of parameters, FLOPs and depth are features of the models, with a linear trend."""
    max_replicates: int = 3
    """Runs of one architecture at most; above 1, noisy trials near the front are repeated when that is worth most."""
    warm_start: list[str] = field(default_factory=list)
    """Earlier studies of the same storage to learn from, by name."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (("initial", 2), ("max_candidates", 1), ("samples", 16), ("max_replicates", 1)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"search.botorch.{name} must be >= {least}, got {value}.")


@dataclass
class NevergradConfig:
    """Parameters of the evolutionary strategies of Nevergrad."""

    optimizer: str = "DE"
    """Name in Nevergrad's registry of optimisers, e.g. DE, DiscreteOnePlusOne, NGOpt."""

    def __post_init__(self) -> None:
        """Check that a name was given; the strategy compares it with the registry."""
        if not self.optimizer:
            raise ConfigError("search.nevergrad.optimizer must name one of Nevergrad's optimisers, e.g. DE; got ''.")
