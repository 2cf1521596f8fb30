"""The arithmetic a config file may use. Every result is small, so no expression can fill memory or time."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable

from gptmill.config.wording import one_line

MAX_BITS = 128
MAX_TEXT = 4096

BINARY: dict[type[ast.operator], Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
UNARY: dict[type[ast.unaryop], Callable] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
COMPARE: dict[type[ast.cmpop], Callable] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class Refused(Exception):
    """This expression is not plain data; the message says why, the caller adds the place."""


def as_text(value: object) -> str:
    if isinstance(value, list):
        raise Refused("a list cannot be turned into text")
    return str(value)


def binary(op: ast.operator, left: object, right: object) -> object:
    match left, right, op:
        case (int() | float() as base, int() | float() as exponent, ast.Pow()):
            if abs(exponent) > MAX_BITS or (base < 0 and isinstance(exponent, float)):
                raise Refused(f"an exponent must be between -{MAX_BITS} and {MAX_BITS}, of a base that is not negative")
        case (str() as text, int() as n_repeat, ast.Mult()) | (int() as n_repeat, str() as text, ast.Mult()):
            if n_repeat * len(text) > MAX_TEXT:
                raise Refused(f"text of more than {MAX_TEXT} characters")
        case (int() | float(), int() | float(), _) | (str(), str(), ast.Add()):
            pass
        case _:
            raise Refused("only numbers can be computed with, and text joined with + or repeated with *")
    return apply(BINARY[type(op)], left, right)


def apply(function: Callable, *values: object) -> object:
    try:
        return bounded(function(*values))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Refused(f"cannot be computed: {one_line(str(error))}") from None


def bounded(value: object) -> object:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise Refused(f"a number of more than {MAX_BITS} bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("a number that is not finite")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise Refused(f"text of more than {MAX_TEXT} characters")
    return value
