"""Precisions that runs train in, which of them a model cannot, and compiled blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import cuda
from torch.backends import mps

from autodistill.errors import ConfigError
from autodistill.training.features import blocks_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Lightning's names -> what a run trains in. Its other precisions convert the batches or keep the weights in half
#: precision, which loses the small steps of AdamW.
PRECISIONS: Mapping[str, str] = {
    "32-true": "32-true",
    "32": "32-true",
    "bf16-mixed": "bf16-mixed",
    "bf16": "bf16-mixed",
    "16-mixed": "16-mixed",
    "16": "16-mixed",
}

#: What a teacher may teach in.
TEACHING_PRECISIONS = ("32-true", "bf16-mixed")

#: Families whose activations leave the range of fp16: without layer norm they reach far beyond 65,504.
FP16_OVERFLOWS = frozenset({"mobilebert"})


def precision_of(trainer: Mapping[str, Any]) -> str:
    """What runs train in, under one name for all that mean the same; a name that is not known as it was given.

    Args:
        trainer: arguments of Lightning's Trainer.
    """
    given = trainer.get("precision")
    return "32-true" if given is None else PRECISIONS.get(str(given), str(given))


def teaching_precision_of(trainer: Mapping[str, Any]) -> str:
    """What the teacher computes in when it teaches, cached or in the steps; a name that is not known as it was given.

    Args:
        trainer: the trainer group of a configuration.
    """
    given = trainer.get("teacher_precision")
    return "32-true" if given is None else PRECISIONS.get(str(given), str(given))


def check_precision(trainer: Mapping[str, Any], families: Iterable[str]) -> None:
    """Raise `ConfigError` when no run, or not the device or one of the families, can train in the chosen precision.

    Args:
        trainer: arguments of Lightning's Trainer.
        families: names of student families, which are transformers' model types.
    """
    given, precision = trainer.get("precision"), precision_of(trainer)
    if precision not in PRECISIONS:
        raise ConfigError(
            f"trainer.precision must be one of {', '.join(dict.fromkeys(PRECISIONS.values()))}, got {precision!r}. "
            "Weights are kept in float32; the mixed ones compute in half of it."
        )
    teaching = teaching_precision_of(trainer)
    if teaching not in TEACHING_PRECISIONS:
        raise ConfigError(
            f"trainer.teacher_precision must be one of {', '.join(TEACHING_PRECISIONS)}, got {teaching!r}: fp16 has "
            "no room for the activations and logits of some teachers."
        )
    overflowing = sorted(FP16_OVERFLOWS & set(families))
    if precision == "16-mixed" and overflowing:
        raise ConfigError(
            f"trainer.precision={given} is fp16, in which the activations of {overflowing[0]} overflow to NaN. "
            "Use trainer.precision=bf16-mixed or 32-true."
        )
    if precision == "16-mixed" and _on_cpu(trainer.get("accelerator")):
        raise ConfigError(
            f"trainer.precision={given} is fp16, which does not train on a CPU. Use trainer.precision=bf16-mixed "
            "or 32-true, or another trainer.accelerator."
        )


def _on_cpu(accelerator: object) -> bool:
    """Whether Lightning would train on the CPU."""
    return accelerator == "cpu" or (accelerator == "auto" and not (cuda.is_available() or mps.is_available()))


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return a block that computes as a step of a run does: Lightning's autocast, or none.

    Args:
        precision: one of the values of `PRECISIONS`.
        device: where the step is taken.
    """
    if precision == "32-true":
        return contextlib.nullcontext()
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.half
    return torch.autocast(device.type, dtype=dtype, cache_enabled=False)


@contextlib.contextmanager
def compiled(model: PreTrainedModel) -> Iterator[None]:
    """Let torch.compile compile the model's blocks; they are alike, so that one compilation serves all of them.

    Args:
        model: of any family with a list of blocks; its weights, names and hooks stay as they are. What this process
            compiled elsewhere is compiled anew when it is used again.
    """
    blocks = list(blocks_of(model))
    for block in blocks:
        block.compile(dynamic=True)  # lengths vary from batch to batch
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None
        # Blocks of all models share their code, which torch compiles for a few shapes and then no more.
        torch.compiler.reset()
