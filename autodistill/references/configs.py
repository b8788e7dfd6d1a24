"""Parameters of the built-in references and their range checks."""

from __future__ import annotations

from dataclasses import dataclass, field

from autodistill.errors import ConfigError


@dataclass
class TfidfLinearConfig:
    """Parameters of the reference ``tfidf_linear``."""

    word_ngrams: int = 2
    """Longest run of words that is a feature, >= 1."""
    character_ngrams: int = 0
    """Longest run of characters within words that is a feature; 0 for none, else >= 2."""
    min_documents: int = 2
    """Examples in which a feature must occur to count, >= 1."""
    regularisation: list[float] = field(default_factory=lambda: [1.0, 3.0, 10.0, 30.0])
    """Inverse strengths of the penalty, each > 0; the one with the best accuracy on the select split is taken."""

    def __post_init__(self) -> None:
        if self.word_ngrams < 1:
            raise ConfigError(f"reference.tfidf_linear.word_ngrams must be >= 1, got {self.word_ngrams}.")
        if self.character_ngrams < 0 or self.character_ngrams == 1:
            raise ConfigError(
                f"reference.tfidf_linear.character_ngrams must be 0 or >= 2, got {self.character_ngrams}."
            )
        if self.min_documents < 1:
            raise ConfigError(f"reference.tfidf_linear.min_documents must be >= 1, got {self.min_documents}.")
        if not self.regularisation or min(self.regularisation) <= 0:
            raise ConfigError(
                "reference.tfidf_linear.regularisation must be a list of at least one number > 0, "
                f"got {self.regularisation}."
            )


@dataclass
class TeacherInt8Config:
    """Parameters of the reference ``teacher_int8``."""

    opset: int = 17
    """ONNX operator set, 14 to 20."""
    batch_size: int = 32
    """Examples per batch when it predicts, >= 1; examples of like length share a batch."""
    threads: int = 1
    """CPU threads when it predicts, >= 1; timing has its own."""

    def __post_init__(self) -> None:
        # The range that torch's exporter writes and onnxruntime's quantiser reads.
        if not 14 <= self.opset <= 20:
            raise ConfigError(f"reference.teacher_int8.opset must be in [14, 20], got {self.opset}.")
        if self.batch_size < 1:
            raise ConfigError(f"reference.teacher_int8.batch_size must be >= 1, got {self.batch_size}.")
        if self.threads < 1:
            raise ConfigError(f"reference.teacher_int8.threads must be >= 1, got {self.threads}.")
