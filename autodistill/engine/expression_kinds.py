"""Checks what an expression compares: text with text, all else with all else, and no text that a parameter never is.

Anything else would have the same answer for every architecture, without a word. A *number* that a parameter never is
may be right: a space is made smaller, and its rules still speak of what was there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

from autodistill.components.architecture import Choice
from autodistill.errors import ConfigError, did_you_mean

Kind: TypeAlias = Literal["text", "true or false", "numbers"]

#: Name of the space -> its values; none for a derived one, which is a number.
NameValues: TypeAlias = Mapping[str, Sequence[Choice]]

# Values of a parameter that a message lists.
_LISTED = 20


def check_comparisons(tree: ast.expr, values: NameValues, where: str) -> None:
    """Check every comparison of a parsed expression.

    Args:
        tree: of the whole expression, all of whose names are known.
        values: what each name may be.
        where: the configuration key it came from, for messages.

    Raises:
        ConfigError: text is compared with what is no text, or a name with a text that is none of its values.
    """
    for left, op, right in _comparisons(tree):
        what = f"{where}: {ast.unparse(left)} is compared with {ast.unparse(right)}"
        if (_kind(left, values) == "text") != (_kind(right, values) == "text"):
            raise ConfigError(
                f"{what}, but {_described(left, values)}, and {_described(right, values)}.{_meant(left, right, values)}"
            )
        if not isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
            continue
        for name, literal in ((left, right), (right, left)):
            if isinstance(name, ast.Name) and isinstance(literal, ast.Constant):
                _check_known(name.id, literal.value, values, what)


def _comparisons(tree: ast.expr) -> Iterator[tuple[ast.expr, ast.cmpop, ast.expr]]:
    """Every comparison of two operands; ``in`` compares with each member."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for (left, right), op in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
                for member in right.elts if isinstance(right, ast.Tuple | ast.List) else [right]:
                    yield left, op, member


def _check_known(name: str, literal: object, values: NameValues, what: str) -> None:
    if isinstance(literal, str) and literal not in values[name]:
        possible = [item for item in values[name] if isinstance(item, str)]
        raise ConfigError(
            f"{what}, which it never is.{did_you_mean(literal, possible)} {_listed(name, values)}. Take the text out "
            "of the expression, or into the space."
        )


def _kind(node: ast.expr, values: NameValues) -> Kind:
    match node:
        case ast.Constant(value=value):
            return _kind_of(value)
        case ast.Name(id=name):
            return _kind_of(next(iter(values[name]), 0))
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
            return "true or false"
        case _:
            return "numbers"


def _kind_of(value: object) -> Kind:
    if isinstance(value, str):
        return "text"
    return "true or false" if isinstance(value, bool) else "numbers"


def _described(node: ast.expr, values: NameValues) -> str:
    if isinstance(node, ast.Name) and values[node.id]:
        return _listed(node.id, values)
    kind = _kind(node, values)
    return f"{ast.unparse(node)} is {'a number' if kind == 'numbers' else kind}"


def _listed(name: str, values: NameValues) -> str:
    more = ", ..." if len(values[name]) > _LISTED else ""
    return f"{name} is one of {', '.join(map(repr, values[name][:_LISTED]))}{more}"


def _meant(left: ast.expr, right: ast.expr, values: NameValues) -> str:
    """A guess where only the quotes are too many or too few."""
    for name, literal in ((left, right), (right, left)):
        if isinstance(name, ast.Name) and isinstance(literal, ast.Constant):
            same = [item for item in values[name.id] if str(item) == str(literal.value)]
            if same:
                return f" Did you mean {same[0]!r}?"
    return ""
