"""What stands around the steps of a run: checkpoints, rungs, requests to stop, progress, and losses gone astray."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from autodistill.errors import TrialError
from autodistill.folders import private_directory
from autodistill.training.batches import evaluating
from autodistill.training.results import CHECKPOINT, SECTION, RunProgress

if TYPE_CHECKING:
    from autodistill.training.lightning import StreamModule


class RunControl(pl.Callback):
    """Lightning callback that saves, reports and stops.

    Args:
        directory: of the checkpoint.
        identity: what must be the same for the run to go on.
        progress: where the run stands; changed in place.
        steps: of the whole run.
        checkpoint_every_steps: between checkpoints.
        borders: steps after which a phase ends; a checkpoint is written there too.
        rungs: shares of the run in (0, 1), rising.
        on_rung: called with (rung, share), the student in evaluation mode; true = stop for good.
        stop_requested: asked after every step; true = save and interrupt.
        report: called after every step with (steps taken, steps of the run).
    """

    def __init__(
        self,
        *,
        directory: Path,
        identity: str,
        progress: RunProgress,
        steps: int,
        checkpoint_every_steps: int,
        borders: frozenset[int] = frozenset(),
        rungs: Sequence[float] = (),
        on_rung: Callable[[int, float], bool] | None = None,
        stop_requested: Callable[[], bool] | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        self._directory = directory
        self._identity = identity
        self.progress = progress
        self._steps = steps
        self._every = checkpoint_every_steps
        self._borders = borders
        self._rungs = [(index, share, rung_step(share, steps)) for index, share in enumerate(rungs)]
        self._on_rung = on_rung
        self._stop_requested = stop_requested
        self._report = report
        self._started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: StreamModule) -> None:
        """Start the clock and put the random generators where the checkpoint left them."""
        self._started = time.perf_counter() - self.progress.seconds
        pl_module.model.train()
        for device, state in self.progress.random_states.items():
            if device == "cpu":
                torch.set_rng_state(state)
            elif torch.cuda.is_available():
                torch.cuda.set_rng_state(state, device)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: StreamModule, *unused: Any) -> None:
        """After every step: check, report, rungs, stop, save."""
        step = self.progress.step = trainer.global_step
        due = step == self._steps or step in self._borders or step % self._every == 0
        if due or pl_module.checks_every_step or step % trainer.log_every_n_steps == 0:
            self._check_losses(trainer, pl_module)
        if self._report is not None:
            self._report(step, self._steps)
        self._run_rungs(step, pl_module)
        self._decide(trainer, step)
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
        """Report the rungs of this step; the caller's scoring must not change the run."""
        for index, share, at in self._rungs[self.progress.rungs :]:
            if at > step or self._on_rung is None:
                return
            with torch.random.fork_rng(devices=_cuda_devices(pl_module)), evaluating(pl_module.model):
                stop = self._on_rung(index, share)
            self.progress.rungs = index + 1
            if stop:
                self.progress.state = "stopped"
                return

    def _check_losses(self, trainer: pl.Trainer, pl_module: StreamModule) -> None:
        """Keep the losses and raise `TrialError` when one was not finite since the last check."""
        bad = pl_module.first_bad_step()
        if bad is not None:
            label, step, value = bad
            raise TrialError(
                f"The loss {label!r} became {value} at step {step + 1} of {self._steps} (learning rate "
                f"{trainer.optimizers[0].param_groups[0]['lr']:.3g}). Lower schedule.lr, raise schedule.warmup_share, "
                "or use trainer.precision=32-true."
            )
        self.progress.losses = pl_module.last_losses()

    def save(self, trainer: pl.Trainer, pl_module: StreamModule) -> None:
        """Write the checkpoint; it replaces the last one when it is whole."""
        self._check_losses(trainer, pl_module)
        self.progress.seconds = time.perf_counter() - self._started
        self.progress.random_states = _random_states(pl_module)
        private_directory(self._directory)
        temporary = self._directory / f"{CHECKPOINT}.{os.getpid()}.tmp"
        trainer.save_checkpoint(temporary, weights_only=False)
        os.replace(temporary, self._directory / CHECKPOINT)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: StreamModule, checkpoint: dict[str, Any]) -> None:
        """Add what is ours to Lightning's checkpoint."""
        # An interrupted run is still running: it goes on from here.
        state = "running" if self.progress.state == "interrupted" else self.progress.state
        checkpoint[SECTION] = {"identity": self._identity, "progress": {**self.progress.as_dict(), "state": state}}


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
