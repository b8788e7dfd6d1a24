"""Takes rules apart, so that a space can be counted with them: into conjuncts, and comparisons into summands.

``a < b < c`` binds three parameters, its conjuncts ``a < b`` and ``b < c`` two each; of ``a + b + c <= 9`` only the
running sum need be remembered. What cannot be taken apart without a change of meaning is left whole.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from autodistill.engine.expressions import Expression, expression_of

_DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)
_SYMBOLS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


def conjuncts(rule: Expression) -> list[Expression]:
    """Expressions that all hold exactly where ``rule`` does.

    A conjunct may protect a later one from a division by zero; with a division the rule is left whole.
    """
    tree = _tree(rule)
    if any(isinstance(node, _DIVISIONS) for node in ast.walk(tree)):
        return [rule]
    return [_expression(part, rule) for part in _split(tree)]


def summands(rule: Expression) -> tuple[str, list[tuple[int, Expression]]] | None:
    """Take a comparison apart into the sum that is compared with zero.

    Returns:
        The comparison (``"<="``, ...) and the summands with their signs; or None when it is no single comparison of
        two or more summands.
    """
    tree = _tree(rule)
    if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or type(tree.ops[0]) not in _SYMBOLS:
        return None
    parts = [*_terms(tree.left, 1), *_terms(tree.comparators[0], -1)]
    if len(parts) < 2 or any(_is_text(node) for _, node in parts):
        return None
    return _SYMBOLS[type(tree.ops[0])], [(sign, _expression(node, rule)) for sign, node in parts]


def _split(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        for part in node.values:
            yield from _split(part)
    elif isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        for left, op, right in zip(operands, node.ops, node.comparators, strict=False):
            yield ast.Compare(left, [op], [right])
    else:
        yield node


def _terms(node: ast.expr, sign: int) -> Iterator[tuple[int, ast.expr]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield from _terms(node.left, sign)
        yield from _terms(node.right, sign if isinstance(node.op, ast.Add) else -sign)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield from _terms(node.operand, -sign)
    else:
        yield sign, node


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bool)


def _tree(rule: Expression) -> ast.expr:
    return ast.parse(rule.text.strip(), mode="eval").body


def _expression(node: ast.expr, rule: Expression) -> Expression:
    return expression_of(node, rule.names, rule.where)
