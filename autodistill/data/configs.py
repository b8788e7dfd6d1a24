"""Parameters of the built-in data sources: their only defaults and range checks."""

from __future__ import annotations

from dataclasses import dataclass, field

from autodistill.components.specs import path_field
from autodistill.errors import ConfigError

_DEFAULT_LIBRARIES = (
    *("botorch", "datasets", "networkx", "pandas", "plotly", "scipy"),
    *("sklearn", "sqlalchemy", "sympy", "torch", "torchmetrics", "transformers"),
)


def _check(condition: bool, name: str, rule: str, given: object) -> None:
    if not condition:
        raise ConfigError(f"{name} must be {rule}, got {given!r}.")


@dataclass
class PythonDocsConfig:
    """Sentences from the docstrings of installed libraries; the label is the library."""

    libraries: list[str] = field(default_factory=lambda: list(_DEFAULT_LIBRARIES))
    """Import names of the libraries, which are the labels; at least two, each installed."""

    examples_per_library: int = 1000
    """Examples per library at most, all splits together; >= 10."""

    examples_per_file: int = 40
    """Examples from one source file at most; >= 1."""

    min_words: int = 10
    """Words per example at least, masked ones not counted; >= 3."""

    max_words: int = 32
    """Words per example at most; >= min_words."""

    test_share: float = 0.3
    """Share of the examples in the test split, whole source files; 0 < share < 1."""

    select_share: float = 0.15
    """Share of the examples in the select split, whole source files; 0 < share, test_share + select_share < 1."""

    max_length: int = 64
    """Tokens per example at most; >= 8."""

    snapshot: str | None = None
    """Fingerprint of an earlier snapshot in the cache to read, whatever is installed now; None builds from what is."""

    def __post_init__(self) -> None:
        given = self.libraries
        _check(len(set(given)) == len(given) >= 2, "data.libraries", "two or more different names", given)
        _check(self.examples_per_library >= 10, "data.examples_per_library", ">= 10", self.examples_per_library)
        _check(self.examples_per_file >= 1, "data.examples_per_file", ">= 1", self.examples_per_file)
        _check(self.min_words >= 3, "data.min_words", ">= 3", self.min_words)
        _check(self.max_words >= self.min_words, "data.max_words", f">= min_words ({self.min_words})", self.max_words)
        _check(0 < self.test_share < 1, "data.test_share", "between 0 and 1", self.test_share)
        rule = f"> 0 and < 1 - test_share ({1 - self.test_share:g})"
        _check(0 < self.select_share < 1 - self.test_share, "data.select_share", rule, self.select_share)
        _check(self.max_length >= 8, "data.max_length", ">= 8", self.max_length)


@dataclass
class TextClassificationConfig:
    """Your own labelled texts: TSV, CSV, JSON lines or Parquet."""

    train: str | None = path_field(None)
    """Path of the training examples: .tsv, .csv, .jsonl, .json (one object per line), each also .gz, or .parquet."""

    select: str | None = path_field(None)
    """Path of the examples that choose between models; None carves them from train."""

    test: str | None = path_field(None)
    """Path of the examples that are read once at the end; None means no test results."""

    text_columns: list[str] = field(default_factory=lambda: ["text"])
    """One or two columns that hold the text."""

    label_column: str | None = "label"
    """Column of the class names or ids; None makes the task label-free: the teacher's answers are the target."""

    select_share: float = 0.1
    """Share of train that is carved off when select is None; 0 < share < 1."""

    select_max: int = 2000
    """Carved examples at most; >= 1."""

    train_limit: int | None = None
    """Training examples at most, chosen by a stable hash after carving; None keeps all; >= 1."""

    max_length: int = 128
    """Tokens per example at most; >= 8."""

    def __post_init__(self) -> None:
        columns = self.text_columns
        _check(1 <= len(set(columns)) == len(columns) <= 2, "data.text_columns", "one or two different names", columns)
        _check(self.label_column not in columns, "data.label_column", "none of data.text_columns", self.label_column)
        _check(0 < self.select_share < 1, "data.select_share", "between 0 and 1", self.select_share)
        _check(self.select_max >= 1, "data.select_max", ">= 1", self.select_max)
        _check(self.train_limit is None or self.train_limit >= 1, "data.train_limit", ">= 1 or null", self.train_limit)
        _check(self.max_length >= 8, "data.max_length", ">= 8", self.max_length)
