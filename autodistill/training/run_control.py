"""What stands around the steps of a run: checkpoints, rungs, requests to stop, progress, and losses gone astray."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from autodistill.errors import ConfigError, TrialError
from autodistill.folders import flush_file, private_directory
from autodistill.training.batches import evaluating
from autodistill.training.health import LossWatch, SettingNames
from autodistill.training.results import CHECKPOINT, SECTION, RunProgress
from autodistill.training.stream import ORDER

if TYPE_CHECKING:
    from autodistill.training.lightning import StreamModule


class RunControl(pl.Callback):
    """Lightning callback that saves, reports and stops.

    Args:
        directory: of the checkpoint.
        identity: what must be the same for the run to go on.
        shared: what must be the same for another run to go on from this one's trunk; None where there is none.
        progress: where the run stands; changed in place.
        steps: of the whole run.
        checkpoint_every_steps: between checkpoints.
        borders: steps after which a phase ends; a checkpoint is written there too.
        trunk_end: step after which the trunk ends, or None.
        trunk_file: where its state is kept, or None.
        settings: what its settings are called, for messages.
        rungs: shares of the run in (0, 1), rising.
        on_rung: called with (rung, share), the student in evaluation mode; true = stop for good.
        stop_requested: asked after every step; true = save and interrupt.
        may_save: asked before a checkpoint replaces the last one; false = it does not.
        report: called after every step with (steps taken, steps of the run).
    """

    def __init__(
        self,
        *,
        directory: Path,
        identity: str,
        shared: str | None,
        progress: RunProgress,
        steps: int,
        checkpoint_every_steps: int,
        borders: frozenset[int] = frozenset(),
        trunk_end: int | None = None,
        trunk_file: Path | None = None,
        settings: SettingNames,
        rungs: Sequence[float] = (),
        on_rung: Callable[[int, float], bool] | None = None,
        stop_requested: Callable[[], bool] | None = None,
        may_save: Callable[[], bool] | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        self._directory = directory
        self._identity = identity
        self._shared = shared
        self.progress = progress
        self._steps = steps
        self._every = checkpoint_every_steps
        self._borders = borders
        self._trunk_end = trunk_end
        self._trunk_file = trunk_file
        self._settings = settings
        self._rungs = [(index, share, rung_step(share, steps)) for index, share in enumerate(rungs)]
        self._on_rung = on_rung
        self._stop_requested = stop_requested
        self._may_save = may_save
        self._report = report
        self._started = 0.0
        self._watch = LossWatch(**progress.watch)

    def on_train_start(self, trainer: pl.Trainer, pl_module: StreamModule) -> None:
        """Start the clock, put the random generators where the checkpoint left them, and tidy up after a crash."""
        self._started = time.perf_counter() - self.progress.seconds
        pl_module.model.train()
        for device, state in self.progress.random_states.items():
            if device == "cpu":
                torch.set_rng_state(state)
            elif torch.cuda.is_available():
                torch.cuda.set_rng_state(state, device)
        if trainer.global_rank == 0:
            for half_written in self._directory.glob(f"{CHECKPOINT}.*.tmp"):
                half_written.unlink(missing_ok=True)
            if self._trunk_file is not None and not self._trunk_file.is_file():
                self._keep_trunk()  # the run ended, by request or crash, when its trunk did

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: StreamModule, *unused: Any) -> None:
        """After every step: check, report, rungs, stop, save."""
        step = self.progress.step = trainer.global_step
        due = step == self._steps or step in self._borders or step % self._every == 0
        looking = due or pl_module.checks_every_step or step % trainer.log_every_n_steps == 0
        if looking:
            self._check_losses(trainer, pl_module)
        if self._report is not None:
            self._report(step, self._steps)
        self._run_rungs(step, pl_module)
        if trainer.world_size == 1:
            self._decide(trainer, step)
        elif looking or any(step == at for _, _, at in self._rungs):  # every process asks the first at the same steps
            self._decide(trainer, step)
            self.progress.state = trainer.strategy.broadcast(self.progress.state)
        if due or self.progress.state != "running":
            self.save(trainer, pl_module)
        if self.progress.state != "running":
            trainer.should_stop = True

    def _decide(self, trainer: pl.Trainer, step: int) -> None:
        """Set the state when the run ends here."""
        if self.progress.state != "running":
            return
        if step >= self._steps:
            self.progress.state = "complete"
        elif trainer.received_sigterm or (self._stop_requested is not None and self._stop_requested()):
            self.progress.state = "interrupted"
        elif trainer.should_stop:
            self.progress.state = "stopped"

    def _run_rungs(self, step: int, pl_module: StreamModule) -> None:
        """Report the rungs of this step, and none of a step that has passed: a run may go on with other rungs.

        The caller's scoring must not change the run.
        """
        for index, share, at in self._rungs:
            if at != step or self._on_rung is None:
                continue
            with torch.random.fork_rng(devices=_cuda_devices(pl_module)), evaluating(pl_module.model):
                stop = self._on_rung(index, share)
            if stop:
                self.progress.state = "stopped"
                return

    def _check_losses(self, trainer: pl.Trainer, pl_module: StreamModule) -> None:
        """Keep the losses and raise `TrialError` when they went astray since the last check."""
        for step, losses in pl_module.unchecked_losses():
            rate = pl_module.learning_rate(step)
            where = f"at step {step + 1} of {self._steps} (learning rate {rate:.3g})"
            if not math.isfinite(losses["total"]):
                label = next(label for label, value in losses.items() if not math.isfinite(value))
                raise TrialError(f"The loss {label!r} became {losses[label]} {where}. {self._way_out()}")
            first = self._watch.first
            if self._watch.exploded(losses["total"], new_phase=step in self._borders):
                raise TrialError(
                    f"The training diverged: its loss was {first:.3g} at the start of the phase and is "
                    f"{self._watch.recent:.3g} {where}. Lower {self._settings.lr}, or raise "
                    f"{self._settings.warmup_share}."
                )
            self.progress.losses = losses
        self.progress.watch = dict(vars(self._watch))

    def _check_weights(self, pl_module: StreamModule) -> None:
        """Raise `TrialError` unless all weights are finite: the step after which they are not shows in no loss yet."""
        if not torch.stack([parameter.isfinite().all() for parameter in pl_module.parameters()]).all():
            raise TrialError(
                f"Weights are no longer finite after step {self.progress.step} of {self._steps}. {self._way_out()}"
            )

    def _way_out(self) -> str:
        """What a user can do about numbers that are not finite."""
        return f"Lower {self._settings.lr}, raise {self._settings.warmup_share}, or use trainer.precision=32-true."

    def save(self, trainer: pl.Trainer, pl_module: StreamModule) -> None:
        """Write the checkpoint; it replaces the last one when it is whole."""
        self._check_losses(trainer, pl_module)
        self._check_weights(pl_module)
        self.progress.seconds = time.perf_counter() - self._started
        self.progress.random_states = _random_states(pl_module)
        self.progress.parts = pl_module.parts
        private_directory(self._directory)
        temporary = self._temporary()
        trainer.save_checkpoint(temporary, weights_only=False)
        if trainer.global_rank != 0:
            return
        # Asked after the long part: whoever was suspended must not put its file over that of a process that is ahead.
        if self._may_save is not None and not self._may_save():
            temporary.unlink(missing_ok=True)
            return
        flush_file(temporary)
        os.replace(temporary, self._directory / CHECKPOINT)
        self._keep_trunk()

    def _temporary(self) -> Path:
        """Where a file is written before it gets its final name."""
        return self._directory / f"{CHECKPOINT}.{os.getpid()}.tmp"

    def _keep_trunk(self) -> None:
        """Keep the checkpoint for a longer run if the trunk ends here; one that was stopped for good has none."""
        checkpoint = self._directory / CHECKPOINT
        here = self.progress.step == self._trunk_end and self.progress.state in ("running", "interrupted")
        if self._trunk_file is None or not here or not checkpoint.is_file():
            return
        temporary = self._temporary()
        shutil.copyfile(checkpoint, temporary)
        flush_file(temporary)
        private_directory(self._trunk_file.parent)
        os.replace(temporary, self._trunk_file)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: StreamModule, checkpoint: dict[str, Any]) -> None:
        """Add what is ours to Lightning's checkpoint."""
        # An interrupted run is still running: it goes on from here.
        state = "running" if self.progress.state == "interrupted" else self.progress.state
        progress = {**self.progress.as_dict(), "state": state}
        kept = {"identity": self._identity, "shared": self._shared, "order": ORDER, "progress": progress}
        checkpoint[SECTION] = kept


def check_interval(steps: object) -> None:
    """Raise `ConfigError` unless checkpoints are a whole number of steps apart."""
    if type(steps) is not int or steps < 1:
        raise ConfigError(
            f"trainer.checkpoint_every_steps must be a whole number of steps, 1 or more, got {steps!r}. A run is "
            "saved at the end of every phase too; a large number leaves it at that."
        )


def rung_step(share: float, steps: int) -> int:
    """Return the step after which a rung is reported: the first at which ``share`` of the run is done."""
    return max(1, math.ceil(share * steps - 1e-9))  # 1e-9: 0.1 * 30 must not become 4


def _cuda_devices(pl_module: StreamModule) -> list[int]:
    """The CUDA device of a run, if it is on one."""
    device = pl_module.device
    return [device.index or 0] if device.type == "cuda" else []


def _random_states(pl_module: StreamModule) -> dict[str, torch.Tensor]:
    """States of the generators that a run draws from."""
    states = {"cpu": torch.get_rng_state()}
    for index in _cuda_devices(pl_module):
        states[f"cuda:{index}"] = torch.cuda.get_rng_state(index)
    return states
