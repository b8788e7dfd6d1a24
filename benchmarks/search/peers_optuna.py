"""Optuna's samplers as peers: ordered choices as integers (their ranks), unordered ones as categories.

Settings, chosen for few trials on discrete spaces: multivariate TPE (no conditions here, so no groups; one trial at a
time, so no liar), NSGA-II with a population that 80 trials let evolve, the GP sampler told whether there is noise.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import optuna  # type: ignore[import-not-found, unused-ignore]

from autodistill.components.architecture import Choice
from benchmarks.search.problems import Problem

#: NSGA-II: five generations within 80 trials; Optuna's default of 50 would be random search for most of them.
POPULATION = 16


class OptunaPeer:
    """A study in memory.

    Args:
        problem: gives the parameters.
        sampler: proposes.
    """

    def __init__(self, problem: Problem, sampler: optuna.samplers.BaseSampler) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.parameters = problem.space.parameters
        self.study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self.trial: Any = None
        self.given: dict[str, Any] = {}

    def ask(self) -> Mapping[str, Choice]:
        """The sampler's choices."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.trial = self.study.ask()
            return {item.name: self._choice(item) for item in self.parameters}

    def _choice(self, parameter: Any) -> Choice:
        if parameter.type == "categorical":
            found: Choice = self.trial.suggest_categorical(parameter.name, parameter.values)
            return found
        last = len(parameter.values) - 1
        value: Choice = parameter.values[self.trial.suggest_int(parameter.name, 0, last)]
        return value

    def tell(self, accuracy: float, variance: float, latency: float) -> None:
        """Both values; Optuna takes no variance."""
        values = [accuracy, math.log(latency)]
        if self.trial is not None:
            self.study.tell(self.trial, values)
        else:
            self.study.add_trial(
                optuna.trial.create_trial(params=self.given, distributions=self.distributions, values=values)
            )

    def skip(self) -> None:
        """A failed trial, which samplers leave out."""
        self.study.tell(self.trial, state=optuna.trial.TrialState.FAIL)

    def replace(self, choices: Mapping[str, Choice]) -> None:
        """Added as a finished trial when its result is told."""
        self.trial, self.given = None, self._suggestible(choices)

    def _suggestible(self, choices: Mapping[str, Choice]) -> dict[str, Any]:
        ranks = {item.name: list(item.values).index(choices[item.name]) for item in self.parameters}
        return {
            item.name: choices[item.name] if item.type == "categorical" else ranks[item.name]
            for item in self.parameters
        }

    @property
    def distributions(self) -> dict[str, optuna.distributions.BaseDistribution]:
        """As the trials suggest them."""
        return {
            item.name: optuna.distributions.CategoricalDistribution(item.values)
            if item.type == "categorical"
            else optuna.distributions.IntDistribution(0, len(item.values) - 1)
            for item in self.parameters
        }


class TPE(OptunaPeer):
    """Multivariate TPE."""

    def __init__(self, problem: Problem, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False)
        super().__init__(problem, sampler)


class NSGA2(OptunaPeer):
    """NSGA-II."""

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION))

    def replace(self, choices: Mapping[str, Choice]) -> None:
        """Enqueued: only a trial that the sampler has seen begin belongs to a generation."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.study.enqueue_trial(self._suggestible(choices))
        self.ask()


class GP(OptunaPeer):
    """Gaussian processes and the logarithm of the expected hypervolume improvement."""

    def __init__(self, problem: Problem, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exact = problem.observe(problem.space.sample(1, 0)[0], 0, 0)[1] == 0.0
            sampler = optuna.samplers.GPSampler(seed=seed, deterministic_objective=exact)
        super().__init__(problem, sampler)
