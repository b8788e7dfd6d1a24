from __future__ import annotations

import numpy as np
import pytest

from autodistill.errors import ExportError
from autodistill.exporters.parity import check, compare

SAMPLE = [{"attention_mask": np.array([[1, 1], [1, 0]])}]


def test_equal_logits_have_no_difference_even_at_zero_tolerance() -> None:
    logits = [np.array([[1.0, -2.0], [0.0, 3.0]])]
    parity = compare(logits, logits, SAMPLE, 0, 0)
    check(parity, "The export")
    assert parity["max_abs_difference"] == 0
    assert parity["same_prediction"] == 1


def test_relative_difference_is_relative_to_the_largest_logit_of_the_row() -> None:
    parity = compare([np.array([[10.0, 0.0]])], [np.array([[10.0, 1.0]])], [{"attention_mask": np.ones((1, 2))}], 1, 0)
    assert parity["max_abs_difference"] == 1
    assert parity["max_relative_difference"] == pytest.approx(0.1)


def test_padding_tokens_do_not_count() -> None:
    expected = np.zeros((2, 2, 3))
    given = expected.copy()
    given[1, 1] = 100  # masked
    assert compare([expected], [given], SAMPLE, 0, 0)["max_abs_difference"] == 0


def test_not_a_number_is_never_within_tolerance() -> None:
    parity = compare([np.zeros((2, 2))], [np.full((2, 2), np.nan)], SAMPLE, 1e9, 1e9)
    with pytest.raises(ExportError, match="differ by up to inf"):
        check(parity, "The export")


def test_tolerance_is_absolute_plus_relative() -> None:
    expected, given = [np.array([[100.0, 0.0]])], [np.array([[100.9, 0.0]])]
    mask = [{"attention_mask": np.ones((1, 2))}]
    check(compare(expected, given, mask, 0.5, 0.005), "The export")
    with pytest.raises(ExportError, match=r"allowed are 0\.5 \+ 0\.001 x"):
        check(compare(expected, given, mask, 0.5, 0.001), "The export")
