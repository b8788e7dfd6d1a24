"""Parameters of the data source `corpus`: their only defaults and range checks; light."""

from __future__ import annotations

from dataclasses import dataclass

from autodistill.components.specs import path_field
from autodistill.data.checks import check


@dataclass
class CorpusConfig:
    """Any amount of text for masked-language-model distillation: plain text, JSON lines, Parquet, a folder, the hub."""

    path: str | None = path_field(None)
    """A file (.txt, .jsonl, .json, each also .gz, or .parquet), a folder of such files, or the name of a hub set."""

    select: str | None = path_field(None)
    """Documents that choose between models; None holds some of path out."""

    test: str | None = path_field(None)
    """Documents that are read once at the end; None holds some of path out."""

    select_documents: int = 500
    """Documents held out for select when it is None; >= 1. Equal documents and most near-duplicates are on one side."""

    test_documents: int = 500
    """Documents held out for test when it is None; 0 for no test."""

    documents: str = "blank_line"
    """How plain text is divided into documents: blank_line (empty lines between them) or line (one per line)."""

    column: str = "text"
    """Field of JSON lines, Parquet and hub data sets that holds the text."""

    allow_hub: bool = False
    """Whether a path that does not exist may be downloaded from the hub under that name."""

    hub_config: str | None = None
    """Configuration of the data set on the hub, e.g. 20231101.en of wikimedia/wikipedia."""

    revision: str | None = None
    """Commit, tag or branch on the hub; null is its main branch."""

    masked_share: float = 0.15
    """Share of the tokens that are to be predicted (80 % masked, 10 % random, 10 % kept); 0 < share < 1."""

    whole_word: bool = False
    """Whether all pieces of a word are masked together."""

    maskings: int = 10
    """Different maskings of each training example, pass after pass; teacher features are cached per masking; >= 1."""

    pairs: bool = False
    """Two consecutive pieces of a document per example, in place of rows packed to full length."""

    workers: int | None = None
    """Processes that read and tokenise; null: as many as there are cores; >= 1."""

    max_length: int = 128
    """Tokens per example; >= 8."""

    def __post_init__(self) -> None:
        check(self.select_documents >= 1, "data.select_documents", ">= 1", self.select_documents)
        check(self.test_documents >= 0, "data.test_documents", ">= 0", self.test_documents)
        check(self.documents in ("blank_line", "line"), "data.documents", "blank_line or line", self.documents)
        check(0 < self.masked_share < 1, "data.masked_share", "between 0 and 1", self.masked_share)
        check(self.maskings >= 1, "data.maskings", ">= 1", self.maskings)
        check(self.workers is None or self.workers >= 1, "data.workers", ">= 1 or null", self.workers)
        check(self.max_length >= 8, "data.max_length", ">= 8", self.max_length)
