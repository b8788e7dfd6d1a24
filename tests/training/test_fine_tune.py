from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autodistill.components.students import FineTuning
from autodistill.components.task import TaskData
from autodistill.errors import ConfigError, OutOfMemoryTrialError, TrialError
from autodistill.training.fine_tune import fine_tune
from autodistill.training.predict import predict
from autodistill.training.tokenised import TokenisedSplit, tokenise

RECIPE = FineTuning(epochs=12.5, batch_size=16, lr=3e-3, warmup_share=0.1, weight_decay=0.01)


def tune(model: Any, split: TokenisedSplit, directory: Path, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "recipe": RECIPE,
        "seed": 0,
        "trainer": {},
        "loggers": [],
        "callbacks": [],
        "checkpoint_dir": directory,
        "progress": None,
    }
    return fine_tune(model, split, **{**arguments, **changes})


def test_a_teacher_learns_the_labels(model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path) -> None:
    model, steps = model_of(), []
    result = tune(model, train, tmp_path / "run", progress=lambda step, total: steps.append((step, total)))
    assert (result.state, result.steps, result.examples) == ("complete", 50, 800)
    assert steps[-1] == (50, 50)
    assert set(result.losses) == {"labels", "total"}
    assert (predict(model, train).argmax(1) == train.labels).mean() > 0.9
    assert not model.training


def test_steps_in_parts_teach_the_same(model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path) -> None:
    found, passes = [], []
    for parts in (1, 4):
        model = model_of(dropout=0.0)
        model.register_forward_pre_hook(lambda *_, parts=parts: passes.append(parts))
        found.append(tune(model, train, tmp_path / f"{parts}", recipe=replace(RECIPE, epochs=1), accumulate=parts))
    assert (passes.count(1), passes.count(4)) == (4, 16)
    assert found[0].losses == pytest.approx(found[1].losses, rel=1e-4)


def test_an_interrupted_fine_tuning_goes_on_exactly(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    whole, parts = model_of(), model_of()
    tune(whole, train, tmp_path / "whole")
    asked = itertools.count(1)
    first = tune(parts, train, tmp_path / "parts", stop_requested=lambda: next(asked) == 20)
    assert (first.state, first.steps) == ("interrupted", 20)
    fresh = model_of()
    assert tune(fresh, train, tmp_path / "parts").state == "complete"
    assert all(value.equal(fresh.state_dict()[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize(
    ("recipe", "trainer", "message"),
    [
        ({"lr": 1e30}, {}, r"Lower teacher\.fine_tune_lr, raise teacher\.fine_tune_warmup_share, or use trainer\.prec"),
        (
            {"batch_size": 15},
            {"strategy": "ddp", "devices": 2},
            r"the 15 examples of a step.* Change teacher\.fine_tune_batch_size or trainer\.devices",
        ),
    ],
)
def test_errors_name_the_settings_of_the_fine_tuning(
    model_of: Callable[..., Any],
    train: TokenisedSplit,
    tmp_path: Path,
    recipe: dict[str, Any],
    trainer: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises((TrialError, ConfigError), match=message):
        tune(model_of(), train, tmp_path / "run", recipe=replace(RECIPE, **recipe), trainer=trainer)


def test_a_teacher_that_does_not_fit_into_memory_is_called_one(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    model = model_of()
    model.classifier.register_forward_pre_hook(lambda *_: torch.empty(2**60, dtype=torch.uint8))
    with pytest.raises(
        OutOfMemoryTrialError, match=r"Take a smaller data\.max_length or teacher, or a machine with more memory"
    ):
        tune(model, train, tmp_path / "run")


def test_a_regression_is_learnt(
    model_of: Callable[..., Any], tokenizer: Any, data_of: Callable[..., TaskData], tmp_path: Path
) -> None:
    split = tokenise(data_of(kind="regression"), tokenizer, 16, tmp_path)["train"]
    model = model_of(labels=1)
    tune(model, split, tmp_path / "run", recipe=replace(RECIPE, epochs=40, lr=1e-2))
    assert split.labels is not None
    assert ((predict(model, split)[:, 0] - split.labels) ** 2).mean() < 0.1


def test_a_split_without_labels_is_refused(
    model_of: Callable[..., Any], tokenizer: Any, data_of: Callable[..., TaskData], tmp_path: Path
) -> None:
    split = tokenise(data_of(label_free=True), tokenizer, 16, tmp_path)["train"]
    with pytest.raises(ConfigError, match="only on a train split with labels"):
        tune(model_of(), split, tmp_path / "run")
