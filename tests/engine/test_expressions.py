from __future__ import annotations

import ast
import operator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autodistill.engine.expression_kinds import NameValues
from autodistill.engine.expressions import parse_expression
from autodistill.errors import ConfigError

VALUES: NameValues = {
    "hidden_size": (128, 256),
    "num_heads": (2, 4, 8),
    "activation": ("gelu", "relu"),
    "factorised": (False, True),
    "derived": (),
}


def holds(text: str, **values: bool | int | float | str) -> bool:
    return parse_expression(text, VALUES, "student.rules.test").holds(values)


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
        "hidden_size in (3, -'4')",
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
        match=r"unknown name 'num_head' at column 15 .* Did you mean 'num_heads'\? Names of the space: activation, der",
    ):
        holds("hidden_size % num_head == 0")


def test_division_by_zero_names_the_rule_and_the_values() -> None:
    with pytest.raises(ConfigError, match=r"rules\.test: 'hidden_size % num_heads == 0' .* hidden_size=4, num_heads=0"):
        holds("hidden_size % num_heads == 0", hidden_size=4, num_heads=0)


@pytest.mark.parametrize("text", ["hidden_size % 2", "hidden_size and True", "not hidden_size", "activation"])
def test_a_number_is_not_taken_for_true(text: str) -> None:
    with pytest.raises(ConfigError, match="must be true or false"):
        holds(text, hidden_size=3, activation="gelu")


@pytest.mark.parametrize("text", ["activation * 2 > 3", "-activation == 1", "max(activation, 1) > 0"])
def test_nothing_is_computed_with_text(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be worked out for activation='gelu'"):
        holds(text, activation="gelu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "num_heads != '4'",
            r"num_heads is compared with '4', but num_heads is one of 2, 4, 8, and '4' is text\. Did you mean 4\?",
        ),
        (
            "'four' == num_heads",
            r"'four' is compared with num_heads, but 'four' is text, and num_heads is one of 2, 4, 8\.",
        ),
        ("hidden_size > 1 or num_heads in (2, '8')", r"num_heads is compared with '8', .* Did you mean 8\?"),
        (
            "activation not in ['gelu', 3]",
            r"activation is compared with 3, but activation is one of 'gelu', 'relu', and 3 ",
        ),
        ("activation > 3", r"activation is compared with 3, .* and 3 is a number\."),
        ("activation == num_heads", r"one of 'gelu', 'relu', and num_heads is one of 2, 4, 8\."),
        ("factorised == 'True'", r"factorised is one of False, True, and 'True' is text\. Did you mean True\?"),
        ("(num_heads > 2) == 'yes'", r"num_heads > 2 is compared with 'yes', but num_heads > 2 is true or false, and "),
        ("derived == '4'", r"derived is compared with '4', but derived is a number, and '4' is text\.$"),
        ("num_heads + 1 < hidden_size != '3'", r"hidden_size is compared with '3'"),
    ],
)
def test_text_is_compared_with_text_alone(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^student\.rules\.test: .*{message}"):
        parse_expression(text, VALUES, "student.rules.test")


@pytest.mark.parametrize("text", ["activation != 'gleu'", "'gleu' == activation", "activation not in ('relu', 'gleu')"])
def test_a_text_that_a_parameter_never_is_has_a_guess(text: str) -> None:
    message = (
        r"^student\.rules\.test: .*'gleu'.*, which it never is\. Did you mean 'gelu'\? activation is one of 'gelu', "
        r"'relu'\. Take the text out of the expression, or into the space\.$"
    )
    with pytest.raises(ConfigError, match=message):
        parse_expression(text, VALUES, "student.rules.test")


_OPERANDS: dict[str, object] = {
    "num_heads": 4,
    "activation": "gelu",
    "factorised": True,
    "derived": 4,
    **{text: ast.literal_eval(text) for text in ("4", "5", "True", "'gelu'", "'relu'", "'gleu'", "'4'")},
}


@given(
    left=st.sampled_from(sorted(_OPERANDS)),
    right=st.sampled_from(sorted(_OPERANDS)),
    sign=st.sampled_from(["==", "!=", "in", "not in"]),
)
def test_random_comparisons_agree_with_python_or_are_refused_for_their_text(left: str, right: str, sign: str) -> None:
    among = sign.endswith("in")
    assume(not among or right not in VALUES)
    pair = _OPERANDS[left], _OPERANDS[right]
    mixed = isinstance(pair[0], str) != isinstance(pair[1], str)
    unknown = "activation" in (left, right) and {"'gleu'", "'4'"} & {left, right}
    values: dict[str, Any] = {name: _OPERANDS[name] for name in ("num_heads", "activation", "factorised", "derived")}
    text = f"{left} {sign} ({right},)" if among else f"{left} {sign} {right}"
    if mixed or unknown:
        with pytest.raises(ConfigError, match=r"student\.rules\.test: .* is compared with "):
            holds(text, **values)
    else:
        assert holds(text, **values) is ((pair[0] == pair[1]) is (sign in ("==", "in")))


def test_a_number_that_the_space_has_no_more_may_stand_in_a_rule() -> None:
    assert holds("num_heads != 12 and num_heads not in (16, 24) or hidden_size == 768", hidden_size=256, num_heads=4)


def test_every_text_may_be_ordered() -> None:
    assert holds("activation < 'h'", activation="gelu")


@pytest.mark.parametrize("text", ["-" * 400 + "1 > 0", "(" * 300 + "1" + ")" * 300 + " > 0", "1 + " * 400 + "1 > 0"])
def test_monstrous_expressions_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"student\.rules\.test"):
        holds(text)
