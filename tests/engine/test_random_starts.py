"""A search space that reaches beyond the teacher's width is told of, once, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_studies import replaced, tiny_study

import autodistill
from autodistill.engine.plan import make_plan
from autodistill.registry import Registry
from autodistill.report.progress import QuietProgress

DEPTHS = "num_layers: [1, 2], num_heads: [4], intermediate_size: [32]"


@pytest.mark.parametrize(
    ("widths", "more", "told"),
    [
        ("[16, 32]", (), None),
        ("[32, 48, 64]", ("student.initialisation=random",), None),
        ("[32, 48, 64]", (), "Students of width 48 and more start at random, although student.initialisation is"),
        ("[48, 64]", (), "All students start at random, although student.initialisation is 'teacher': the teacher's"),
    ],
)
def test_a_plan_says_which_students_are_too_wide_to_start_from_the_teacher(
    tmp_path: Path, fresh_registry: Registry, widths: str, more: tuple[str, ...], told: str | None
) -> None:
    given = replaced(tiny_study(tmp_path, *more), f"student.space={{hidden_size: {widths}, {DEPTHS}}}")
    facts = make_plan(autodistill.compose(given, fresh_registry), fresh_registry).facts
    assert ("start" in facts) == (told is not None)
    if told is not None:
        assert facts["start"].startswith(told)
        assert "word embeddings are 32 wide" in facts["start"]


def test_a_baseline_that_is_too_wide_is_named(tmp_path: Path, fresh_registry: Registry) -> None:
    given = tiny_study(tmp_path, "baseline=[tinybert_4l]")
    facts = make_plan(autodistill.compose(given, fresh_registry), fresh_registry).facts
    assert facts["start"].startswith("The baseline 'tinybert_4l' start")


def test_so_does_a_run_when_it_begins(tmp_path: Path) -> None:
    space = f"student.space={{hidden_size: [48], {DEPTHS}}}"
    given = replaced(tiny_study(tmp_path, "baseline=[]", "export=[]", "picks.max=0"), space, "budget.trials=1")
    told: list[str] = []
    progress = QuietProgress()
    progress.message = told.append  # type: ignore[method-assign]
    autodistill.run(autodistill.compose(given), overrides=given, progress=progress, explore_only=True)
    assert len([line for line in told if "start at random" in line]) == 1
