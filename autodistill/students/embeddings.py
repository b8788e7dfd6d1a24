"""Word embeddings from any teacher: copied when the widths agree, else reduced to their principal components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autodistill.components.students import Initialisation, InitialisationKind


def initialise_word_embeddings(student: Any, teacher: Any, groups: Sequence[str]) -> Initialisation:
    """Start only the word embeddings of ``student`` from ``teacher``; the rest keeps its random start.

    Args:
        student: a stock transformers model.
        teacher: a stock transformers model of another family, same vocabulary.
        groups: names of the student's tensor groups, ``"word_embeddings"`` among them.
    """
    kinds: dict[str, InitialisationKind] = dict.fromkeys(groups, "random")
    kinds["word_embeddings"] = copy_word_embeddings(student.get_input_embeddings(), teacher.get_input_embeddings())
    return Initialisation(kinds)


@torch.no_grad()
def copy_word_embeddings(student: Any, teacher: Any) -> InitialisationKind:
    """Copy or reduce a word embedding in place and tell which; a wider or longer one keeps its random start.

    The row of the padding stays zero, as transformers starts it.
    """
    target, source = student.weight, teacher.weight
    if len(target) != len(source) or target.shape[1] > source.shape[1]:
        return "random"
    kind: InitialisationKind = "exact" if target.shape == source.shape else "reduced"
    if kind == "exact":
        target.copy_(source)
    else:
        # Scaled so that the components, far stronger than random rows, start at the size that the student's random
        # layers expect.
        reduced = principal_components(source, target.shape[1])
        target.copy_(reduced * (target.std() / reduced.std()))
    silence_padding(student)
    return kind


@torch.no_grad()
def silence_padding(embedding: Any) -> None:
    """Set the row of the padding to zeros, in place.

    MobileBERT joins the embeddings of neighbours: only of zeros can a text's last token not tell padding, and so
    answer as it does alone, without any.
    """
    if embedding.padding_idx is not None:
        embedding.weight[embedding.padding_idx] = 0


def principal_components(rows: Tensor, count: int) -> Tensor:
    """Project centred ``rows`` (n x width) on their ``count`` strongest principal components (n x count)."""
    centred = (rows - rows.mean(dim=0)).double()
    _, directions = torch.linalg.eigh(centred.T @ centred)
    strongest = directions.flip(1)[:, :count]
    # The sign of an eigenvector is arbitrary; fix it, so that every platform starts from the same weights.
    strongest = strongest * strongest.sum(dim=0).sign()
    projected: Tensor = (centred @ strongest).to(rows.dtype)
    return projected
