"""Projections of losses: trained beside the student, kept in the run's checkpoint, left behind at export."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from training_runs import make_request

from autodistill.components.training import Phase
from autodistill.training.distil import distil
from autodistill.training.results import CHECKPOINT


def test_projections_are_trained_kept_and_left_behind(tmp_path: Path) -> None:
    request = make_request(tmp_path, phases=(Phase("all", frozenset({"transfer", "prediction"}), 3),))
    projections = [parameter for loss, _ in request.losses.values() for parameter in loss.parameters()]
    before = [parameter.detach().clone() for parameter in projections]
    names = set(request.student.state_dict())
    distil(request)
    assert len(projections) == 6  # weight and bias of the embeddings' pair and two layers'
    assert all(not parameter.equal(start) for parameter, start in zip(projections, before, strict=True))
    checkpoint = torch.load(request.checkpoint_dir / CHECKPOINT, weights_only=True)["state_dict"]
    kept = [value for name, value in checkpoint.items() if name.startswith("extra.")]
    assert all(value.equal(parameter) for value, parameter in zip(kept, projections, strict=True))
    request.student.save_pretrained(tmp_path / "hf")
    assert set(load_file(tmp_path / "hf" / "model.safetensors")) == names
