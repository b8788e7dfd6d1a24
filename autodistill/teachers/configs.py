"""Parameters of the built-in teachers and their range checks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autodistill.components.specs import path_field
from autodistill.errors import ConfigError


@dataclass
class HuggingFaceTeacherConfig:
    """Parameters of the teacher ``huggingface``."""

    path: str | None = path_field(None)
    """Directory with config.json, model.safetensors and tokenizer.json; null is the packaged all-MiniLM-L6-v2."""
    sha256: str | None = None
    """Expected SHA-256 of model.safetensors, 64 hexadecimal digits; null accepts any (but for the packaged teacher)."""
    allow_hub: bool = False
    """Whether a path that is no directory may be downloaded from the model hub under that name."""
    revision: str | None = None
    """Commit, tag or branch on the model hub; null is its main branch."""
    fine_tune_epochs: float = 3.0
    """Passes over the train split when the teacher must learn the task first, > 0; a fraction is fine."""
    fine_tune_batch_size: int = 32
    """Examples per fine-tuning step, >= 1."""
    fine_tune_lr: float = 5e-5
    """Peak learning rate of fine-tuning, > 0."""
    fine_tune_warmup_share: float = 0.1
    """Share of the fine-tuning steps with rising learning rate, in [0, 1]."""
    fine_tune_weight_decay: float = 0.01
    """Weight decay of fine-tuning (AdamW), >= 0."""
    fine_tune_head_lr_factor: float = 1.0
    """Factor on the learning rate of pooler and classifier while fine-tuning, > 0; a new head may want 10."""
    fine_tune_freeze_embeddings: bool = False
    """Whether the word embeddings stay as they are while fine-tuning."""
    fine_tune_dropout: float | None = None
    """Dropout while fine-tuning, in [0, 1); null is the checkpoint's own."""
    fine_tune_max_examples: int | None = None
    """Examples read while fine-tuning at most, whatever fine_tune_epochs says, >= 1; null: no limit."""

    def __post_init__(self) -> None:
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ConfigError(f"teacher.sha256 must be 64 hexadecimal digits in lower case, got {self.sha256!r}.")
        if self.revision is not None and not self.allow_hub:
            raise ConfigError(
                f"teacher.revision={self.revision} names a version on the model hub, which is not used unless "
                "teacher.allow_hub=true."
            )
        if self.fine_tune_epochs <= 0:
            raise ConfigError(f"teacher.fine_tune_epochs must be > 0, got {self.fine_tune_epochs}.")
        if self.fine_tune_batch_size < 1:
            raise ConfigError(f"teacher.fine_tune_batch_size must be >= 1, got {self.fine_tune_batch_size}.")
        if self.fine_tune_lr <= 0:
            raise ConfigError(f"teacher.fine_tune_lr must be > 0, got {self.fine_tune_lr}.")
        if not 0 <= self.fine_tune_warmup_share <= 1:
            raise ConfigError(f"teacher.fine_tune_warmup_share must be in [0, 1], got {self.fine_tune_warmup_share}.")
        if self.fine_tune_weight_decay < 0:
            raise ConfigError(f"teacher.fine_tune_weight_decay must be >= 0, got {self.fine_tune_weight_decay}.")
        if self.fine_tune_head_lr_factor <= 0:
            raise ConfigError(f"teacher.fine_tune_head_lr_factor must be > 0, got {self.fine_tune_head_lr_factor}.")
        if self.fine_tune_max_examples is not None and self.fine_tune_max_examples < 1:
            raise ConfigError(
                f"teacher.fine_tune_max_examples must be null or >= 1, got {self.fine_tune_max_examples}."
            )
        if self.fine_tune_dropout is not None and not 0 <= self.fine_tune_dropout < 1:
            raise ConfigError(f"teacher.fine_tune_dropout must be null or >= 0 and < 1, got {self.fine_tune_dropout}.")
