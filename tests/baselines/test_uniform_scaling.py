"""The baseline `uniform_scaling`."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.baselines.configs import UniformScalingConfig
from autodistill.baselines.uniform_scaling import UniformScaling, scaled
from autodistill.components.architecture import Architecture
from autodistill.components.students import BaselineContext, Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.errors import ConfigError
from autodistill.students.bert import BertFamily
from autodistill.students.configs import BertFamilyConfig, MobileBertFamilyConfig
from autodistill.students.mobilebert import MobileBertFamily

SIZES = {"num_layers": 6, "hidden_size": 384, "num_heads": 12, "intermediate_size": 1536}
CONTEXT = BaselineContext("scaling", Architecture("bert", SIZES), "bert")
TASK = TaskSpec("classification", ("no", "yes"), ("text",), "classification.accuracy")
VOCABULARY = Vocabulary(30522, 512, 2, 0)


def test_half_scale_halves_every_size_and_keeps_the_size_of_a_head() -> None:
    (only,) = UniformScaling(CONTEXT, scales=[0.5]).architectures()
    assert only.name == "scaling-0.5"
    halves = {"num_layers": 3, "hidden_size": 192, "num_heads": 6, "intermediate_size": 768}
    assert only.architecture == Architecture("bert", halves)


def test_mobilebert_is_scaled_inside_its_bottleneck_too() -> None:
    sizes = {"num_layers": 24, "hidden_size": 512, "bottleneck_size": 128, "num_heads": 4, "intermediate_size": 512}
    halves = scaled({**sizes, "num_ffn": 4}, 0.5)
    assert halves == {**{name: value // 2 for name, value in sizes.items()}, "num_ffn": 4}
    MobileBertFamily(**asdict(MobileBertFamilyConfig())).validate(Architecture("mobilebert", halves))


def test_every_default_scale_of_mobilebert_can_be_built() -> None:
    """Its width may not fall to that of its word embedding; a narrow teacher is not made wider."""
    sizes = {"num_layers": 24, "hidden_size": 512, "bottleneck_size": 128, "num_heads": 4, "intermediate_size": 512}
    family = MobileBertFamily(**asdict(MobileBertFamilyConfig()))
    for width, expected in ((512, [136, 256, 384]), (132, [132, 132, 132])):
        teacher = Architecture("mobilebert", {**sizes, "hidden_size": width, "num_ffn": 4})
        scaling = UniformScaling(BaselineContext("scaling", teacher, "mobilebert"), **asdict(UniformScalingConfig()))
        found = [named.architecture for named in scaling.architectures()]
        for architecture in found:
            family.validate(architecture)
        assert [architecture.choices["hidden_size"] for architecture in found] == expected


@given(st.lists(st.floats(0.02, 0.98), min_size=2, max_size=6))
def test_curve_rises_in_scale_and_parameters_without_repeats(scales: list[float]) -> None:
    family = BertFamily(**asdict(BertFamilyConfig()))
    found = [named.architecture for named in UniformScaling(CONTEXT, scales=scales).architectures()]
    counts = [family.parameters(architecture, TASK, VOCABULARY) for architecture in found]
    assert counts == sorted(set(counts))
    assert CONTEXT.teacher not in found


def test_teacher_of_no_family_is_refused() -> None:
    with pytest.raises(ConfigError, match="The baseline 'scaling' is made from the teacher's own architecture, but"):
        UniformScaling(BaselineContext("scaling", None, "bert"), scales=[0.5]).architectures()


@pytest.mark.parametrize("scales", [[], [0.0], [0.5, 1.0]])
def test_scales_out_of_range_are_refused(scales: list[float]) -> None:
    with pytest.raises(
        ConfigError, match=r"uniform_scaling\.scales must be a list of at least one number in \(0, 1\), got"
    ):
        UniformScalingConfig(scales)
