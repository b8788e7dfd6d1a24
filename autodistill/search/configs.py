"""Parameters of the built-in search strategies: the only home of their defaults and range checks.

Light: the standard library and autodistill's errors only. The strategies stand beside this file, one each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from autodistill.errors import ConfigError

#: Architectures of a space that is held whole.
MOST_CANDIDATES = 200_000


@dataclass
class RandomConfig:
    """Random search has no parameters."""


@dataclass
class SobolConfig:
    """The Sobol sequence has no parameters."""


@dataclass
class GridConfig:
    """Grid search has no parameters."""


@dataclass
class EvolutionConfig:
    """Parameters of evolution in the manner of NSGA-II (Deb et al. 2002)."""

    initial: int = 8
    """Random architectures before the first child, counted as outcomes; >= 2."""
    population: int = 16
    """Architectures that may become parents, >= 2. Deb et al. take 100, for budgets of 25,000 trials."""
    tournament: int = 2
    """Contestants for the place of one parent, >= 1; Deb et al. take 2."""
    crossover: float = 0.9
    """Probability that a child has two parents, in [0, 1]; as Deb et al."""
    mutations: float = 1.0
    """Expected number of parameters of a child that change, > 0; Deb et al. change each of n with 1/n."""
    ageing: bool = False
    """Whether the youngest architectures become parents instead of the best (Real et al. 2019)."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (("initial", 2), ("population", 2), ("tournament", 1)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"search.{name} must be >= {least}, got {value}.")
        if not 0 <= self.crossover <= 1:
            raise ConfigError(f"search.crossover must be in [0, 1], got {self.crossover}.")
        if not self.mutations > 0:
            raise ConfigError(f"search.mutations must be > 0, got {self.mutations}.")


@dataclass
class BotorchConfig:
    """Parameters of multi-objective Bayesian optimisation."""

    initial: int = 5
    """Space-filling proposals before the first model, in trials that were not infeasible and did not fail; >= 2."""
    max_candidates: int = 100_000
    """Spaces of at most so many architectures are scored whole, larger ones by local search; 1 to 200,000."""
    samples: int = 32
    """Posterior draws of the front, and quasi-Monte-Carlo samples where two objectives must be learnt; >= 16."""
    size_features: bool = True
    """Whether logarithms of parameters, FLOPs and depth are features of the models, with a linear trend."""
    max_replicates: int = 3
    """Runs of one architecture at most; above 1, noisy trials near the front are repeated when that is worth most (only
    where a single objective must be learnt)."""
    warm_start: list[str] = field(default_factory=list)
    """Earlier studies of the same storage to learn from, by name."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (("initial", 2), ("max_candidates", 1), ("samples", 16), ("max_replicates", 1)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"search.{name} must be >= {least}, got {value}.")
        if self.max_candidates > MOST_CANDIDATES:
            raise ConfigError(
                f"search.max_candidates must be <= {MOST_CANDIDATES}, got {self.max_candidates}: larger spaces "
                "are never listed."
            )


@dataclass
class NevergradConfig:
    """Parameters of the evolutionary strategies of Nevergrad."""

    optimizer: str = "TwoPointsDE"
    """Name in Nevergrad's registry of optimisers, e.g. TwoPointsDE, DiscreteOnePlusOne, DE; one that cannot take up a
    history is refused."""

    def __post_init__(self) -> None:
        """Check that a name was given; the strategy compares it with the registry."""
        if not self.optimizer:
            raise ConfigError("search.optimizer must name one of Nevergrad's optimisers, e.g. TwoPointsDE; got ''.")
