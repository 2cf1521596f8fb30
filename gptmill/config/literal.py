"""Reads a nanoGPT-style ``.py`` config as data: assignments of literals and arithmetic. Nothing is ever executed.

The text is parsed to a syntax tree and the few node types below are evaluated by hand; every other one is refused
with its line.
"""

from __future__ import annotations

import ast
import re
import time
import warnings

from gptmill.config.arithmetic import BINARY, COMPARE, UNARY, Refused, apply, as_text, binary, bounded
from gptmill.config.layers import Layer, Reading, Setting
from gptmill.config.wording import MAX_PROBLEMS, misspells, one_line

MAX_DEPTH = 50
MAX_ITEMS = 256
MAX_BRACES = 1000  # CPython parses a text with many f-string fields in quadratic time
FORMAT_SPEC = re.compile(r"[<>^]?0?\d{0,2}(\.\d{1,2})?[deEfgGs%]?")


class Unread(Exception):
    """This expression uses a name whose own line was refused."""


def read_python(text: str, path: str, known: frozenset[str]) -> Reading:
    """The settings of a ``.py`` config, and one problem per statement that is not data.

    Args:
        path: as shown in origins and messages.
        known: every name that is a key; another name is a helper if a later line uses it, else it is kept so that
            the resolver reports it as unknown.
    """
    reader = _Reader(path)
    try:
        statements = _parse(text, path)
    except Refused as refused:
        return Reading(problems=[str(refused)])
    for statement in statements:
        reader.statement(statement)
    helpers = {n for n in reader.layer if n not in known and (n in reader.used or n.startswith("_"))}
    notices = [
        f"{reader.layer[name].origin}: {one_line(name)} is not a key, only a helper of later lines; did you mean {key!r}?"
        for name in sorted(helpers)[:MAX_PROBLEMS]
        if (key := misspells(name, known))
    ]
    return Reading({n: s for n, s in reader.layer.items() if n not in helpers}, notices, reader.problems)


def _parse(text: str, path: str) -> list[ast.stmt]:
    if text.count("{") > MAX_BRACES:
        raise Refused(f"{path}: more than {MAX_BRACES} braces; a config assigns plain values")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' in a text is not worth a line on stderr
            return ast.parse(text).body
    except SyntaxError as error:
        reason = one_line(error.msg.split(";")[0].split(": value has")[0])
        raise Refused(f"{path}:{error.lineno or 1}: not valid Python: {reason}") from None
    except (RecursionError, MemoryError, ValueError):
        raise Refused(f"{path}: an expression is nested too deeply; a config assigns plain values") from None


