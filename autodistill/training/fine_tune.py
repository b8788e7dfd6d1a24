"""Fine-tuning of a teacher on the labels of its task."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.students import FineTuning
from autodistill.components.training import Optimisation
from autodistill.errors import ConfigError
from autodistill.losses.hard_label import label_loss
from autodistill.losses.masking import counted_tokens, number_of_answers
from autodistill.training.features import forward_features
from autodistill.training.health import SettingNames
from autodistill.training.lightning import StreamBatches, StreamModule
from autodistill.training.optimisers import learning_rate_factor
from autodistill.training.results import TrainingResult
from autodistill.training.runner import Surroundings, run
from autodistill.training.seeds import derive_seed
from autodistill.training.softened import MASKED_LOGITS, logits_of
from autodistill.training.stream import ExampleStream

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch
    from autodistill.training.tokenised import TokenisedSplit

#: Gradient norm in fine-tuning, as in BERT's own (Devlin et al. 2019, arXiv 1810.04805).
CLIP_NORM = 1.0

#: What the settings of a teacher's fine-tuning are called.
TEACHER_SETTINGS = SettingNames(
    "teacher.fine_tune_lr", "teacher.fine_tune_warmup_share", "teacher.fine_tune_batch_size", "teacher"
)

#: And those of a run of `autodistill.training.protocol`, which leaves all but its grid to the teacher's.
PROTOCOL_SETTINGS = SettingNames(
    "fine_tuning.learning_rates", "teacher.fine_tune_warmup_share", "fine_tuning.batch_sizes", "model"
)


def fine_tune(
    model: PreTrainedModel,
    split: TokenisedSplit,
    recipe: FineTuning,
    *,
    seed: int,
    trainer: Mapping[str, Any],
    loggers: list[Any],
    callbacks: list[Any],
    checkpoint_dir: Path,
    progress: Callable[[int, int], None] | None,
    stop_requested: Callable[[], bool] | None = None,
    checkpoint_every_steps: int = 500,
    accumulate: int = 1,
    settings: SettingNames = TEACHER_SETTINGS,
) -> TrainingResult:
    """Train a model on the labels of a split; goes on from its checkpoint when it was interrupted.

    Args:
        model: with a head for the task; trained in place and left in evaluation mode.
        split: with labels.
        recipe: epochs, batch size, learning rate and so on.
        seed: of order and dropout.
        trainer: arguments of Lightning's Trainer.
        loggers: Lightning loggers.
        callbacks: Lightning callbacks.
        checkpoint_dir: where the run's checkpoint is.
        progress: called after every step with (steps taken, steps of the run).
        stop_requested: asked after every step; True saves a checkpoint and interrupts.
        checkpoint_every_steps: steps between checkpoints.
        accumulate: in how many parts the examples of a step go through the model, >= 1; the recipe is the same.
        settings: what the run's settings are called, for messages.

    Raises:
        ConfigError: the split has no labels.
        TrialError: the loss is not finite.
    """
    if not split.labelled:
        raise ConfigError("A teacher can be fine-tuned only on a train split with labels, and this one has none.")
    steps = recipe.steps(recipe.examples(len(split)))
    optimisation = Optimisation(recipe.batch_size, recipe.lr, recipe.warmup_share, recipe.weight_decay, CLIP_NORM)
    stream = ExampleStream(len(split), derive_seed("fine_tune", seed), split.lengths, split.copies)
    identity = {"fine_tune": split.fingerprint, **asdict(recipe)}
    around = Surroundings(
        seed=seed,
        checkpoint_dir=checkpoint_dir,
        trainer=trainer,
        loggers=loggers,
        callbacks=callbacks,
        accumulate=accumulate,
        checkpoint_every_steps=checkpoint_every_steps,
        stop_requested=stop_requested,
        progress=progress,
        identity=identity,
        work=functools.partial(
            fine_tune,
            model,
            split,
            recipe,
            seed=seed,
            trainer=trainer,
            loggers=[],
            callbacks=callbacks,
            checkpoint_dir=checkpoint_dir,
            progress=None,
            checkpoint_every_steps=checkpoint_every_steps,
            accumulate=accumulate,
            settings=settings,
        ),
        settings=settings,
    )
    batches = StreamBatches(split, stream, recipe.batch_size, steps)
    with _frozen(model.get_input_embeddings() if recipe.freeze_embeddings else None):
        return run(
            lambda: FineTuneModule(model, optimisation, steps, recipe.head_lr_factor, split.kind),
            batches,
            recipe.batch_size,
            CLIP_NORM,
            around,
        )


@contextmanager
def _frozen(module: nn.Module | None) -> Iterator[None]:
    """No gradients for a module's parameters inside the block."""
    parameters = [item for item in module.parameters() if item.requires_grad] if module is not None else []
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


class FineTuneModule(StreamModule):
    """Lightning module of a fine-tuning.

    Args:
        model: trained.
        optimisation: how steps are taken.
        steps: of the whole run.
        head_lr_factor: on the learning rate of pooler and classifier.
        kind: of the task, which decides the loss.
    """

    def __init__(
        self, model: PreTrainedModel, optimisation: Optimisation, steps: int, head_lr_factor: float, kind: str
    ) -> None:
        course = functools.partial(learning_rate_factor, steps=steps, warmup_share=optimisation.warmup_share)
        super().__init__(model, (), optimisation, course, {"labels": 1.0})
        self.head_lr_factor = head_lr_factor
        self._kind = kind

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The loss against the labels."""
        if batch.labels is None:
            raise ConfigError("A teacher can be fine-tuned only on a train split with labels, and this one has none.")
        key = logits_of(self._kind)
        logits = forward_features(self.model, batch, frozenset({key}))[key]
        labels = batch.labels[counted_tokens(batch)] if key == MASKED_LOGITS else batch.labels
        return {"labels": label_loss(logits, labels, self._kind, batch.attention_mask)}

    def items(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Examples, or the tokens that have labels."""
        return {"labels": number_of_answers(batch, self._kind)}
