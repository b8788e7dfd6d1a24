"""Parity: how far an exported model's logits are from the trained model's, and whether that is too far.

Compared where it counts: for logits per token only at unmasked tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autodistill.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from autodistill.components.outcome import ExportSubject

Array = NDArray[Any]

#: Columns of a batch that models are given, in this order.
COLUMNS = ("input_ids", "attention_mask", "token_type_ids")


def logits_of(model: PreTrainedModel, sample: Sequence[Mapping[str, Any]]) -> list[Array]:
    """Outputs of a transformers model's head for each batch of ``sample``, float32.

    Raises:
        ExportError: it has none.
    """
    import torch

    from autodistill.training.features import head_outputs

    accepted = accepted_columns(model)
    answers = []
    with torch.inference_mode():
        for batch in sample:
            inputs = {name: torch.as_tensor(np.asarray(batch[name])).long() for name in accepted if name in batch}
            outputs = head_outputs(model(**inputs), inputs["attention_mask"])
            if outputs is None:
                raise ExportError(f"{type(model).__name__} has no outputs that can be compared.")
            answers.append(outputs.float().numpy())
    return answers


def accepted_columns(model: PreTrainedModel) -> tuple[str, ...]:
    """The columns of `COLUMNS` that the model's ``forward`` takes; no segments where it has only one."""
    import inspect

    parameters = inspect.signature(model.forward).parameters
    one_segment = getattr(model.config, "type_vocab_size", None) in (0, 1)
    return tuple(name for name in COLUMNS if name in parameters and not (one_segment and name == "token_type_ids"))


def compare(
    expected: Sequence[Array],
    given: Sequence[Array],
    sample: Sequence[Mapping[str, Any]],
    absolute: float,
    relative: float,
) -> dict[str, float]:
    """Numbers of the comparison of two models' logits.

    Args:
        expected: per batch, ``batch x classes`` or ``batch x tokens x classes``: the trained model's.
        given: the same of the exported model.
        sample: the batches, for their masks.
        absolute: tolerated absolute difference.
        relative: tolerated difference per unit of the expected logit.

    Returns:
        ``max_abs_difference``; ``max_relative_difference``, relative to the largest logit of the same row;
        ``max_excess``, difference over what is tolerated (above 1: too far); ``same_prediction``, share of rows with
        the same largest logit; ``n`` rows; ``tolerance`` and ``relative_tolerance``.
    """
    want = _rows(expected, sample)
    have = _rows(given, sample)
    difference = np.where(np.isfinite(have), np.abs(have - want), np.inf)
    scale = np.maximum(np.abs(want).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    allowed = np.maximum(absolute + relative * np.abs(want), np.finfo(np.float32).tiny)
    return {
        "max_abs_difference": float(difference.max()),
        "max_relative_difference": float((difference / scale).max()),
        "max_excess": float((difference / allowed).max()),
        "same_prediction": float((want.argmax(axis=1) == have.argmax(axis=1)).mean()),
        "n": float(len(want)),
        "tolerance": absolute,
        "relative_tolerance": relative,
    }


def _rows(logits: Sequence[Array], sample: Sequence[Mapping[str, Any]]) -> Array:
    rows = []
    for batch_logits, batch in zip(logits, sample, strict=True):
        per_token = batch_logits.ndim == 3  # batch x tokens x classes
        rows.append(batch_logits[np.asarray(batch["attention_mask"]).astype(bool)] if per_token else batch_logits)
    return np.concatenate(rows).astype(np.float64)


def check_tokenizer(subject: ExportSubject, directory: Path) -> None:
    """Call the saved tokeniser as anybody would, on two texts, and compare its segments with those of the sample.

    Raises:
        ExportError: only one of them tells the texts of a pair apart, so that the model would read what it was not
            trained on.
    """
    from transformers import AutoTokenizer

    if "token_type_ids" not in accepted_columns(subject.model):
        return
    saved = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    told = any(saved("first", "second").get("token_type_ids", ()))
    known = any(np.any(batch.get("token_type_ids", 0)) for batch in subject.sample)
    if told == known or (told and len(subject.task.text_columns) == 1):
        return
    raise ExportError(
        f"The saved tokeniser of {subject.name} {'tells' if told else 'does not tell'} the second text of a pair from "
        f"the first (token_type_ids), but the model was {'trained with' if known else 'trained without'} that, so that "
        "it would answer otherwise in use. The export was discarded. Set model_input_names in tokenizer_config.json of "
        "the teacher, and distil anew."
    )


def check(parity: Mapping[str, float], what: str) -> None:
    """Raise `ExportError` with the numbers when the comparison shows too large a difference."""
    if parity["max_excess"] <= 1:
        return
    raise ExportError(
        f"{what} does not answer like the trained model: the logits differ by up to "
        f"{parity['max_abs_difference']:.3g} (relative {parity['max_relative_difference']:.3g}, same prediction for "
        f"{parity['same_prediction']:.1%} of {parity['n']:.0f} examples); allowed are {parity['tolerance']:g} "
        f"+ {parity['relative_tolerance']:g} x |logit|. The export was discarded. Raise absolute_tolerance and "
        f"relative_tolerance of the exporter only if you know why they differ."
    )
