"""The Lightning module of every run: batches of the example stream in, weighted losses out, an optimiser on top.

What the losses are is the subclasses' matter (`autodistill.training.distil`, `.fine_tune`).
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import nn

from autodistill.components.training import Optimisation
from autodistill.training.batches import in_parts, on_device
from autodistill.training.health import out_of_memory
from autodistill.training.optimisers import make_optimiser
from autodistill.training.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch
    from autodistill.training.replicates import Stream
    from autodistill.training.tokenised import TokenisedSplit

logger = logging.getLogger(__name__)


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
        self._rank, self._world = 0, 1

    def share(self, rank: int, world: int) -> None:
        """Give only this process's share of each batch; ``world`` divides the batch size."""
        self._rank, self._world = rank, world

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        while self._next < self._steps:
            step = self._next
            start, size = step * self._batch_size, self._batch_size // self._world
            rows = self._stream.rows_at(start + self._rank * size, start + (self._rank + 1) * size)
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
        course: step, from 0 -> factor of the learning rate.
        weights: label -> factor of each loss, in a fixed order.
    """

    #: Factor on the learning rate of what stands after the encoder; 1 for students, which start from the teacher's.
    head_lr_factor = 1.0

    def __init__(
        self,
        model: PreTrainedModel,
        extra: Iterable[Parameter],
        optimisation: Optimisation,
        course: Callable[[int], float],
        weights: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.model = model
        self.extra = nn.ParameterList(list(extra))
        self._optimisation = optimisation
        self._course = course
        self._weights = dict(weights)
        #: In how many parts the examples of a step go through the model; their gradients add up to those of the step.
        self.parts = 1
        #: Of dropout in runs of several processes, where every step of every process has generators of its own.
        self.seed = 0
        self._recent: dict[str, Tensor] = {}
        self._unchecked: list[tuple[int, dict[str, Tensor]]] = []

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Label -> scalar float32 loss of a batch, before weighting; the labels that act at this step."""
        raise NotImplementedError

    def items(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Label -> over how many items of a batch the loss is a mean: scalar, float32; the labels of `losses`."""
        raise NotImplementedError

    def learning_rate(self, step: int) -> float:
        """The learning rate with which a step, counted from 0, is taken; that of a new head is higher by its factor."""
        return self._optimisation.lr * self._course(step)

    @property
    def checks_every_step(self) -> bool:
        """Whether looking at a loss after every step is free: it is where nothing runs asynchronously."""
        return bool(self.device.type == "cpu")

    def training_step(self, numbered: tuple[int, Batch], index: int) -> Tensor:
        """Weighted sum of the losses, of the last part of the batch; the gradients of the parts before are there."""
        step, batch = numbered
        if self.trainer.world_size > 1:
            torch.manual_seed(derive_seed("step", self.seed, step, self.trainer.global_rank))
        self._clear_gradients()
        found: dict[str, Tensor] = {}
        parts = in_parts(batch, self.parts)
        whole = self._all_items(batch, step)
        for number, part in enumerate(parts, start=1):
            # Means over unequally many items, e.g. tokens: weighed so that the parts add up to the mean over all.
            own = self.items(part, step)
            losses = {label: value * (own[label] / whole[label]) for label, value in self.losses(part, step).items()}
            total = torch.stack([self._weights[label] * value for label, value in losses.items()]).sum()
            for label, value in {**losses, "total": total}.items():
                found[label] = found.get(label, 0.0) + value.detach()
            if number < len(parts):
                with torch.autocast(self.device.type, enabled=False):
                    self.trainer.strategy.backward(total, None)
        self._note(step, found)
        return total

    def _clear_gradients(self) -> None:
        """Of all that is trained; the module's own way searches all its modules for parameters in every step."""
        for optimiser in self.trainer.optimizers:
            optimiser.zero_grad(set_to_none=True)

    def _all_items(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Items of the whole step; with several processes, whose gradients are averaged, per process."""
        items = self.items(batch, step)
        if self.trainer.world_size > 1:
            means = self.trainer.strategy.reduce(torch.stack(list(items.values())), reduce_op="mean")
            items = dict(zip(items, means.unbind(), strict=True))
        # Nothing to average over is a loss of 0, not 0 / 0.
        return {label: torch.where(number > 0, number, 1.0) for label, number in items.items()}

    def _note(self, step: int, losses: dict[str, Tensor]) -> None:
        """Keep a step's losses, the mean over all processes; logged every ``log_every_n_steps``."""
        if self.trainer.world_size > 1:
            means = self.trainer.strategy.reduce(torch.stack(list(losses.values())), reduce_op="mean")
            losses = dict(zip(losses, means.unbind(), strict=True))
        self._recent = losses
        self._unchecked.append((step, losses))
        if (step + 1) % self.trainer.log_every_n_steps == 0 and self.trainer.loggers:
            self.log_dict({f"loss/{label}": value for label, value in losses.items()}, batch_size=1)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Lightning's hook, called between forward and backward pass: too late for a batch in parts."""

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Lightning's hook; where a step does not fit into memory, it is taken again in twice as many parts."""
        if optimizer_closure is None or self.trainer.world_size > 1:  # processes must do the same
            optimizer.step(closure=optimizer_closure)
            return
        optimizer.step(closure=lambda: self._in_memory(optimizer_closure))

    def _in_memory(self, closure: Callable[[], Any]) -> Any:
        """Forward and backward pass, in as many parts as it takes; no weight has changed before."""
        noted = len(self._unchecked)
        while True:
            device = self.device
            state = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None
            try:
                return closure()
            except Exception as error:
                if not out_of_memory(error) or self.parts >= self._optimisation.batch_size:
                    raise
                self.parts = min(2 * self.parts, self._optimisation.batch_size)
                logger.warning("A step did not fit into memory (%s); from now on it has %d parts.", error, self.parts)
            # Outside of the handler: the error's traceback holds what is to be freed.
            self._clear_gradients()
            del self._unchecked[noted:]  # noted before its backward pass failed
            gc.collect()
            torch.set_rng_state(state[0])
            if state[1] is not None:
                torch.cuda.empty_cache()
                torch.cuda.set_rng_state(state[1], device)

    def transfer_batch_to_device(
        self, batch: tuple[int, Batch], device: torch.device, dataloader_idx: int
    ) -> tuple[int, Batch]:
        """Lightning's hook; batches are frozen, which its own way of moving them does not take."""
        step, examples = batch
        return step, on_device(examples, device)

    def unchecked_losses(self) -> list[tuple[int, dict[str, float]]]:
        """(step from 0, label -> loss) of every step since the last call; one transfer from the device."""
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return []
        values = torch.cat([torch.stack(list(losses.values())) for _, losses in unchecked]).tolist()
        found, start = [], 0
        for step, losses in unchecked:
            found.append((step, dict(zip(losses, values[start : start + len(losses)], strict=True))))
            start += len(losses)
        return found

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
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._course)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
