"""The learning rate's rule of each family trains the four corners of a space stably."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import Losses, make_request
from training_tiny import make_data, make_model

from autodistill.components.architecture import Architecture
from autodistill.components.students import StudentFamily, Vocabulary
from autodistill.components.training import Phase
from autodistill.students.bert import BertFamily
from autodistill.students.configs import BertFamilyConfig, MobileBertFamilyConfig
from autodistill.students.mobilebert import MobileBertFamily
from autodistill.training.distil import distil
from autodistill.training.teacher_features import OnlineTeacherFeatures

FAMILIES: dict[str, tuple[StudentFamily, dict[str, int]]] = {
    "bert": (BertFamily(**vars(BertFamilyConfig())), {"num_heads": 2, "intermediate_size": 64}),
    "mobilebert": (
        MobileBertFamily(**vars(MobileBertFamilyConfig())),
        {"hidden_size": 144, "num_heads": 2, "intermediate_size": 64, "num_ffn": 1},
    ),
}
WIDTH = {"bert": "hidden_size", "mobilebert": "bottleneck_size"}


def outspoken_teacher() -> Any:
    """One whose answers differ from example to example: with the weights of a random start they hardly do."""
    teacher = make_model(seed=1, dropout=0.0)
    with torch.no_grad():
        teacher.classifier.weight *= 100
    return teacher


@pytest.mark.parametrize(("family", "layers", "width"), list(product(FAMILIES, (1, 4), (16, 96))))
def test_the_rule_trains_every_corner(tmp_path: Path, family: str, layers: int, width: int) -> None:
    built, fixed = FAMILIES[family]
    architecture = Architecture(family, {"num_layers": layers, WIDTH[family]: width, **fixed})
    request, watch = make_request(tmp_path), Losses()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        request.student = built.build(architecture, make_data().task, Vocabulary(64, 32, 2, 0))
    request.losses = {"kl": request.losses["kl"]}
    request.phases = (Phase("prediction", frozenset({"prediction"}), 24),)
    request.teacher = OnlineTeacherFeatures(outspoken_teacher(), frozenset({("logits", None)}))
    request.callbacks = [watch]
    # 3e-4 is the schedules' default; these widths and depths are far below the families' reference.
    request.optimisation = replace(request.optimisation, lr=3e-4 * built.lr_factor(architecture))
    assert distil(request).state == "complete"
    losses = [item["kl"] for item in watch.seen]
    assert sum(losses[-8:]) < sum(losses[:8])  # eight steps are one pass over the examples
    assert max(losses) < 3 * max(losses[:8])
