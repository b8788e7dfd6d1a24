from __future__ import annotations

import ast
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.engine.expressions import parse_expression
from autodistill.errors import ConfigError

NAMES = ("hidden_size", "num_heads", "activation")


def holds(text: str, **values: bool | int | float | str) -> bool:
    return parse_expression(text, NAMES, "student.rules.test").holds(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hidden_size % num_heads == 0", True),
        ("not hidden_size // num_heads < 32", True),
        ("16 <= hidden_size / num_heads < 64", False),
        ("activation in ('gelu', 'relu') and num_heads != 3", True),
        ("activation not in ['gelu'] or hidden_size in (-1, 256)", True),
        ("max(num_heads, 8) - min(4, 2) * abs(-1) == 6", True),
        ("(hidden_size > 1) == True", True),
        ("+num_heads > -num_heads", True),
    ],
)
def test_expressions_mean_what_they_mean_in_python(text: str, expected: bool) -> None:
    assert holds(text, hidden_size=256, num_heads=4, activation="gelu") is expected


_NUMBERS = st.integers(-9, 9).map(str)
_ARITHMETIC = st.recursive(
    st.one_of(_NUMBERS, st.just("num_heads")),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%", "/"]), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=6,
)
_OPERATORS = {"<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne}


@given(left=_ARITHMETIC, right=_ARITHMETIC, sign=st.sampled_from(sorted(_OPERATORS)), heads=st.integers(-5, 5))
def test_random_arithmetic_agrees_with_python(left: str, right: str, sign: str, heads: int) -> None:
    text = f"{left} {sign} {right}"
    try:
        expected = _python(ast.parse(text, mode="eval").body, heads)
    except ZeroDivisionError:
        with pytest.raises(ConfigError, match=r"student\.rules\.test: .* cannot be worked out for"):
            holds(text, num_heads=heads)
    else:
        assert holds(text, num_heads=heads) is expected


def _python(node: ast.AST, heads: int) -> object:
    """An independent reading of the tree, for integers, arithmetic and one comparison."""
    binary = {
        ast.Add: "add",
        ast.Sub: "sub",
        ast.Mult: "mul",
        ast.FloorDiv: "floordiv",
        ast.Mod: "mod",
        ast.Div: "truediv",
    }
    compare = {ast.Lt: "lt", ast.LtE: "le", ast.Eq: "eq", ast.NotEq: "ne"}
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name():
            return heads
        case ast.UnaryOp(operand=operand):
            return -_python(operand, heads)  # type: ignore[operator]
        case ast.BinOp(left=left, op=op, right=right):
            return getattr(operator, binary[type(op)])(_python(left, heads), _python(right, heads))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return getattr(operator, compare[type(op)])(_python(left, heads), _python(right, heads))
    raise AssertionError(ast.dump(node))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true') == 0",
        "hidden_size.real == 1",
        "[n for n in (1, 2)] == 1",
        "(lambda: True)()",
        "hidden_size ** 2 > 1",
        "hidden_size << 2 > 1",
        "hidden_size is 3",
        "'a' if True else 'b'",
        "f'{hidden_size}' == '3'",
        "(x := 3) > 2",
        "abs(1, 2) > 1",
        "max(1) > 1",
        "min(*(1, 2)) > 1",
        "hidden_size in activation",
        "hidden_size in (num_heads,)",
        "None == 1",
        "{1: 2} == 1",
        "activation[0] == 'g'",
        "hidden_size = 3",
        "hidden_size >",
        "",
    ],
)
def test_what_is_not_in_the_language_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigError, match=r"student\.rules\.test: .*Allowed: numbers, text, names of the space"):
        holds(text, hidden_size=3, num_heads=2, activation="gelu")


def test_an_unknown_name_lists_the_known_ones_with_a_guess_and_the_position() -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown name 'num_head' at column 15 .* Did you mean 'num_heads'\? Names of the space: activation, hid",
    ):
        holds("hidden_size % num_head == 0")


def test_division_by_zero_names_the_rule_and_the_values() -> None:
    with pytest.raises(ConfigError, match=r"rules\.test: 'hidden_size % num_heads == 0' .* hidden_size=4, num_heads=0"):
        holds("hidden_size % num_heads == 0", hidden_size=4, num_heads=0)


@pytest.mark.parametrize("text", ["hidden_size % 2", "hidden_size and True", "not hidden_size", "activation"])
def test_a_number_is_not_taken_for_true(text: str) -> None:
    with pytest.raises(ConfigError, match="must be true or false"):
        holds(text, hidden_size=3, activation="gelu")


@pytest.mark.parametrize(
    "text", ["activation > 3", "activation * 2 == 'gelugelu'", "-activation == 1", "max(activation, 1) > 0"]
)
def test_text_and_numbers_do_not_mix(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be worked out for activation='gelu'"):
        holds(text, activation="gelu")


@pytest.mark.parametrize("text", ["-" * 400 + "1 > 0", "(" * 300 + "1" + ")" * 300 + " > 0", "1 + " * 400 + "1 > 0"])
def test_monstrous_expressions_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"student\.rules\.test"):
        holds(text)
