"""A plugin in one file: a search strategy of your own, registered in this process and chosen by name.

    python examples/03_one_file_plugin.py                  # the quickstart's task, searched by `local`
    python examples/03_one_file_plugin.py search.initial=5 budget.trials=8

Nothing is installed. `plugins/README.md` shows how the same file becomes a package that `autodistill plugins` lists.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

import autodistill
from autodistill import ComponentSpec, hookimpl
from autodistill.components.search import History, Proposal, SearchContext
from autodistill.errors import ConfigError
from autodistill.plugin_manager import PluginManager, Provider
from autodistill.registry import Registry
from autodistill.search.candidates import Candidates, generator


@dataclass
class LocalConfig:
    """Parameters of ``local``."""

    initial: int = 2
    """Random architectures before the first step, >= 1."""

    def __post_init__(self) -> None:
        if self.initial < 1:
            raise ConfigError(f"search.initial must be >= 1, got {self.initial}.")


class Local:
    """Local search: one step away from the trial that is best in the first objective.

    Args:
        context: space, objectives, constraints, known metrics and seed.
        initial: random architectures before the first step.
    """

    def __init__(self, context: SearchContext, *, initial: int) -> None:
        self.context, self.initial = context, initial
        self.candidates = Candidates(context)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to ``n`` architectures; a pure function of context and history."""
        steps = self.candidates.fresh(self._neighbours_of_the_best(history), history)
        rng = generator(self.context, history)
        order = rng.permutation(len(steps))
        chosen = [steps[int(index)] for index in order] or self.candidates.draw(history, n, rng)
        return [Proposal(architecture) for architecture in chosen[:n]]

    def _neighbours_of_the_best(self, history: History) -> list[autodistill.Architecture]:
        objective = self.context.objectives[0]
        values = history.metrics.get(objective.metric, np.full(len(history), np.nan))
        values = np.where(history.in_space, values, np.nan)
        if len(history) < self.initial or not np.isfinite(values).any():
            return []
        best = np.nanargmax(values) if objective.direction == "maximize" else np.nanargmin(values)
        return self.context.space.neighbours(history.architectures[int(best)])


class LocalPlugin:
    """Any object with hooks is a plugin; a module with hook functions is another."""

    @hookimpl
    def autodistill_search_strategies(self) -> list[ComponentSpec]:
        """Register the strategy."""
        return [ComponentSpec("local", f"{__name__}:Local", LocalConfig, "One step from the best architecture.")]

    @hookimpl
    def autodistill_after_trial_run(self, trial: int, run: str, state: str) -> None:
        """Observe: called after a run's result was committed."""
        print(f"trial {trial} ({run}): {state}")


def main(arguments: list[str]) -> None:
    """Register the plugin, search with it and print what it proposed."""
    manager = PluginManager()
    manager.load_builtins()
    manager.register(LocalPlugin(), Provider("example", "0", "local"))
    registry = Registry(manager)
    overrides = ["experiment=quickstart", "search=local", "study.name=local", *arguments]
    settings = autodistill.compose(overrides, registry)
    study = autodistill.run(settings, overrides=overrides, registry=registry, explore_only=True)
    for architecture, state in zip(study.history().architectures, study.history().states, strict=True):
        print(f"{state}: {architecture}")


if __name__ == "__main__":
    main(sys.argv[1:])
