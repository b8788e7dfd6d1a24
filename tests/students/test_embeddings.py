"""Word embeddings reduced to principal components."""

from __future__ import annotations

import torch

from autodistill.students.embeddings import copy_word_embeddings, principal_components


def test_components_as_many_as_the_rank_keep_all_distances() -> None:
    rows = (torch.randn(30, 3) @ torch.randn(3, 8)).double()
    reduced = principal_components(rows, 3)
    torch.testing.assert_close(torch.cdist(reduced, reduced), torch.cdist(rows, rows), atol=1e-6, rtol=1e-6)


def test_strongest_component_comes_first() -> None:
    reduced = principal_components(torch.randn(40, 6) * torch.tensor([1.0, 9.0, 2.0, 5.0, 3.0, 4.0]), 4)
    spread = reduced.std(dim=0)
    assert torch.equal(spread, spread.sort(descending=True).values)


def test_reduced_embedding_starts_at_the_size_of_a_random_one() -> None:
    torch.manual_seed(0)
    student, teacher = torch.nn.Embedding(40, 4), torch.nn.Embedding(40, 16)
    with torch.no_grad():
        student.weight.mul_(0.02)
    before = student.weight.std().item()
    assert copy_word_embeddings(student, teacher) == "reduced"
    torch.testing.assert_close(student.weight.std().item(), before, rtol=1e-4, atol=1e-6)


def test_wider_embedding_or_another_vocabulary_stays_random() -> None:
    assert copy_word_embeddings(torch.nn.Embedding(40, 16), torch.nn.Embedding(40, 4)) == "random"
    assert copy_word_embeddings(torch.nn.Embedding(40, 4), torch.nn.Embedding(41, 4)) == "random"