class _Reader:
    def __init__(self, path: str) -> None:
        self.path = path
        self.layer: Layer = {}
        self.used: set[str] = set()
        self.unread: set[str] = set()  # names whose own line was refused: said once, not at every use
        self.problems: list[str] = []
        self.began = time.time()  # one answer for every time.time() of a file

    def statement(self, node: ast.stmt) -> None:
        place = f"{self.path}:{node.lineno}"
        try:
            match node:
                case ast.Assign(targets=targets, value=value):
                    self.assign(targets, value, place)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self.assign([target], value, place)
                case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                    pass  # a docstring, or text used as a comment
                case ast.Import(names=[ast.alias(name="time", asname=None)]):
                    pass
                case ast.Import() | ast.ImportFrom():
                    raise Refused("a config imports nothing but 'import time'")
                case _:
                    raise Refused(f"{_say(node)} is not allowed; a config only assigns values: key = value")
        except Refused as refused:
            self.problems.append(f"{place}: {refused}")
        except Unread:
            pass

    def assign(self, targets: list[ast.expr], node: ast.expr, place: str) -> None:
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        try:
            value = self.value(node)
        except (Refused, Unread):
            self.unread |= names
            raise
        self.unread -= names
        for target in targets:
            if not isinstance(target, ast.Name):
                raise Refused("assign to one plain name at a time: key = value")
            if target.id.startswith("__"):
                raise Refused(f"{one_line(target.id)} is not a config key")
            self.layer[target.id] = Setting(value, place)

    def value(self, node: ast.expr, depth: int = 0) -> object:
        if depth > MAX_DEPTH:
            raise Refused("an expression is nested too deeply")
        deeper = depth + 1
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return bounded(value)
            case ast.Name(id=name):
                if name in self.unread:
                    raise Unread
                if name not in self.layer:
                    raise Refused(f"{one_line(name)} is not assigned on an earlier line of this file")
                self.used.add(name)
                return self.layer[name].value
            case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
                return apply(UNARY[type(op)], self.value(operand, deeper))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                return binary(op, self.value(left, deeper), self.value(right, deeper))
            case ast.BoolOp(op=op, values=values):
                found = [self.value(v, deeper) for v in values]
                stop = [v for v in found if bool(v) is isinstance(op, ast.Or)]
                return stop[0] if stop else found[-1]
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARE:
                return apply(COMPARE[type(op)], self.value(left, deeper), self.value(right, deeper))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test, deeper) else orelse, deeper)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self.items(items, deeper)
            case ast.JoinedStr(values=parts):
                return bounded("".join(self.part(p, deeper) for p in parts))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr="time"), args=[], keywords=[]):
                return self.began
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="time"), attr="strftime"), args=[ast.Constant(value=str() as form)]
            ):
                return apply(time.strftime, form, time.localtime(self.began))
            case ast.Call(func=ast.Name(id="str"), args=[only], keywords=[]):
                return as_text(self.value(only, deeper))
            case ast.Call(func=ast.Name(id="int" | "float" as kind), args=[only], keywords=[]):
                return apply({"int": int, "float": float}[kind], self.value(only, deeper))
        raise Refused(f"{_say(node)} is not plain data; use numbers, text, arithmetic and earlier names")

    def items(self, nodes: list[ast.expr], depth: int) -> list[object]:
        if len(nodes) > MAX_ITEMS:
            raise Refused(f"a list of more than {MAX_ITEMS} values")
        values = [self.value(n, depth) for n in nodes]
        if any(isinstance(v, list) for v in values):  # shared sublists multiply: nine lines can hold 9^9 values
            raise Refused("a list inside a list")
        return values

    def part(self, node: ast.expr, depth: int) -> str:
        match node:
            case ast.Constant(value=str() as text):
                return text
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                return as_text(self.value(inner, depth))
            case ast.FormattedValue(
                value=inner, conversion=-1, format_spec=ast.JoinedStr(values=[ast.Constant(value=str() as spec)])
            ) if FORMAT_SPEC.fullmatch(spec):
                return str(apply(lambda v: format(v, spec), self.value(inner, depth)))
        raise Refused("this f-string is too clever; use {name} or a short format such as {name:.2f}")


def _say(node: ast.AST) -> str:
    """What a person calls this piece of syntax."""
    words = {
        "FunctionDef": "a function definition",
        "AsyncFunctionDef": "a function definition",
        "ClassDef": "a class",
        "Call": "a function call",
        "BinOp": "this operator",
        "UnaryOp": "this operator",
        "Lambda": "a lambda",
        "NamedExpr": "the walrus operator",
        "Attribute": "attribute access",
        "Subscript": "indexing",
        "ListComp": "a comprehension",
        "SetComp": "a comprehension",
        "DictComp": "a comprehension",
        "GeneratorExp": "a comprehension",
        "Dict": "a dict",
        "Set": "a set",
        "AugAssign": "an assignment such as +=",
        "AnnAssign": "a declaration without a value",
        "Expr": "an expression without a key",
        "Constant": "this kind of literal",
        "Compare": "a chained comparison",
        "Starred": "unpacking",
    }
    return words.get(type(node).__name__, f"{type(node).__name__.lower()}")
