from __future__ import annotations

from typing import Any

import pytest

from autodistill.components.students import FineTuning
from autodistill.errors import ConfigError
from autodistill.training.protocol import Point, best_point, read_protocol

GIVEN: dict[str, Any] = {"learning_rates": [1e-5, 3e-5], "batch_sizes": [16, 32], "epochs": [3], "seeds": None}


def test_the_grid_is_every_combination_once() -> None:
    protocol = read_protocol({**GIVEN, "batch_sizes": [16, 32, 16]})
    assert protocol.points == (Point(1e-5, 16, 3), Point(1e-5, 32, 3), Point(3e-5, 16, 3), Point(3e-5, 32, 3))
    assert protocol.points[0].name == "lr1e-05-batch16-epochs3"


def test_small_tasks_get_five_seeds_and_others_three() -> None:
    for benchmark in ("glue/rte", "glue/mrpc", "glue/cola", "glue/stsb"):
        assert read_protocol(GIVEN, benchmark).seeds == 5
    for benchmark in ("glue/sst2", "squad/1.1", ""):
        assert read_protocol(GIVEN, benchmark).seeds == 3
    assert read_protocol({**GIVEN, "seeds": 1}, "glue/rte").seeds == 1


def test_small_tasks_get_five_epochs_and_others_three_unless_told() -> None:
    untold: dict[str, Any] = {**GIVEN, "epochs": None}
    assert {point.epochs for point in read_protocol(untold, "glue/rte").points} == {5.0}
    assert {point.epochs for point in read_protocol(untold, "glue/sst2").points} == {3.0}
    assert {point.epochs for point in read_protocol({**GIVEN, "epochs": [2, 4]}, "glue/rte").points} == {2.0, 4.0}


def test_a_point_changes_what_it_names_and_nothing_else() -> None:
    base = FineTuning(epochs=1, batch_size=8, lr=1e-3, warmup_share=0.2, weight_decay=0.3, head_lr_factor=5.0)
    recipe = Point(2e-5, 32, 4.0).recipe(base)
    assert (recipe.lr, recipe.batch_size, recipe.epochs) == (2e-5, 32, 4.0)
    assert (recipe.warmup_share, recipe.weight_decay, recipe.head_lr_factor) == (0.2, 0.3, 5.0)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"learning_rates": []}, r"fine_tuning\.learning_rates must be a list of numbers > 0"),
        ({"learning_rates": [0.0]}, r"fine_tuning\.learning_rates must be a list of numbers > 0"),
        ({"batch_sizes": [1.5]}, r"fine_tuning\.batch_sizes must be a list of whole numbers > 0, e\.g\. \[32\], got"),
        ({"epochs": "3"}, r"fine_tuning\.epochs must be"),
        ({"seeds": 0}, r"fine_tuning\.seeds must be a whole number >= 1, or null, got 0"),
        ({"sedes": 3}, r"Unknown key fine_tuning\.sedes\. It has: learning_rates"),
    ],
)
def test_values_that_cannot_be_are_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_protocol({**GIVEN, **given})


def test_the_best_point_is_chosen_in_the_direction_of_the_metric() -> None:
    assert best_point([0.1, 0.9, 0.9, None], "maximize") == 1
    assert best_point([0.1, 0.9, float("nan")], "minimize") == 0
    assert best_point([None, float("nan")], "maximize") is None
