from __future__ import annotations

from dataclasses import asdict
from importlib import import_module

import pytest

from autodistill.components.students import Dimensions
from autodistill.components.task import TaskSpec
from autodistill.components.training import LossContext
from autodistill.losses.plugin import autodistill_losses

SPECS = {spec.name: spec for spec in autodistill_losses()}


def test_the_built_in_losses_are_registered() -> None:
    assert list(SPECS) == [
        *("logits_kl", "hard_label", "mlm_soft", "hidden_mse", "hidden_cosine", "feature_map", "embedding_mse"),
        *("attention_kl", "attention_mse", "minilm_relation"),
    ]


@pytest.mark.parametrize("name", SPECS)
def test_a_loss_is_built_from_its_config(name: str) -> None:
    sizes = Dimensions(2, 8, 2, 3)
    task = TaskSpec(
        "mlm" if name == "mlm_soft" else "classification", ("a", "b", "c"), ("text",), "classification.accuracy"
    )
    module, attribute = SPECS[name].target.split(":")
    loss = getattr(import_module(module), attribute)(
        LossContext(sizes, sizes, ((1, 1),), task), **asdict(SPECS[name].config(weight=0.5))
    )
    assert loss.weight == 0.5
