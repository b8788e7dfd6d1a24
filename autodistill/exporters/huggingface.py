"""The ``huggingface`` exporter: a directory that transformers' Auto classes load without remote code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from autodistill.components.outcome import ExportReport, ExportSubject
from autodistill.errors import ExportError
from autodistill.exporters.auto_classes import load_pretrained, no_progress_bar
from autodistill.exporters.files import atomic_directory, bytes_of, sha256_of
from autodistill.exporters.parity import check, check_tokenizer, compare, logits_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: The weights file; small students are never sharded.
WEIGHTS = "model.safetensors"

#: Those of any model, as transformers names one file or several.
SHARDS = "model*.safetensors"


class HuggingFaceExporter:
    """Saves model and tokeniser, loads the model again and compares its logits.

    Args:
        absolute_tolerance: allowed difference of a logit.
        relative_tolerance: additional difference per unit of the logit.
    """

    def __init__(self, *, absolute_tolerance: float, relative_tolerance: float) -> None:
        self.absolute_tolerance = absolute_tolerance
        self.relative_tolerance = relative_tolerance

    def export(self, subject: ExportSubject, directory: Path) -> ExportReport:
        """Write ``directory``; see `autodistill.components.outcome.Exporter`.

        Raises:
            ExportError: it does not load as the same class, or its logits differ.
        """
        import transformers

        expected = logits_of(subject.model, subject.sample)
        with atomic_directory(directory) as temporary:
            save_pretrained(subject.model, temporary)
            subject.tokenizer.save_pretrained(temporary)
            check_tokenizer(subject, temporary)
            given = logits_of(_reload(subject, temporary), subject.sample)
            parity = compare(expected, given, subject.sample, self.absolute_tolerance, self.relative_tolerance)
            check(parity, f"The Hugging Face export of {subject.name}")
            (temporary / "parity.json").write_text(json.dumps(parity, indent=2) + "\n")
        return ExportReport(
            format="huggingface",
            path=directory,
            sha256=sha256_of(directory / WEIGHTS),
            parity=parity,
            bytes=bytes_of(directory),
            versions={"transformers": transformers.__version__},
        )


def save_pretrained(model: PreTrainedModel, directory: Path) -> None:
    """Write weights (safetensors, one file) and configuration of a model."""
    with no_progress_bar():
        model.save_pretrained(directory, max_shard_size="1000GB")


def weights_digest(directory: Path) -> str:
    """SHA-256 of the weights of a saved model: of the file when there is one, of the digests of several.

    Raises:
        ExportError: there are none.
    """
    digests = [sha256_of(path) for path in sorted(directory.glob(SHARDS))]
    if not digests:
        raise ExportError(
            f"{directory} holds no {WEIGHTS}, so there is no model to load. Give a directory that AutoDistill or "
            "transformers' save_pretrained wrote; pickled weights are not read."
        )
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _reload(subject: ExportSubject, directory: Path) -> PreTrainedModel:
    reloaded = load_pretrained(directory)
    if type(reloaded) is not type(subject.model):
        raise ExportError(
            f"The Hugging Face export of {subject.name} loads as {type(reloaded).__name__}, "
            f"but the trained model is a {type(subject.model).__name__}."
        )
    return reloaded
