"""Runs a `StreamModule` under a Lightning Trainer: from its checkpoint if there is one, to its end or interruption."""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from autodistill.errors import ConfigError, OutOfMemoryTrialError
from autodistill.training.health import SettingNames, give_back_memory, out_of_memory
from autodistill.training.parallel import Place, check_processes, joined, strategy_of
from autodistill.training.precision import check_precision
from autodistill.training.results import (
    CHECKPOINT,
    SECTION,
    RunProgress,
    RunState,
    TrainingResult,
    identity_text,
    load_checkpoint,
    load_trunk,
)
from autodistill.training.run_control import RunControl, check_interval

if TYPE_CHECKING:
    from autodistill.training.lightning import StreamBatches, StreamModule

#: What the Trainer gets unless the configuration says otherwise.
DEFAULTS: Mapping[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "log_every_n_steps": 50,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}

#: What the run decides, not the configuration.
RESERVED = (
    "accumulate_grad_batches",
    "callbacks",
    "default_root_dir",
    "enable_checkpointing",
    "fast_dev_run",
    "gradient_clip_algorithm",
    "gradient_clip_val",
    "limit_train_batches",
    "logger",
    "max_epochs",
    "max_steps",
    "max_time",
    "min_epochs",
    "min_steps",
    "overfit_batches",
    "use_distributed_sampler",
)


@dataclass(frozen=True)
class Trunk:
    """Where runs of different length part.

    Args:
        end: step of this run after which its trunk ends.
        identity: what runs on one trunk have in common.
        keep: file for the state at the end, or None.
        start_from: file of another run's, or None.
    """

    end: int
    identity: Mapping[str, Any]
    keep: Path | None
    start_from: Path | None


@dataclass
class Surroundings:
    """What stands around a run; see `autodistill.training.distil.Distillation` for the fields.

    ``settings`` says what the run's settings are called where users give them.
    ``work`` is what the other processes of a run in several do; it can be pickled and has nothing of the first
    process's own (rungs, requests to stop, progress, loggers).
    """

    seed: int
    checkpoint_dir: Path
    trainer: Mapping[str, Any]
    loggers: Sequence[Any] = ()
    callbacks: Sequence[Any] = ()
    accumulate: int = 1
    checkpoint_every_steps: int = 500
    borders: frozenset[int] = frozenset()
    rungs: tuple[float, ...] = ()
    on_rung: Callable[[int, float], bool] | None = None
    stop_requested: Callable[[], bool] | None = None
    may_save: Callable[[], bool] | None = None
    progress: Callable[[int, int], None] | None = None
    follow: Callable[[RunProgress], None] | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    trunk: Trunk | None = None
    work: Callable[[], Any] | None = None
    settings: SettingNames = field(default_factory=SettingNames)


def run(
    make_module: Callable[[], StreamModule],
    batches: StreamBatches,
    batch_size: int,
    clip_norm: float,
    around: Surroundings,
) -> TrainingResult:
    """Train to the end, or until stopped; go on from the checkpoint in ``around.checkpoint_dir`` if there is one.

    The caller's random state is left as it was.

    Args:
        make_module: builds the module.
        batches: of the whole run.
        batch_size: examples per step.
        clip_norm: gradient norm is clipped to this; 0 = not at all.
        around: everything else.

    Raises:
        ConfigError: trainer settings that the run decides itself or cannot work with, or devices that cannot share a
            batch.
        StudyError: the checkpoint is of another run.
        TrialError: a loss is not finite or explodes, or memory ran out.
    """
    world = check_processes(around.trainer, batch_size, around.settings.batch_size)
    check_interval(around.checkpoint_every_steps)
    common = {"seed": around.seed, "batch_size": batch_size}
    identity = identity_text({**around.identity, **common, "steps": len(batches)})
    path = around.checkpoint_dir / CHECKPOINT
    checkpoint = load_checkpoint(around.checkpoint_dir, identity)
    trunk = around.trunk
    shared = None if trunk is None else identity_text({**trunk.identity, **common})
    if checkpoint is None and trunk is not None and trunk.start_from is not None and shared is not None:
        path, checkpoint = trunk.start_from, load_trunk(trunk.start_from, shared, trunk.end)
    progress = RunProgress(**checkpoint[SECTION]["progress"]) if checkpoint else RunProgress()
    if around.follow is not None:
        around.follow(progress)
    module = make_module()
    check_precision(around.trainer, (module.model.config.model_type,))
    module.parts = max(around.accumulate, progress.parts)
    if checkpoint is not None and progress.state != "running":
        module.load_state_dict(checkpoint["state_dict"])
        return _result(progress, batch_size)
    resume = path if checkpoint is not None else None
    del checkpoint
    control = RunControl(
        directory=around.checkpoint_dir,
        identity=identity,
        shared=shared,
        progress=progress,
        steps=len(batches),
        checkpoint_every_steps=around.checkpoint_every_steps,
        borders=around.borders,
        trunk_end=trunk.end if trunk is not None else None,
        trunk_file=trunk.keep if trunk is not None else None,
        settings=around.settings,
        rungs=around.rungs,
        on_rung=around.on_rung,
        stop_requested=around.stop_requested,
        may_save=around.may_save,
        report=around.progress,
    )
    accelerator = str(around.trainer.get("accelerator", DEFAULTS["accelerator"]))
    with (
        quiet_lightning(),
        torch.random.fork_rng(devices=_random_devices(around.trainer)),
        joined(world, around.work, accelerator) as place,
    ):
        torch.manual_seed(around.seed)
        if place is not None:
            batches.share(place.rank, place.world)
            module.seed = around.seed
        trainer = make_trainer(around, control, len(batches), clip_norm, place)
        began = time.perf_counter() - progress.seconds
        try:
            _fit(trainer, module, batches, resume, control, around.settings.model)
        except BaseException:
            progress.seconds = time.perf_counter() - began  # what it took since the last checkpoint counts too
            raise
        if progress.state == "running" and trainer.should_stop and not trainer.received_sigterm:
            progress.state = "stopped"  # by a callback, before the first step
    return _result(progress, batch_size)


