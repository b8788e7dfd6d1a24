"""The Lightning module of every run: batches of the example stream in, weighted losses out, an optimiser on top.

What the losses are is the subclasses' matter (`autodistill.training.distil`, `.fine_tune`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import nn

from autodistill.components.training import Optimisation
from autodistill.training.batches import on_device
from autodistill.training.optimisers import learning_rate_factor, make_optimiser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch
    from autodistill.training.replicates import Stream
    from autodistill.training.tokenised import TokenisedSplit


class StreamBatches:
    """The batches of a run, in order: an iterable whose position Lightning saves and restores.

    Args:
        split: where the examples are.
        stream: which example stands where.
        batch_size: examples per step.
        steps: of the whole run.
    """

    def __init__(self, split: TokenisedSplit, stream: Stream, batch_size: int, steps: int) -> None:
        self._split = split
        self._stream = stream
        self._batch_size = batch_size
        self._steps = steps
        self._next = 0

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        while self._next < self._steps:
            step = self._next
            rows = self._stream.rows_at(step * self._batch_size, (step + 1) * self._batch_size)
            self._next += 1
            yield step, self._split.batch(rows)

    def state_dict(self) -> dict[str, int]:
        """The position, for the checkpoint."""
        return {"next": self._next}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on at a position."""
        self._next = state["next"]


class StreamModule(pl.LightningModule):
    """Trains one model on batches of the example stream.

    Args:
        model: trained.
        extra: modules and parameters that are trained beside it.
        optimisation: how steps are taken.
        steps: of the whole run.
        weights: label -> factor of each loss, in a fixed order.
    """

    #: Factor on the learning rate of what stands after the encoder; 1 for students, which start from the teacher's.
    head_lr_factor = 1.0

    def __init__(
        self,
        model: PreTrainedModel,
        extra: Iterable[Parameter],
        optimisation: Optimisation,
        steps: int,
        weights: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.model = model
        self.extra = nn.ParameterList(list(extra))
        self._optimisation = optimisation
        self._steps = steps
        self._weights = dict(weights)
        self._recent: dict[str, Tensor] = {}
        self._unchecked: list[tuple[int, dict[str, Tensor]]] = []

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Label -> scalar float32 loss of a batch, before weighting; the labels that act at this step."""
        raise NotImplementedError

    @property
    def checks_every_step(self) -> bool:
        """Whether looking at a loss after every step is free: it is where nothing runs asynchronously."""
        return bool(self.device.type == "cpu")

    def training_step(self, numbered: tuple[int, Batch], index: int) -> Tensor:
        """Weighted sum of the losses; logged every ``log_every_n_steps``."""
        step, batch = numbered
        losses = self.losses(batch, step)
        total = torch.stack([self._weights[label] * value for label, value in losses.items()]).sum()
        self._recent = {label: value.detach() for label, value in {**losses, "total": total}.items()}
        self._unchecked.append((step, self._recent))
        if (step + 1) % self.trainer.log_every_n_steps == 0 and self.trainer.loggers:
            self.log_dict({f"loss/{label}": value for label, value in self._recent.items()}, batch_size=1)
        return total

    def transfer_batch_to_device(
        self, batch: tuple[int, Batch], device: torch.device, dataloader_idx: int
    ) -> tuple[int, Batch]:
        """Lightning's hook; batches are frozen, which its own way of moving them does not take."""
        step, examples = batch
        return step, on_device(examples, device)

    def first_bad_step(self) -> tuple[str, int, float] | None:
        """(label, step from 0, value) of the first loss that was not finite since the last call, or None."""
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return None
        totals = torch.stack([losses["total"] for _, losses in unchecked])
        if bool(torch.isfinite(totals).all()):
            return None
        place = int(torch.isfinite(totals).int().argmin())
        step, losses = unchecked[place]
        return next((label, step, float(value)) for label, value in losses.items() if not bool(torch.isfinite(value)))

    def last_losses(self) -> dict[str, float]:
        """Label -> value at the last step, and ``total``."""
        return {label: float(value) for label, value in self._recent.items()}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning's hook; its own way refuses fused optimisers even where gradients are not scaled."""
        if gradient_clip_val:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

    def configure_optimizers(self) -> dict[str, Any]:
        """The optimiser and the learning rate's course."""
        fused = str(self.trainer.precision) != "16-mixed"  # fp16 scales gradients, which fused AdamW would undo itself
        optimiser = make_optimiser(
            self.model, self.extra, self._optimisation, fused=fused, head_lr_factor=self.head_lr_factor
        )
        steps, share = self._steps, self._optimisation.warmup_share
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate_factor(step, steps, share))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
