"""Expressions that choose networks by parts of their ids, as pytest's ``-k`` chooses tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from netprops.errors import UsageError


def selector(expression: str) -> Callable[[str], bool]:
    """Return a test of ids from an expression of parts of ids with ``and``, ``or``, ``not`` and brackets.

    Args:
        expression: As for pytest's ``-k``; empty for everything.

    Raises:
        UsageError: If it is not such an expression.

    Example:
        >>> selector("fc5 and not (s1 or s2)")("fc5-pdigits-w512-s0")
        True
    """
    operators = {"and", "or", "not", "(", ")"}
    words = re.findall(r"[()]|[^\s()]+", expression)
    if not words:
        return lambda name: True
    parts = [word.lower() for word in words if word not in operators]
    # Each part becomes its number, so that Python's own parser reads the logic whatever an id looks like.
    numbers = iter(range(len(parts)))
    logic = " ".join(word if word in operators else str(next(numbers)) for word in words)

    def holds(node: ast.expr, name: str) -> bool:
        match node:
            case ast.Constant(value=int(number)):
                return parts[number] in name
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not holds(operand, name)
            case ast.BoolOp(op=operator, values=values):
                return (all if isinstance(operator, ast.And) else any)(holds(one, name) for one in values)
        raise SyntaxError(logic)

    try:
        tree = ast.parse(logic, mode="eval").body
        holds(tree, "")
    except SyntaxError as error:
        raise UsageError(f"-k {expression!r} is not an expression of and, or, not and brackets") from error
    return lambda name: holds(tree, name.lower())
