"""The baseline `teacher_truncated`."""

from __future__ import annotations

import pytest

from autodistill.baselines.configs import TeacherTruncatedConfig
from autodistill.baselines.teacher_truncated import TeacherTruncated
from autodistill.components.architecture import Architecture
from autodistill.components.students import BaselineContext
from autodistill.errors import ConfigError

SIZES = {"num_layers": 6, "hidden_size": 384, "num_heads": 12, "intermediate_size": 1536}
CONTEXT = BaselineContext("truncated", Architecture("bert", SIZES), "bert")


def test_default_keeps_half_of_the_layers_and_everything_else() -> None:
    (only,) = TeacherTruncated(CONTEXT, layers=None).architectures()
    assert only.name == "truncated-3"
    assert only.architecture == Architecture("bert", {**SIZES, "num_layers": 3})


def test_one_baseline_for_each_number_of_layers() -> None:
    names = [found.name for found in TeacherTruncated(CONTEXT, layers=[2, 4, 2]).architectures()]
    assert names == ["truncated-2", "truncated-4"]


def test_teacher_of_one_layer_is_no_baseline() -> None:
    context = BaselineContext("truncated", Architecture("bert", {**SIZES, "num_layers": 1}), "bert")
    with pytest.raises(ConfigError, match="is to keep 1 layers, but the teacher has 1"):
        TeacherTruncated(context, layers=None).architectures()


def test_more_layers_than_the_teacher_has_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"to keep 6 layers, but the teacher has 6; baseline\.truncated\.layers must be"
    ):
        TeacherTruncated(CONTEXT, layers=[3, 6]).architectures()


def test_teacher_of_no_family_is_refused_with_the_way_out() -> None:
    context = BaselineContext("truncated", None, "mobilebert")
    with pytest.raises(ConfigError, match=r"\(neither of the study's, 'mobilebert', .* out: '~baseline\.truncated'\."):
        TeacherTruncated(context, layers=None).architectures()


def test_family_without_layers_is_refused() -> None:
    context = BaselineContext("truncated", Architecture("homemade", {"depth": 3}), "homemade")
    with pytest.raises(ConfigError, match="needs the choices num_layers, and the family 'homemade' has no num_layers"):
        TeacherTruncated(context, layers=None).architectures()


@pytest.mark.parametrize("layers", [[], [0], [3, -1]])
def test_impossible_numbers_of_layers_are_refused(layers: list[int]) -> None:
    with pytest.raises(
        ConfigError, match=r"teacher_truncated\.layers must be null or a list of whole numbers >= 1, got"
    ):
        TeacherTruncatedConfig(layers)
