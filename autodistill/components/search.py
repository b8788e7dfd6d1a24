"""Search: the contract between the engine and a search strategy.

A strategy is a pure function of (space, objectives, constraints, known metrics, history, seed): it keeps no hidden
state. A proposal may carry a small JSON note; the engine stores it with the trial and returns it in the history. An
instance may memoise, as long as a fresh instance gives the same answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.training import RungReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]
    IntArray: TypeAlias = NDArray[np.int64]

Direction: TypeAlias = Literal["maximize", "minimize"]

#: States of a trial as a history shows them.
TRIAL_STATES = ("pending", "complete", "stopped", "infeasible", "failed")


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric with a direction. ``metric`` is ``"<label>.<metric>"``, e.g. ``"onnxruntime.p50_ms"``."""

    label: str
    metric: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Constraint:
    """A metric with a bound; ``sense`` is ``"<="`` or ``">="``, ``bound`` has the metric's unit."""

    label: str
    metric: str
    sense: Literal["<=", ">="]
    bound: float

    def holds(self, value: float) -> bool:
        """Whether ``value`` satisfies the constraint; NaN does not."""
        return value <= self.bound if self.sense == "<=" else value >= self.bound


@dataclass(frozen=True, slots=True)
class Parameter:
    """One dimension of a search space, already discretised.

    Args:
        name: what architectures call it.
        type: ``"ordinal"`` (ordered values), ``"categorical"``, ``"integer"`` or ``"log_integer"``.
        values: every value it may take, in order.
    """

    name: str
    type: Literal["ordinal", "categorical", "integer", "log_integer"]
    values: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class SizeEstimate:
    """How many architectures a space has.

    Args:
        value: the number, or an unbiased estimate of it.
        standard_error: of the estimate; 0 when the number is exact.
    """

    value: int
    standard_error: int = 0

    @property
    def exact(self) -> bool:
        """Whether the number was counted."""
        return self.standard_error == 0

    def __str__(self) -> str:
        """For people, e.g. ``1,234`` or ``about 3.2e+9 (standard error 1.1e+8)``."""
        if self.exact:
            return f"{self.value:,}" if self.value < 10**9 else f"{Decimal(self.value):.3g}"
        return f"about {Decimal(self.value):.3g} (standard error {Decimal(self.standard_error):.2g})"


