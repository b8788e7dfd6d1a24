from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.architecture import Architecture
from autodistill.students.bert import BertFamily
from autodistill.students.configs import BertFamilyConfig, MobileBertFamilyConfig
from autodistill.students.learning_rate import lr_factor
from autodistill.students.mobilebert import RANDOM_START, MobileBertFamily

sizes = st.integers(1, 2048)


@given(width=sizes, depth=sizes, reference_width=sizes, reference_depth=sizes, times=st.integers(2, 9))
def test_wider_and_deeper_means_slower(
    width: int, depth: int, reference_width: int, reference_depth: int, times: int
) -> None:
    reference = {"reference_width": reference_width, "reference_depth": reference_depth}
    factor = lr_factor(width=width, depth=depth, **reference)
    assert lr_factor(width=times * width, depth=depth, **reference) == pytest.approx(factor / times)
    assert lr_factor(width=width, depth=times * depth, **reference) == pytest.approx(factor / times**0.5)
    assert lr_factor(width=reference_width, depth=reference_depth, **reference) == 1


def bert(layers: int, width: int) -> Architecture:
    return Architecture(
        "bert", {"num_layers": layers, "hidden_size": width, "num_heads": 2, "intermediate_size": 2 * width}
    )


def mobilebert(layers: int, width: int) -> Architecture:
    fixed = {"hidden_size": 160, "num_heads": 2, "intermediate_size": 2 * width, "num_ffn": 2}
    return Architecture("mobilebert", {"num_layers": layers, "bottleneck_size": width, **fixed})


def families() -> dict[str, tuple[Any, Any]]:
    return {
        "bert": (BertFamily(**vars(BertFamilyConfig())), bert),
        "mobilebert": (MobileBertFamily(**vars(MobileBertFamilyConfig())), mobilebert),
    }


def test_families_state_where_their_factor_is_one() -> None:
    (bert_family, _), (mobile_family, _) = families().values()
    assert bert_family.lr_factor(bert(6, 384)) == 1
    assert bert_family.lr_factor(bert(6, 96)) == 4
    assert mobile_family.lr_factor(mobilebert(24, 128)) == RANDOM_START
    assert mobile_family.lr_factor(mobilebert(6, 32)) == 4 * RANDOM_START
