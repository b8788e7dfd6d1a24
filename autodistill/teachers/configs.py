"""Parameters of the built-in teachers and their range checks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autodistill.components.specs import path_field
from autodistill.errors import ConfigError

#: Width of MobileBERT's and IB-BERT's word embedding (arXiv 2004.02984), so that students can copy it.
WORD_EMBEDDING = 128


@dataclass
class FineTunedTeacherConfig:
    """Parameters of every built-in teacher: how it learns the task, and whether it may fail to."""

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
    allow_weak: bool = False
    """Whether students may learn from a teacher that is not surely better than always giving the same answer."""

    def __post_init__(self) -> None:
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


@dataclass
class HuggingFaceTeacherConfig(FineTunedTeacherConfig):
    """Parameters of the teacher ``huggingface``."""

    path: str | None = path_field(None)
    """Directory with config.json, model.safetensors and tokenizer.json; null is the packaged all-MiniLM-L6-v2."""
    sha256: str | None = None
    """Expected SHA-256 of model.safetensors, 64 hexadecimal digits; null accepts any (but for the packaged teacher)."""
    allow_hub: bool = False
    """Whether a path that is no directory may be downloaded from the model hub under that name."""
    revision: str | None = None
    """Commit, tag or branch on the model hub; null is its main branch."""

    def __post_init__(self) -> None:
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ConfigError(f"teacher.sha256 must be 64 hexadecimal digits in lower case, got {self.sha256!r}.")
        if self.revision is not None and not self.allow_hub:
            raise ConfigError(
                f"teacher.revision={self.revision} names a version on the model hub, which is not used unless "
                "teacher.allow_hub=true."
            )
        super().__post_init__()


@dataclass
class IBBertTeacherConfig(FineTunedTeacherConfig):
    """Parameters of the teacher ``ib_bert``; the sizes' defaults are IB-BERT-large's (arXiv 2004.02984)."""

    tokenizer: str | None = path_field(None)
    """Directory with tokenizer.json or vocab.txt; null is the packaged quickstart teacher's (BERT, lower case)."""
    num_layers: int = 24
    """Blocks, >= 1."""
    hidden_size: int = 512
    """Width between the blocks, > 128, the word embedding's."""
    intra_size: int = 1024
    """Width inside the blocks, a multiple of num_heads."""
    num_heads: int = 4
    """Attention heads per block, >= 1."""
    intermediate_size: int = 4096
    """Units of the feed-forward network, >= 1."""
    max_positions: int = 512
    """Longest sequence, in tokens, >= 1."""
    start_seed: int = 0
    """Seed of the random start."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("num_layers", "intra_size", "num_heads", "intermediate_size", "max_positions"):
            if getattr(self, field) < 1:
                raise ConfigError(f"teacher.{field} must be >= 1, got {getattr(self, field)}.")
        if self.hidden_size <= WORD_EMBEDDING:
            raise ConfigError(
                f"teacher.hidden_size must be > {WORD_EMBEDDING}, the width of the word embedding, got "
                f"{self.hidden_size}."
            )
        if self.intra_size % self.num_heads:
            raise ConfigError(
                f"teacher.intra_size must be a multiple of teacher.num_heads, got {self.intra_size} and "
                f"{self.num_heads}."
            )