class SearchSpace(Protocol):
    """The feasible architectures of one family; implemented by `autodistill.engine.space`."""

    @property
    def family(self) -> str:
        """Registry name of the student family."""
        ...

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The dimensions, in a fixed order."""
        ...

    @property
    def derived(self) -> Collection[str]:
        """Names of the choices that are worked out from parameters: part of every architecture, but no dimension."""
        ...

    @property
    def size(self) -> int | None:
        """Exact number of feasible architectures, or None when there are too many to enumerate."""
        ...

    @property
    def estimated_size(self) -> SizeEstimate:
        """Number of feasible architectures: exact where it can be counted, else an estimate with its error."""
        ...

    def __contains__(self, architecture: object) -> bool:
        """Whether the architecture lies in the space and satisfies its rules."""
        ...

    def enumerate(self) -> Sequence[Architecture]:
        """Every feasible architecture in a fixed order; only when `size` is not None.

        The sequence and its slices are lazy; `ranks` and `encode` take them whole without making an architecture.
        """
        ...

    def sample(self, n: int, seed: int) -> list[Architecture]:
        """``n`` feasible architectures, independent and uniform over the feasible set (repeats possible)."""
        ...

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """``n x len(parameters)`` in [0, 1]: the rank of each value (out-of-space values are clipped)."""
        ...

    def ranks(self, architectures: Sequence[Architecture]) -> IntArray:
        """``n x len(parameters)``: which of the parameter's values each has; -1 for another value or none."""
        ...

    def complete(self, choices: Sequence[Mapping[str, Choice]]) -> list[Architecture | None]:
        """The architectures with these choices of parameters, or None for each that is not feasible.

        This is how a strategy makes architectures: parameters that do not matter get their defaults and derived
        values are worked out, whatever is given for them, if anything is.
        """
        ...

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Feasible architectures that differ in one parameter by one step (any other value if categorical).

        Parameters that cease to matter by the step get their default, those that begin to matter have any value.
        """
        ...


class Known(Protocol):
    """Metrics that are known before training, for any architecture, proposed or not."""

    @property
    def metrics(self) -> frozenset[str]:
        """Names of the metrics it answers, e.g. ``{"size.parameters"}``."""
        ...

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
        """Metric -> (values, variances), each of length ``n``; variance 0 means exact."""
        ...


@dataclass(frozen=True)
class History:
    """What a study has seen, read-only and columnar; row = trial, ordered by ask.

    Args:
        architectures: one per trial; out-of-space points (baselines, hand-made trials) included.
        replicates: 0 for the first trial of an architecture, 1 for the next, ...
        states: one of `TRIAL_STATES` per trial.
        in_space: whether the architecture lies in the study's space.
        metrics: metric name -> value per trial on the select split at flash fidelity; NaN where there is none. Scores
            are those of *complete* flash runs only: a stopped trial was scored early, and has nothing here but what
            was known of it before training.
        variances: metric name -> variance of that observation; NaN where unknown.
        told: per trial the position in the order of tells, -1 while pending.
        notes: the note that the proposal carried, or None.
        curves: per trial its scores at the pruner's rungs, in their order, stopped and failed trials included; empty
            as a whole where nobody recorded them. All that is seen of the quality of a stopped trial; what it would
            have reached is predicted by `autodistill.pruners.ends.expected_ends`.
    """

    architectures: tuple[Architecture, ...] = ()
    replicates: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    in_space: tuple[bool, ...] = ()
    metrics: Mapping[str, FloatArray] = field(default_factory=dict)
    variances: Mapping[str, FloatArray] = field(default_factory=dict)
    told: tuple[int, ...] = ()
    notes: tuple[Mapping[str, Any] | None, ...] = ()
    curves: tuple[tuple[RungReport, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.architectures)

    def take(self, rows: Sequence[int]) -> History:
        """The history of some of its trials, in the order of ``rows``."""
        chosen = list(rows)

        def of(column: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(column[row] for row in chosen) if column else ()

        return History(
            architectures=of(self.architectures),
            replicates=of(self.replicates),
            states=of(self.states),
            in_space=of(self.in_space),
            metrics={name: column[chosen] for name, column in self.metrics.items()},
            variances={name: column[chosen] for name, column in self.variances.items()},
            told=of(self.told),
            notes=of(self.notes),
            curves=of(self.curves),
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """An architecture to try next.

    Args:
        architecture: must lie in the space.
        replicate: true to ask for another replicate of an architecture that the history holds already; else a
            proposal that the history holds is a contract violation.
        note: small JSON-able mapping, stored with the trial and returned in the history.
    """

    architecture: Architecture
    replicate: bool = False
    note: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class EarlierStudy:
    """A finished or running study that a new one may learn from, read-only.

    Args:
        name: its name.
        space: its own search space.
        history: what it has seen.
    """

    name: str
    space: SearchSpace
    history: History


@dataclass(frozen=True)
class SearchContext:
    """What a search strategy is built from.

    Args:
        space: the feasible architectures.
        objectives: at least one.
        constraints: bounds on metrics; those on known metrics are checked by the engine before training.
        known: metrics known before training.
        seed: the only source of randomness.
        reference: metric of an objective -> the value, in the metric's unit, against which the study reports its
            hypervolume; empty where none is fixed. A strategy may use a reference point of its own.
        earlier: studies to learn from: those that the strategy's parameter ``warm_start`` names, if it has one.
        measured: metrics that are measured before training: of everything that was asked for they are in the history,
            also of what is pending or infeasible; of what was not, they must be predicted.
    """

    space: SearchSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    known: Known
    seed: int
    reference: Mapping[str, float] = field(default_factory=dict)
    earlier: tuple[EarlierStudy, ...] = ()
    measured: frozenset[str] = frozenset()


class SearchStrategy(Protocol):
    """A search strategy; built as ``target(context: SearchContext, **parameters)``."""

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Return up to ``n`` proposals, at least one.

        Called in the study's process whenever the executor has room. Deterministic in (context, history).
        An architecture that is pending, complete, stopped, failed or infeasible in the history is not proposed
        again unless as a replicate.

        Raises:
            SpaceExhaustedError: every feasible architecture is in the history.
        """
        ...
