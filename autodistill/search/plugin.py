"""Registers the built-in search strategies."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.search.configs import (
    BotorchConfig,
    EvolutionConfig,
    GridConfig,
    NevergradConfig,
    RandomConfig,
    SobolConfig,
)


@hookimpl
def autodistill_search_strategies() -> list[ComponentSpec]:
    """Return the built-in search strategies."""
    return [
        ComponentSpec(
            name="botorch",
            target="autodistill.search.botorch:BotorchSearch",
            config=BotorchConfig,
            summary="Bayesian optimisation of the expected hypervolume; models only what is not known; the default.",
        ),
        ComponentSpec(
            name="evolution",
            target="autodistill.search.evolution:EvolutionSearch",
            config=EvolutionConfig,
            summary="Evolution in the manner of NSGA-II: tournament, crossover, mutation; ageing if wanted.",
        ),
        ComponentSpec(
            name="grid",
            target="autodistill.search.grid:GridSearch",
            config=GridConfig,
            summary="The whole space in a fixed order from coarse to fine, useful when cut short.",
        ),
        ComponentSpec(
            name="nevergrad",
            target="autodistill.search.nevergrad:NevergradSearch",
            config=NevergradConfig,
            summary="An optimiser of Nevergrad by name, e.g. differential evolution.",
        ),
        ComponentSpec(
            name="random",
            target="autodistill.search.random:RandomSearch",
            config=RandomConfig,
            summary="Uniform over the feasible architectures, without repeats.",
        ),
        ComponentSpec(
            name="sobol",
            target="autodistill.search.sobol:SobolSearch",
            config=SobolConfig,
            summary="Scrambled Sobol sequence: spreads evenly over the space, without repeats.",
        ),
    ]