def make_trainer(
    around: Surroundings, control: RunControl, steps: int, clip_norm: float, place: Place | None = None
) -> pl.Trainer:
    """Return the Trainer of a run, of this process's place in it.

    Raises:
        ConfigError: a setting that the run decides itself.
    """
    reserved = sorted(set(around.trainer) & set(RESERVED))
    if reserved:
        raise ConfigError(
            f"trainer.{reserved[0]} cannot be set: the schedule and the study decide it. "
            f"Decided there: {', '.join(RESERVED)}."
        )
    callbacks = [*around.callbacks, control]
    arguments = {**DEFAULTS, **around.trainer}
    arguments["log_every_n_steps"] = arguments["log_every_n_steps"] or steps + 1  # 0 is Lightning's word for never
    # Lightning's own ddp, even of one process, would open a port and stop at layers that a stage leaves out.
    arguments["strategy"] = "auto" if place is None else strategy_of(place)
    return pl.Trainer(
        **arguments,
        max_steps=steps,
        max_epochs=-1,
        gradient_clip_val=clip_norm or None,
        callbacks=callbacks,
        logger=list(around.loggers) or False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        default_root_dir=around.checkpoint_dir,
        use_distributed_sampler=False,
    )


def _fit(
    trainer: pl.Trainer,
    module: StreamModule,
    batches: StreamBatches,
    checkpoint: Path | None,
    control: RunControl,
    trained: str,
) -> None:
    """Lightning's ``fit`` without its ways to end the process."""
    options: dict[str, Any] = {} if checkpoint is None else {"ckpt_path": str(checkpoint)}
    if checkpoint is not None and "weights_only" in inspect.signature(trainer.fit).parameters:
        options["weights_only"] = True  # Lightning >= 2.6; the file was read this way before, so it can be
    try:
        trainer.fit(module, train_dataloaders=batches, **options)
    except SIGTERMException:
        if control.progress.state == "running":
            raise
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise OutOfMemoryTrialError(
            f"Memory ran out after step {control.progress.step}, with the examples of a step in {module.parts} parts: "
            f"{error}. Take a smaller data.max_length or {trained}, or a machine with more memory."
        ) from None
    finally:
        module.model.eval()
        _release(trainer, module)


def _release(trainer: pl.Trainer, module: StreamModule) -> None:
    """Let go of gradients, optimiser states and the cycle of trainer and module, which holds them."""
    module.model.zero_grad(set_to_none=True)
    trainer.strategy.optimizers = []
    trainer.strategy.lr_scheduler_configs = []
    module.trainer = None
    gc.collect()
    give_back_memory()


def _random_devices(trainer: Mapping[str, Any]) -> list[int]:
    """CUDA devices whose generators a run may draw from; none for a run on the CPU, so that CUDA is not started."""
    on_cpu = trainer.get("accelerator", DEFAULTS["accelerator"]) == "cpu"
    return [] if on_cpu else list(range(torch.cuda.device_count()))


def _result(progress: RunProgress, batch_size: int) -> TrainingResult:
    """The result that a run's progress amounts to."""
    states: dict[str, RunState] = {"complete": "complete", "stopped": "stopped"}
    return TrainingResult(
        state=states.get(progress.state, "interrupted"),
        steps=progress.step,
        examples=(progress.step - progress.taken_over) * batch_size,
        seconds=progress.seconds,
        losses=dict(progress.losses),
    )


#: Remarks from inside Lightning that say nothing about our runs.
_REMARKS = (
    # Short flash runs log at their end whatever the interval.
    r"The number of training batches .* is smaller than the logging interval",
    # Dropout of frozen or evaluation-mode parts is set on purpose.
    r"Found \d+ module\(s\) in eval mode at the start of training",
    # Lightning 2.6 on torch >= 2.9: between the two of them.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # torch's own, while it compiles.
    r"The \.grad attribute of a Tensor that is not a leaf Tensor is being accessed",
)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's announcements (devices, tips, limits reached) out of the log, its warnings in it."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.level, logging.WARNING))
    try:
        with warnings.catch_warnings():
            for text in _REMARKS:
                warnings.filterwarnings("ignore", message=text)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
