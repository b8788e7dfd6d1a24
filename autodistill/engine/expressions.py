"""A tiny expression language for the rules and conditions of a search space.

Expressions have Python's syntax and a small part of its meaning: numbers, text, names of the space, arithmetic
(``+ - * / // %``), comparisons (also chained), ``and``, ``or``, ``not``, parentheses, ``x in (2, 4)``, and the
functions ``min``, ``max`` and ``abs``. They are parsed into a tree and translated into closures by the functions
below; nothing is ever handed to Python's own evaluation. That text is compared with text alone is checked in
`autodistill.engine.expression_kinds`. What a search space does with expressions is in `autodistill.engine.space`.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from autodistill.components.architecture import Choice
from autodistill.engine.expression_kinds import NameValues, check_comparisons
from autodistill.errors import ConfigError, did_you_mean

Values: TypeAlias = Mapping[str, Choice]
Evaluator: TypeAlias = Callable[[Values], Choice]

ALLOWED = (
    "numbers, text, names of the space, + - * / // %, comparisons, and, or, not, parentheses, "
    "`in` with a list of literals, min(), max(), abs()"
)

# Rules are one line each; longer or deeper ones would exhaust Python's stack before they told anybody anything.
LONGEST_EXPRESSION = 1000
DEEPEST_EXPRESSION = 100

_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Choice, Choice], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}

#: Names that a parameter cannot have, because expressions give them a meaning.
RESERVED = frozenset(_FUNCTIONS)


class _OperandError(Exception):
    """A value of the wrong type inside an expression; `Expression` adds where and with which values."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Args:
        text: what the user wrote.
        where: the configuration key it came from, for messages.
        names: names of the space that occur in it.
    """

    text: str
    where: str
    names: frozenset[str]
    _evaluate: Evaluator = field(repr=False, compare=False)

    def holds(self, values: Values) -> bool:
        """Whether the expression is true for ``values`` (name -> value of at least every name in `names`).

        Raises:
            ConfigError: it divides by zero, computes with text, or is not true or false.
        """
        try:
            result = self._evaluate(values)
            return _truth(result, "the whole expression")
        except (ArithmeticError, TypeError, _OperandError) as error:
            guard = ""
            if isinstance(error, ZeroDivisionError):
                guard = " Forbid that by another rule, or begin it with what must hold first, e.g. `a > 0 and`."
            raise ConfigError(self._failure(values, error) + guard) from None

    def number(self, values: Values) -> int | float:
        """The finite number that the expression gives for ``values``; a whole one is an integer.

        Raises:
            ConfigError: it divides by zero, computes with text, or is no finite number.
        """
        try:
            result = _number(self._evaluate(values), "the whole expression")
            if isinstance(result, bool) or not math.isfinite(result):
                raise _OperandError(f"the whole expression must be a finite number, got {result!r}")
        except (ArithmeticError, TypeError, _OperandError) as error:
            raise ConfigError(self._failure(values, error)) from None
        return int(result) if float(result).is_integer() else result

    def _failure(self, values: Values, error: Exception) -> str:
        given = ", ".join(f"{name}={values[name]!r}" for name in sorted(self.names))
        return f"{self.where}: {self.text!r} cannot be worked out for {given or 'any values'}: {error}."


def parse_expression(text: str, values: NameValues, where: str) -> Expression:
    """Parse an expression.

    Args:
        text: what the user wrote.
        values: names that it may use -> what each may be; nothing for a derived one, which is a number.
        where: the configuration key it comes from, for messages.

    Raises:
        ConfigError: it is no expression, uses something that is not allowed, or an unknown name, or compares what can
            never be equal.
    """
    tree = _parse(text, where)
    expression = _compiled(text, tree, values, where)
    check_comparisons(tree, values, where)
    return expression


def expression_of(part: ast.expr, names: Collection[str], where: str) -> Expression:
    """A part of an expression that has been parsed, as one of its own; however long its text, its depth is no more."""
    return _compiled(ast.unparse(part), part, names, where)


def _compiled(text: str, tree: ast.expr, names: Collection[str], where: str) -> Expression:
    compiler = _Compiler(text, where, frozenset(names))
    evaluate = compiler.compile(tree)
    return Expression(text, where, frozenset(compiler.used), evaluate)


def _parse(text: str, where: str) -> ast.expr:
    if len(text) > LONGEST_EXPRESSION:
        raise ConfigError(f"{where} must have at most {LONGEST_EXPRESSION} characters, got {len(text)}.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        column = f" at column {error.offset}" if error.offset else ""
        raise ConfigError(f"{where}: {text!r} is no expression{column}: {error.msg}. Allowed: {ALLOWED}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{where}: {text[:60]!r} is no expression: {error}. Allowed: {ALLOWED}.") from None
    if (depth := _depth(tree)) > DEEPEST_EXPRESSION:
        raise ConfigError(f"{where} must be nested at most {DEEPEST_EXPRESSION} deep, got {depth}: {text[:60]!r} ...")
    return tree


def _depth(tree: ast.AST) -> int:
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _number(value: Choice, what: str) -> int | float:
    if isinstance(value, str):
        raise _OperandError(f"{what} needs numbers, got {value!r}")
    return value


def _truth(value: Choice, what: str) -> bool:
    if not isinstance(value, bool):
        raise _OperandError(f"{what} must be true or false, got {value!r}; compare it, e.g. with `== 0`")
    return value


class _Compiler:
    """Translates one tree into closures and remembers the names it met."""

    def __init__(self, text: str, where: str, names: frozenset[str]) -> None:
        self.text, self.where, self.names = text, where, names
        self.used: set[str] = set()

    def compile(self, node: ast.expr) -> Evaluator:
        """Translate ``node``; anything without a method here is not allowed."""
        method = getattr(self, f"_compile_{type(node).__name__.lower()}", None)
        if method is None:
            raise self._error(node, "is not allowed")
        compiled: Evaluator = method(node)
        return compiled

    def _error(self, node: ast.expr, problem: str) -> ConfigError:
        part = ast.get_source_segment(self.text.strip(), node) or ast.unparse(node)
        column = node.col_offset + 1
        return ConfigError(f"{self.where}: {part!r} at column {column} of {self.text!r} {problem}. Allowed: {ALLOWED}.")

    def _compile_constant(self, node: ast.Constant) -> Evaluator:
        value = node.value
        if not isinstance(value, bool | int | float | str):
            raise self._error(node, "is not allowed")
        return lambda values: value

    def _compile_name(self, node: ast.Name) -> Evaluator:
        name = node.id
        if name not in self.names:
            known = ", ".join(sorted(self.names)) or "none"
            hint = did_you_mean(name, self.names)
            raise ConfigError(
                f"{self.where}: unknown name {name!r} at column {node.col_offset + 1} of {self.text!r}.{hint} "
                f"Names of the space: {known}."
            )
        self.used.add(name)
        return lambda values: values[name]

    def _compile_binop(self, node: ast.BinOp) -> Evaluator:
        if type(node.op) not in _ARITHMETIC:
            raise self._error(node, "uses an operator that is not allowed")
        compute, what = _ARITHMETIC[type(node.op)], f"{ast.unparse(node)!r}"
        left, right = self.compile(node.left), self.compile(node.right)
        return lambda values: compute(_number(left(values), what), _number(right(values), what))

    def _compile_unaryop(self, node: ast.UnaryOp) -> Evaluator:
        operand, what = self.compile(node.operand), f"{ast.unparse(node)!r}"
        if isinstance(node.op, ast.Not):
            return lambda values: not _truth(operand(values), f"what follows `not` in {what}")
        if isinstance(node.op, ast.USub):
            return lambda values: -_number(operand(values), what)
        if isinstance(node.op, ast.UAdd):
            return lambda values: _number(operand(values), what)
        raise self._error(node, "uses an operator that is not allowed")

    def _compile_boolop(self, node: ast.BoolOp) -> Evaluator:
        parts = [(self.compile(part), f"{ast.unparse(part)!r}") for part in node.values]
        if isinstance(node.op, ast.And):
            return lambda values: all(_truth(part(values), what) for part, what in parts)
        return lambda values: any(_truth(part(values), what) for part, what in parts)

    def _compile_compare(self, node: ast.Compare) -> Evaluator:
        operands = [node.left, *node.comparators]
        links = [self._link(*link) for link in zip(operands, node.ops, node.comparators, strict=False)]
        if len(links) == 1:
            return links[0]
        return lambda values: all(link(values) for link in links)

    def _link(self, left_node: ast.expr, op: ast.cmpop, right_node: ast.expr) -> Callable[[Values], bool]:
        left = self.compile(left_node)
        if isinstance(op, ast.In | ast.NotIn):
            members, wanted = self._members(right_node), isinstance(op, ast.In)
            return lambda values: (left(values) in members) is wanted
        if type(op) not in _COMPARISONS:
            raise self._error(right_node, "follows a comparison that is not allowed (use == or !=)")
        compare, right = _COMPARISONS[type(op)], self.compile(right_node)
        return lambda values: compare(left(values), right(values))

    def _members(self, node: ast.expr) -> tuple[Choice, ...]:
        if not isinstance(node, ast.Tuple | ast.List):
            raise self._error(node, "must be a list of literals such as (2, 4) after `in`")
        return tuple(self._literal(element) for element in node.elts)

    def _literal(self, node: ast.expr) -> Choice:
        negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        value = node.operand if isinstance(node, ast.UnaryOp) and negative else node
        if not isinstance(value, ast.Constant) or not isinstance(value.value, bool | int | float | str):
            raise self._error(node, "is no literal; `in` takes numbers and text only")
        if not negative:
            return value.value
        if isinstance(value.value, str):
            raise self._error(node, "is no number")
        return -value.value

    def _compile_call(self, node: ast.Call) -> Evaluator:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in _FUNCTIONS or node.keywords:
            raise self._error(node, "is a call that is not allowed")
        fewest, most = (1, 1) if name == "abs" else (2, 100)
        if not fewest <= len(node.args) <= most:
            raise self._error(node, f"needs {'one argument' if most == 1 else 'two or more arguments'}")
        function, arguments = _FUNCTIONS[name], [self.compile(argument) for argument in node.args]
        return lambda values: function(*(_number(argument(values), f"{name}()") for argument in arguments))
