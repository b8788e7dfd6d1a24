"""Parameters of the built-in data sources: their only defaults and range checks."""

from __future__ import annotations

from dataclasses import dataclass, field

from autodistill.components.specs import path_field
from autodistill.data.checks import check, check_carving, check_columns, check_labels, check_text_column

_DEFAULT_LIBRARIES = (
    *("botorch", "datasets", "networkx", "pandas", "plotly", "scipy"),
    *("sklearn", "sqlalchemy", "sympy", "torch", "torchmetrics", "transformers"),
)


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
        check(len(set(given)) == len(given) >= 2, "data.libraries", "two or more different names", given)
        check(self.examples_per_library >= 10, "data.examples_per_library", ">= 10", self.examples_per_library)
        check(self.examples_per_file >= 1, "data.examples_per_file", ">= 1", self.examples_per_file)
        check(self.min_words >= 3, "data.min_words", ">= 3", self.min_words)
        check(self.max_words >= self.min_words, "data.max_words", f">= min_words ({self.min_words})", self.max_words)
        check(0 < self.test_share < 1, "data.test_share", "between 0 and 1", self.test_share)
        rule = f"> 0 and < 1 - test_share ({1 - self.test_share:g})"
        check(0 < self.select_share < 1 - self.test_share, "data.select_share", rule, self.select_share)
        check(self.max_length >= 8, "data.max_length", ">= 8", self.max_length)


@dataclass
class OwnFilesConfig:
    """Parameters of all sources that read the user's own files."""

    train: str | None = path_field(None)
    """Path of the training examples: .tsv, .csv, .jsonl, .json (one object per line), each also .gz, or .parquet."""

    select: str | None = path_field(None)
    """Path of the examples that choose between models; None carves them from train."""

    test: str | None = path_field(None)
    """Path of the examples that are read once at the end; None means no test results."""

    id_column: str | None = None
    """Column of ids, unique within a file; None numbers the examples."""

    select_share: float = 0.1
    """Share of train that is carved off when select is None; 0 < share < 1."""

    select_max: int = 2000
    """Carved examples at most; >= 1."""

    train_limit: int | None = None
    """Training examples at most, chosen by a stable hash after carving; None keeps all; >= 1."""

    max_length: int = 128
    """Tokens per example at most; >= 8."""

    def __post_init__(self) -> None:
        check_carving(self.select_share, self.select_max, self.train_limit, self.max_length)


@dataclass
class TextClassificationConfig(OwnFilesConfig):
    """Your own texts or pairs, labelled or not: TSV, CSV, JSON lines or Parquet."""

    text_columns: list[str] = field(default_factory=lambda: ["text"])
    """One or two columns that hold the text."""

    label_column: str | None = "label"
    """Column of the class names or ids; None makes the task label-free: the teacher's answers are the target."""

    test_label_column: str | None = None
    """Of a label-free task: column of the classes in the test file, None if it has none; needs labels."""

    labels: list[str] | None = None
    """Class names in the order of their ids; None: those of the training file, sorted."""

    multi_label: bool = False
    """Whether an example may have any number of classes, also none."""

    label_separator: str = ","
    """Between the classes of an example, where a file does not have lists; not empty."""

    def __post_init__(self) -> None:
        super().__post_init__()
        others = {name: getattr(self, name) for name in ("label_column", "id_column", "test_label_column")}
        check_columns(self.text_columns, **others)
        check(self.label_separator != "", "data.label_separator", "not empty", self.label_separator)
        check_labels(self.labels)
        if self.test_label_column is not None:
            rule = "null unless the task is label-free (data.label_column=null) and data.labels names the classes"
            check(self.label_column is None and self.labels is not None, "data.test_label_column", rule, "a name")


@dataclass
class TextRegressionConfig(OwnFilesConfig):
    """Your own texts or pairs, each with a number: TSV, CSV, JSON lines or Parquet."""

    text_columns: list[str] = field(default_factory=lambda: ["text"])
    """One or two columns that hold the text."""

    label_column: str = "label"
    """Column of the numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_columns(self.text_columns, label_column=self.label_column, id_column=self.id_column)


@dataclass
class SentencesConfig(OwnFilesConfig):
    """Your own texts without labels, for sentence embeddings: TSV, CSV, JSON lines or Parquet."""

    text_column: str = "text"
    """Column that holds the text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_columns([self.text_column], id_column=self.id_column)


@dataclass
class TokenClassificationConfig(OwnFilesConfig):
    """Your own words with a label each: CoNLL files, JSON lines or Parquet."""

    train: str | None = path_field(None)
    """Path of the training examples: .conll, .iob, .bio, .txt, .jsonl, .json, each also .gz, or .parquet."""

    words_column: str = "words"
    """Column of the lists of words; a CoNLL file has them in the first column whatever it is called."""

    labels_column: str = "labels"
    """Column of the lists of labels; a CoNLL file has them in the last column."""

    labels: list[str] | None = None
    """Class names in the order of their ids, which the files may have in place of names; None: those of the training
    file, ``O`` first and the others sorted."""

    id_column: str | None = None
    """Column of ids, unique within a file; None numbers the examples; not used for CoNLL files."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_labels(self.labels)
        columns = {self.words_column, self.labels_column, self.id_column}
        check(
            len(columns) == 3, "data.words_column, labels_column and id_column", "different", sorted(map(str, columns))
        )
        check_text_column(self.words_column, "data.words_column")
