"""A small distillation, built the same way by tests and by the processes that tests start."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

sys.path.insert(0, str(Path(__file__).parent))
from training_tiny import make_data, make_model, make_tokenizer

from autodistill.components.students import Dimensions
from autodistill.components.training import LossContext, Optimisation, Phase, Schedule
from autodistill.losses.hidden_mse import HiddenMSE
from autodistill.losses.logits_kl import LogitsKL
from autodistill.schedules.plugin import autodistill_schedules
from autodistill.training.distil import Distillation
from autodistill.training.parallel import joined
from autodistill.training.stream import ExampleStream
from autodistill.training.teacher_features import cached_teacher_features
from autodistill.training.tokenised import tokenise

STEPS = 30


class Losses(pl.Callback):  # type: ignore[misc]
    """Writes down the losses of every step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *unused: Any) -> None:
        self.seen.append(pl_module.last_losses())


def fail(error: Exception) -> None:
    """Work of another process of a run that fails before they meet."""
    raise error


def meet(seen: Path) -> None:
    """Work of the second process of two that only meets the first; writes down its number of threads."""
    with joined(2, None, "cpu"):
        seen.write_text(str(torch.get_num_threads()))


def make_phases(schedule: str, fidelity: float = 1.0, *, student_layers: int = 2) -> Sequence[Phase]:
    """The phases of a registered schedule whose full run takes `STEPS` steps, on a teacher of two layers."""
    (spec,) = [spec for spec in autodistill_schedules() if spec.name == schedule]
    module, attribute = spec.target.split(":")
    stages = {"min_stage_steps": 1} if schedule == "progressive" else {}
    config = spec.config(examples=8 * STEPS, batch_size=8, flash_fidelity=0.5, **stages)
    built: Schedule = getattr(import_module(module), attribute)(**asdict(config))
    return built.phases(student_layers, 2, fidelity)


def make_request(root: Path, run: str = "run", **changes: Any) -> Distillation:
    """Two phases, dropout, projections, a cached teacher: all that resuming could get wrong."""
    data = make_data()
    train = tokenise(data, make_tokenizer(), 16, root / "cache")["train"]
    teacher, student = make_model(seed=1), make_model(layers=2, hidden=16, seed=2)
    context = LossContext(Dimensions(2, 16, 2, 2), Dimensions(2, 32, 2, 2), ((1, 1), (2, 2)), data.task)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        hidden = HiddenMSE(context, weight=1.0, embeddings=True)
    kl = LogitsKL(context, weight=1.0, temperature=2.0, divergence="forward", beta=0.5)
    keys = hidden.teacher_features | kl.teacher_features
    request = Distillation(
        student=student,
        losses={"hidden": (hidden, 0.5), "kl": (kl, 1.0)},
        phases=(
            Phase("transfer", frozenset({"transfer"}), 12, max_student_layer=1),
            Phase("all", frozenset({"transfer", "prediction"}), STEPS - 12),
        ),
        optimisation=Optimisation(8, 1e-3, 0.2, 0.01, 1.0),
        train=train,
        stream=ExampleStream(len(train), 0),
        teacher=cached_teacher_features(teacher, train, keys, root / "cache", "teacher", 10**9, None),
        seed=7,
        checkpoint_dir=root / run,
        checkpoint_every_steps=1000,
    )
    for name, value in changes.items():
        setattr(request, name, value)
    return request


if __name__ == "__main__":
    from autodistill.training.distil import distil

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # sums depend on it in their last digits
    root, run, *schedule = sys.argv[1:]
    changes: dict[str, Any] = {"phases": make_phases(schedule[0])} if schedule else {}
    distil(
        make_request(
            Path(root),
            run,
            checkpoint_every_steps=5,
            progress=lambda step, steps: print(step, flush=True),
            **changes,
        )
    )
