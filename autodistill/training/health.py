"""What tells that a run has gone astray: losses that are not finite or that explode, and memory that ran out.

Also what the settings are called by which a user can mend it.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

import torch

from autodistill.errors import OutOfMemoryTrialError

#: Steps at the start of a phase whose mean loss is what the later ones are compared with.
FIRST_STEPS = 10

#: A loss this many times what the phase began with (or 1, if that was less) is no longer training. Far beyond what a
#: warm-up, a new layer or a bad batch does: a KL that starts at 0.5 would have to reach 100.
EXPLODED = 100.0

#: Weight of the past in the moving mean of the loss: one bad batch is no divergence, ten are.
MEMORY = 0.9


@dataclass(frozen=True)
class SettingNames:
    """What the settings of a run are called where users give them; the defaults are those of a distillation.

    Args:
        lr: learning rate.
        warmup_share: share of the steps with rising learning rate.
        batch_size: examples per step.
        model: what is trained.
    """

    lr: str = "schedule.lr"
    warmup_share: str = "schedule.warmup_share"
    batch_size: str = "schedule.batch_size"
    model: str = "student"


@dataclass
class LossWatch:
    """Sees every step's total loss, in order; plain numbers, so that it can travel in a checkpoint.

    Args:
        seen: steps of the phase so far.
        first: mean loss of its first `FIRST_STEPS` steps.
        recent: moving mean of its loss.
    """

    seen: int = 0
    first: float = 0.0
    recent: float = 0.0

    def exploded(self, total: float, *, new_phase: bool) -> bool:
        """Take in a step's finite loss; true when the run diverges.

        Args:
            total: weighted sum of the losses.
            new_phase: whether the step is the first of its phase: losses of two phases do not compare.
        """
        if new_phase:
            self.seen, self.first = 0, 0.0
        self.recent = total if self.seen == 0 else MEMORY * self.recent + (1 - MEMORY) * total
        if self.seen < FIRST_STEPS:
            self.first += (total - self.first) / (self.seen + 1)
        self.seen += 1
        return self.seen > FIRST_STEPS and self.recent > EXPLODED * max(1.0, self.first)


#: How errors without a class of their own say that memory ran out: torch's allocator of the CPU, the CUDA driver
#: outside of torch's allocator, and CUDA's libraries (CUBLAS_..., CUDNN_...) for their workspaces.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the CPU or on a GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


#: Errors of a disk: it is full, the user's part of it is, or it is broken.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def disk_failed(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that a disk is full or broken.

    Libraries that have no class for it tell number or words in the text: those written in Rust, torch, children.
    """
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return True
    texts = [text for number in _OF_THE_DISK for text in (f"(os error {number})", os.strerror(number))]
    if any(text in str(error) for text in texts):
        return True
    return error.__cause__ is not None and disk_failed(error.__cause__)


def halved(examples: int, error: Exception, what: str) -> int:
    """Half as many examples at a time, after an error that says that memory ran out.

    Args:
        examples: that did not fit.
        error: what was raised; another one is raised again.
        what: was done with them, for the message, e.g. ``"a model answered"``.

    Raises:
        OutOfMemoryTrialError: it was one example.
    """
    if not out_of_memory(error):
        raise error
    if examples == 1:
        raise OutOfMemoryTrialError(
            f"Memory ran out while {what} one example at a time: {error}. Take a smaller data.max_length, or a machine "
            "with more memory."
        ) from None
    return examples // 2


def give_back_memory() -> None:
    """Give back what torch keeps of a GPU's memory; to be called when the error that told of it is gone."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
