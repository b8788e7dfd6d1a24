"""Everything that is compared, by name: our strategies from the registry, and the peers at their best setting.

A searcher says what to try next, given the history of the search. Our strategies are written
``NAME[:PARAMETER=VALUE,...]``, e.g. ``botorch``, ``nevergrad:optimizer=DE`` or ``botorch:known=false``. The
benchmark's own switches are ``known`` (``true``; ``sizes``: latency is measured before training; ``false``: nothing is
known or measured before) and ``warm`` (``related`` or
``unrelated``, see `benchmarks.search.earlier`). Peers are written ``optuna_tpe`` or, with every duplicate paid for as
in plain use, ``optuna_tpe:distinct=false``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.search import History, Proposal
from autodistill.registry import default_registry
from benchmarks.search.earlier import earlier_study
from benchmarks.search.problems import ACCURACY, LATENCY, Problem

#: What one run compares unless told otherwise.
OURS = (
    "botorch",
    "botorch:known=sizes",
    "evolution",
    "nevergrad:optimizer=DE",
    "nevergrad:optimizer=TwoPointsDE",
    "nevergrad:optimizer=DiscreteOnePlusOne",
    "grid",
    "sobol",
    "random",
)
PEERS = ("optuna_tpe", "optuna_nsga2", "optuna_gp", "ax", "qlognehvi")

ABLATIONS = (
    "botorch:max_replicates=1",
    "optuna_tpe:distinct=false",
    "optuna_nsga2:distinct=false",
)
#: Of the ablations those that the committed results have, each on one problem: the first three on `blocks`, the others
#: on `table_bert`.
VARIANTS = (
    "botorch:size_features=false",
    "botorch:warm=related",
    "botorch:warm=unrelated",
    "botorch:known=false",
    "botorch:known=false,max_replicates=1",
)
GROUPS = {"ours": OURS, "peers": PEERS, "ablations": ABLATIONS, "variants": VARIANTS}

#: Peer -> ``module:Class``; imported on use, since only these need packages that the project does not.
PEER_CLASSES = {
    "optuna_tpe": "benchmarks.search.peers_optuna:TPE",
    "optuna_nsga2": "benchmarks.search.peers_optuna:NSGA2",
    "optuna_gp": "benchmarks.search.peers_optuna:GP",
    "ax": "benchmarks.search.peers_ax:AxDefault",
}

#: Times that a peer is asked again when it proposes what it has tried or what breaks a rule.
REASKS = 20


class Searcher(Protocol):
    """One search."""

    def next(self, history: History) -> Proposal:
        """What to try next; called once per trial with all results so far.

        Raises:
            SpaceExhaustedError: nothing is left.
        """
        ...


class Peer(Protocol):
    """A stateful optimiser of (accuracy up, logarithm of the latency down); built as ``Class(problem, seed)``."""

    def ask(self) -> Mapping[str, Choice]:
        """A proposal; it is then told, skipped or replaced."""
        ...

    def tell(self, accuracy: float, variance: float, latency: float) -> None:
        """The result of the proposal that was made last; latency in milliseconds."""
        ...

    def skip(self) -> None:
        """The proposal that was made last is not evaluated."""
        ...

    def replace(self, choices: Mapping[str, Choice]) -> None:
        """Take these choices as the proposal made last, instead of an ask."""
        ...


@dataclass(frozen=True)
class Named:
    """A searcher's name taken apart."""

    name: str
    parameters: Mapping[str, Any]
    switches: Mapping[str, Any]


#: What the benchmark itself understands in a name.
SWITCHES: Mapping[str, Any] = {"known": True, "distinct": True, "warm": None}


def parse(text: str) -> Named:
    """Take ``NAME[:KEY=VALUE,...]`` apart; values are JSON, or text where they are not."""
    name, _, rest = text.partition(":")
    given = dict(item.split("=", 1) for item in rest.split(",") if item)
    parameters = {key: _value(value) for key, value in given.items() if key not in SWITCHES}
    switches = {key: _value(given[key]) if key in given else default for key, default in SWITCHES.items()}
    return Named(name, parameters, switches)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def make_searcher(text: str, problem: Problem, seed: int, factors: Mapping[str, float] | None = None) -> Searcher:
    """Build a searcher by its name.

    Args:
        text: see the module.
        problem: what is searched.
        seed: the only source of randomness.
        factors: metric -> factor on what is known of it.
    """
    named = parse(text)
    if named.name == "qlognehvi":
        modelled: Searcher = _imported("benchmarks.search.peers_botorch:EverythingModelled")(problem, seed)
        return modelled
    if named.name in PEER_CLASSES:
        return PeerSearch(_imported(PEER_CLASSES[named.name])(problem, seed), problem, seed, named.switches["distinct"])
    return OurSearch(problem, seed, named, factors)


def expand(texts: Sequence[str]) -> list[str]:
    """Replace the names of `GROUPS` by their members; nothing twice."""
    return list(dict.fromkeys(name for text in texts for name in GROUPS.get(text, (text,))))


def _imported(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


class OurSearch:
    """A strategy of the registry with its default parameters, but for those in its name."""

    def __init__(self, problem: Problem, seed: int, named: Named, factors: Mapping[str, float] | None) -> None:
        registry, warm = default_registry(), named.switches["warm"]
        chosen = {**named.parameters, **({"warm_start": [warm]} if warm else {})}
        config = registry.get("search", named.name).spec.config(**chosen)
        earlier = [earlier_study(problem, warm, seed)] if warm else []
        context = problem.context(seed, known=named.switches["known"], factors=factors, earlier=earlier)
        self.strategy = registry.create("search", named.name, vars(config), context)

    def next(self, history: History) -> Proposal:
        """The strategy's next proposal."""
        proposal: Proposal = self.strategy.propose(history, 1)[0]
        return proposal


class PeerSearch:
    """A peer, asked again for what it has tried or what breaks a rule; it then gets a random fresh architecture.

    Args:
        peer: the optimiser.
        problem: what is searched.
        seed: for the random ones.
        distinct: whether it is asked again at all; else a duplicate costs a trial, as it does in plain use.
    """

    def __init__(self, peer: Peer, problem: Problem, seed: int, distinct: bool) -> None:
        self.peer, self.problem, self.distinct = peer, problem, distinct
        self.random = OurSearch(problem, seed, Named("random", {}, SWITCHES), None)
        self.asked = False

    def next(self, history: History) -> Proposal:
        """Tell the last result, ask for the next architecture."""
        if self.asked:
            accuracy, latency = (float(history.metrics[item.metric][-1]) for item in (ACCURACY, LATENCY))
            self.peer.tell(accuracy, float(history.variances[ACCURACY.metric][-1]), latency)
        self.asked = True
        tried = set(history.architectures)
        for _ in range(1 + REASKS):
            asked = self.peer.ask()
            architecture = self.problem.nearest(asked)
            if architecture is not None and not (self.distinct and architecture in tried):
                if self.problem.moves and dict(asked) != dict(architecture.choices):
                    # It is told of what was tried, not that what it asked for is as good.
                    self.peer.skip()
                    self.peer.replace(architecture.choices)
                return Proposal(architecture, replicate=architecture in tried)
            self.peer.skip()
        return self._fresh(history)

    def _fresh(self, history: History) -> Proposal:
        architecture: Architecture = self.random.next(history).architecture
        self.peer.replace(architecture.choices)
        return Proposal(architecture)
