"""Ax's default generation strategy as a peer, with the reference point as objective thresholds and the noise told."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from typing import Any

from ax.api.client import Client  # type: ignore[import-not-found, unused-ignore]
from ax.api.configs import ChoiceParameterConfig  # type: ignore[import-not-found, unused-ignore]

from autodistill.components.architecture import Choice
from autodistill.components.search import Parameter
from benchmarks.search.problems import Problem


class AxDefault:
    """An Ax client in memory.

    Args:
        problem: gives the parameters and the reference point.
        seed: of the client.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        for name in [name for name in logging.root.manager.loggerDict if name.startswith("ax")]:
            logging.getLogger(name).setLevel(logging.ERROR)  # each has a level of its own
        self.types = {item.name: type(item.values[0]) for item in problem.space.parameters}
        accuracy, latency = problem.reference
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.client: Any = Client(random_seed=seed)
            self.client.configure_experiment(parameters=[_parameter(item) for item in problem.space.parameters])
            self.client.configure_optimization(
                objective="accuracy, -log_latency",
                outcome_constraints=[f"accuracy >= {accuracy}", f"log_latency <= {math.log(latency)}"],
            )
        self.trial = -1

    def ask(self) -> Mapping[str, Choice]:
        """The client's next trial."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ((self.trial, choices),) = self.client.get_next_trials(max_trials=1).items()
        return {name: self.types[name](value) for name, value in choices.items()}

    def tell(self, accuracy: float, variance: float, latency: float) -> None:
        """Both metrics with their standard errors."""
        data = {"accuracy": (accuracy, math.sqrt(variance)), "log_latency": (math.log(latency), 0.0)}
        self.client.complete_trial(trial_index=self.trial, raw_data=data)

    def skip(self) -> None:
        """An abandoned trial, which Ax does not propose again."""
        self.client.mark_trial_abandoned(trial_index=self.trial)

    def replace(self, choices: Mapping[str, Choice]) -> None:
        """Ax's own way to hand in a proposal."""
        self.trial = self.client.attach_trial(parameters=dict(choices))


def _parameter(parameter: Parameter) -> ChoiceParameterConfig:
    kinds = {bool: "bool", int: "int", float: "float", str: "str"}
    return ChoiceParameterConfig(
        name=parameter.name,
        values=list(parameter.values),
        parameter_type=kinds[type(parameter.values[0])],
        is_ordered=parameter.type != "categorical",
    )
