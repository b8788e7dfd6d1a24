"""Searches that learn from earlier studies of the same storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_studies import replaced, tiny_study

import autodistill
from autodistill.engine.earlier import earlier_studies
from autodistill.engine.storage import Storage
from autodistill.engine.study import Study
from autodistill.errors import ConfigError

WARM = ("search=botorch", "search.initial=2", "search.warm_start=[earlier]", "study.name=later", "budget.trials=3")

MOBILEBERT = (
    "{num_layers: [6], hidden_size: [256], bottleneck_size: [64], num_heads: [2], intermediate_size: [384], "
    "num_ffn: [2]}"
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the finished study ``earlier``: the whole tiny space."""
    folder = tmp_path_factory.mktemp("earlier")
    run(folder, "study.name=earlier", "budget.trials=6")
    return folder


def run(directory: Path, *more: str) -> Study:
    given = replaced(tiny_study(directory), *more)
    return autodistill.run(autodistill.compose(given), overrides=given, explore_only=True)


def test_an_earlier_study_has_no_say_in_the_start(directory: Path) -> None:
    notes = [trial.note for trial in run(directory, *WARM).trials()]
    assert notes == [{"by": "start"}, {"by": "start"}, {"by": "model"}]


@pytest.mark.slow
def test_what_an_earlier_study_sees_later_changes_nothing(directory: Path, tmp_path: Path) -> None:
    for folder in ("alone", "grown"):
        run(tmp_path / folder, "study.name=earlier", "budget.trials=5")
        run(tmp_path / folder, *WARM, "budget.trials=1")
    run(tmp_path / "grown", "study.name=earlier", "budget.trials=6")
    alone, grown = (run(tmp_path / folder, *WARM, "budget.trials=4") for folder in ("alone", "grown"))
    assert [trial.architecture for trial in alone.trials()] == [trial.architecture for trial in grown.trials()]
    settings = autodistill.compose(replaced(tiny_study(tmp_path / "grown"), *WARM))
    with Storage(settings.storage_url) as storage:
        seen = earlier_studies(settings, storage, storage.get_study("later").id)
    assert len(seen[0].history) == 5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("search.warm_start=[nowhere]",), r"search\.warm_start: .*nowhere"),
        (("search.warm_start=[later2]", "study.name=later2"), r"names 'later2', which is this study itself"),
        (
            ("student=mobilebert", f"student.space={MOBILEBERT}", "study.name=narrow"),
            r"searched another space: bert with .* this one searches mobilebert .*only there: none; only here: bottlen",
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_an_error_before_training(
    directory: Path, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(directory, *WARM, *overrides)


def test_a_storage_without_any_study_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no study in sqlite:.* yet"):
        run(tmp_path, *WARM)
