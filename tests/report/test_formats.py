"""Numbers read as people write them, and a missing one never breaks a report."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.report import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.874, "0.874"), (91.23, "91.2"), (12345, "12,345"), (-1.5, "\u22121.50"), (3.1e-6, "3.10e\u22126")],
)
def test_significant_digits(value: float, text: str) -> None:
    assert formats.significant(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-12, max_value=1e12))
def test_three_significant_digits_are_within_half_a_per_cent(value: float) -> None:
    read_back = float(formats.significant(value).replace(",", "").replace(formats.MINUS, "-"))
    assert read_back == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.81, "0.8 s"),
        (12, "12 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (3599.9, "1 h 00 min"),
        (99.9 * 3600, "99 h 54 min"),
        (100 * 3600, "4 d 04 h"),
        (100.99 * 3600, "4 d 05 h"),
        (999 * 86400, "999 d 00 h"),
        (1218295 * 3600, "139 years"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(3_412_000, "", "3.41 M"), (1.2e15, "FLOP", "1.20 PFLOP"), (13_400_000, "B", "13.4 MB"), (12, "", "12.0")],
)
def test_decimal_prefixes(value: float, unit: str, text: str) -> None:
    assert formats.scaled(value, unit) == text


def test_shares_are_shown_in_per_cent_and_their_differences_in_points() -> None:
    entry = {"value": 0.0143, "low": 0.006, "high": 0.0224}
    assert formats.metric_with_interval("classification.accuracy", entry) == "1.4 % [0.6, 2.2]"
    assert formats.gain_with_interval("classification.accuracy", entry) == "+1.4 points [+0.6, +2.2]"
    assert formats.gain_with_interval("regression.spearman", entry) == "+0.0143 [+0.00600, +0.0224]"


def test_an_interval_is_left_out_when_a_bound_is_unknown() -> None:
    entry = {"value": 0.5, "low": None, "high": 0.6}
    assert formats.metric_with_interval("classification.accuracy", entry) == "50.0 %"


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, "12", True])
@pytest.mark.parametrize(
    "write",
    [
        formats.significant,
        formats.share,
        formats.ratio,
        formats.milliseconds,
        formats.parameters,
        formats.count,
        formats.duration,
    ],
)
def test_what_is_no_finite_number_is_a_dash(missing: object, write: Callable[[object], str]) -> None:
    assert write(missing) == formats.MISSING


def test_an_architecture_is_read_from_choices_and_from_the_canonical_form() -> None:
    choices = {"layers": 4, "hidden_size": 256}
    assert formats.architecture(choices) == "layers 4, hidden size 256"
    assert formats.architecture({"family": "bert", "choices": choices}) == "layers 4, hidden size 256"
    assert formats.architecture(None) == formats.MISSING


def test_passwords_and_tokens_are_masked_wherever_they_stand() -> None:
    config = {
        "storage": {"url": "postgresql://ada:love/lace@1815@db.example/studies"},
        "logger": [{"api_key": "abc", "log_every": 5, "tokens": 3}],
    }
    shown = formats.without_secrets(config)
    assert shown == {
        "storage": {"url": "postgresql://ada:***@db.example/studies"},
        "logger": [{"api_key": "***", "log_every": 5, "tokens": 3}],
    }
