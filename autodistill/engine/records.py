"""Records: what the storage gives back, as frozen dataclasses.

Nothing here knows SQL; `autodistill.engine.storage` reads and writes these. A record is a copy: changing what it
holds changes nothing in the storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from autodistill.components.architecture import Architecture

Origin: TypeAlias = Literal["search", "baseline", "manual", "repeat"]
TrialState: TypeAlias = Literal["pending", "complete", "stopped", "infeasible", "failed"]
RunKind: TypeAlias = Literal["flash", "full"]
RunState: TypeAlias = Literal["leased", "complete", "stopped", "failed"]

#: Where a trial may come from; see `autodistill.engine.manual` and ``repeats`` for the last two.
ORIGINS: tuple[Origin, ...] = ("search", "baseline", "manual", "repeat")

#: States of a trial as it is stored.
STORED_TRIAL_STATES: tuple[TrialState, ...] = ("pending", "complete", "stopped", "infeasible", "failed")

#: What people are told of trials: a pending one waits, is being worked on, or was and is no more.
SHOWN_TRIAL_STATES = ("complete", "stopped", "infeasible", "failed", "pending", "running", "interrupted")

#: States after which a trial counts as told.
FINAL_TRIAL_STATES: frozenset[TrialState] = frozenset({"complete", "stopped", "infeasible", "failed"})

#: Kinds of a trial's runs.
RUN_KINDS: tuple[RunKind, ...] = ("flash", "full")

#: States in which a run has ended.
FINAL_RUN_STATES: frozenset[RunState] = frozenset({"complete", "stopped", "failed"})


@dataclass(frozen=True)
class StudyRecord:
    """A study.

    Args:
        id: the storage's key of it.
        name: unique in the storage.
        created: when, ISO 8601 in UTC.
        identity: what must match on resume.
        config: the resolved configuration.
        components: the components it uses, with distribution and version.
        environment: library versions and machine.
    """

    id: int
    name: str
    created: str
    identity: Mapping[str, Any]
    config: Mapping[str, Any]
    components: Mapping[str, Any]
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class TrialRecord:
    """A trial: an architecture and a replicate in a study.

    Args:
        number: from 0, in the order of asks.
        study_id: key of the study.
        architecture: what is trained.
        replicate: 0 for the first trial of an architecture, 1 for the next, ...
        origin: where it comes from.
        label: the baseline's name, or what a repeat is of, else None.
        in_space: whether the architecture lies in the study's space.
        state: one of `STORED_TRIAL_STATES`.
        note: what the proposal carried.
        asked: position in the order of asks.
        told: position in the order of tells, None until the state is final.
        seed: derived from architecture and replicate; 0 <= seed < 2**63.
        error: one paragraph when failed, the reason when infeasible.
        known: metric name -> value known before training, measured latency included.
        latencies: label of the latency backend -> `LatencyReport.as_dict()`.
        began_training: whether a training step was started (what ``budget.trials`` counts).
    """

    number: int
    study_id: int
    architecture: Architecture
    replicate: int
    origin: Origin
    label: str | None
    in_space: bool
    state: TrialState
    note: Mapping[str, Any] | None
    asked: int
    told: int | None
    seed: int
    error: str | None = None
    known: Mapping[str, float] = field(default_factory=dict)
    latencies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    began_training: bool = False


@dataclass(frozen=True)
class RunRecord:
    """The latest attempt at one run of a trial.

    Args:
        trial: number of the trial.
        kind: flash or full.
        state: one of `RunState`; ``leased`` while somebody works on it (or was killed doing so).
        attempt: from 1; every take-over adds 1.
        token: the fencing token: only the holder of the current one can renew or finish the run.
        owner: who holds the lease; empty when it was given back.
        expires: when the lease ends, seconds since the epoch by the storage's clock.
        metrics: metric name -> ``{"value": ..., "variance": ..., "low": ..., "high": ..., "n": ..., "split": "select" |
            "test"}``; ``low`` and ``high`` of the 95 % interval, ``n`` examples, each null where it is not known.
        seconds: stage -> wall-clock seconds.
        cost: ``examples``, ``flops`` and ``device_seconds``. Where the teacher ran in the steps also
            ``teacher_examples``, on how many examples, and ``teacher_flops``, its part of ``flops``: 0 for a teacher of
            no known family. Runs of earlier versions have neither, nor the teacher's part in ``flops``.
        initialisation: how the student's weights started.
        error: one paragraph when failed.
        artifacts: name -> path relative to the study's folder, or any JSON.
    """

    trial: int
    kind: RunKind
    state: RunState
    attempt: int
    token: str
    owner: str
    expires: float
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    initialisation: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    artifacts: Mapping[str, Any] = field(default_factory=dict)

    def shown_state(self, now: float) -> str:
        """What people are told of it: its state, but that an expired lease is "interrupted".

        Args:
            now: the clock of the storage, in seconds since the epoch.
        """
        return "interrupted" if self.state == "leased" and self.expires <= now else self.state


@dataclass(frozen=True, slots=True)
class WasteRecord:
    """An attempt whose work may have been done twice.

    Args:
        trial: number of the trial.
        kind: flash or full.
        attempt: which attempt it was.
        owner: who held it.
        reason: ``"expired"`` (the lease ran out) or ``"failed"`` (the run failed and was tried again).
        seconds: from the lease to the last sign of life; a lower bound of what was spent.
    """

    trial: int
    kind: RunKind
    attempt: int
    owner: str
    reason: Literal["expired", "failed"]
    seconds: float
