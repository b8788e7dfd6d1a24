"""Parameters of the data sources `glue` and `squad`: their only defaults and range checks.

Light: the standard library and autodistill's errors only.
"""

from __future__ import annotations

from dataclasses import dataclass

from autodistill.components.specs import path_field
from autodistill.data.checks import check, check_carving
from autodistill.data.glue_tasks import TASKS
from autodistill.errors import ConfigError, did_you_mean


@dataclass
class GlueConfig:
    """One of the nine tasks of GLUE, from the official files or the hub."""

    task: str = "sst2"
    """cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte or wnli."""

    root: str | None = path_field(None)
    """Folder of the official .tsv files (also .gz), with a folder per task: CoLA, SST-2, ...; None: the hub."""

    allow_hub: bool = False
    """Whether the hub may be asked when root is null."""

    revision: str | None = None
    """Commit, tag or branch on the hub; null is its main branch."""

    select_share: float = 0.1
    """Share of train that becomes select; 0 < share < 1."""

    select_max: int = 2000
    """Examples of select at most; >= 1."""

    train_limit: int | None = None
    """Training examples at most, chosen by a stable hash after carving; None keeps all; >= 1."""

    max_length: int = 128
    """Tokens per example at most; >= 8."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError(
                f"data.task must be one of {', '.join(TASKS)}, got {self.task!r}.{did_you_mean(self.task, TASKS)}"
            )
        check_carving(self.select_share, self.select_max, self.train_limit, self.max_length)


@dataclass
class SquadConfig:
    """Questions about paragraphs, from the official JSON files or the hub."""

    version: str = "1.1"
    """1.1, or 2.0 with questions that have no answer."""

    train: str | None = path_field(None)
    """Official training file (.json, also .gz); None: the hub, or nothing where a model is scored on a test file."""

    test: str | None = path_field(None)
    """Official dev file; None: the hub, or no test when train is a file."""

    allow_hub: bool = False
    """Whether the hub may be asked when train is null."""

    revision: str | None = None
    """Commit, tag or branch on the hub; null is its main branch."""

    stride: int = 128
    """Tokens of the context that neighbouring windows share; >= 0 and < max_length / 2."""

    select_share: float = 0.05
    """Share of train that becomes select, whole paragraphs; 0 < share < 1."""

    select_max: int = 2000
    """Questions of select at most; >= 1."""

    train_limit: int | None = None
    """Training questions at most, chosen by a stable hash after carving; None keeps all; >= 1."""

    max_length: int = 384
    """Tokens per window at most, question and context; >= 8."""

    def __post_init__(self) -> None:
        self.version = str(self.version)
        check(self.version in ("1.1", "2.0"), "data.version", "1.1 or 2.0", self.version)
        check_carving(self.select_share, self.select_max, self.train_limit, self.max_length)
        rule = f">= 0 and < data.max_length / 2 ({self.max_length / 2:g})"
        check(0 <= self.stride < self.max_length / 2, "data.stride", rule, self.stride)
