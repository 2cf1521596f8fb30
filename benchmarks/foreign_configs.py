"""Count how other people's nanoGPT-style configs load: python -m benchmarks.foreign_configs DIR

DIR holds ``.py`` files, collected by whoever runs this; equal ones count once. Whether a file is plain (literals,
arithmetic, earlier names and the clock) is decided here, by Python's parser, and not by the reader that is measured.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections import Counter
from pathlib import Path

from gptmill.config.load import load
from gptmill.errors import GptmillError

PLAIN = (
    ast.Module, ast.Assign, ast.AnnAssign, ast.Expr, ast.Pass, ast.Import, ast.alias, ast.Name, ast.Constant, ast.BinOp,
    ast.UnaryOp, ast.operator, ast.unaryop, ast.List, ast.Tuple, ast.JoinedStr, ast.FormattedValue, ast.expr_context,
    ast.Call, ast.Attribute, ast.Compare, ast.cmpop, ast.IfExp, ast.BoolOp, ast.boolop,
)  # fmt: skip
CALLS = ("str", "int", "float", "round")


def is_plain(text: str) -> bool:
    """Nothing but literals, arithmetic, names and ``time``."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names) if any(alias.name != "time" for alias in names):
                return False
            case ast.Call(func=ast.Name(id=name)) if name not in CALLS:
                return False
            case ast.Attribute() if not ast.unparse(node).startswith("time."):
                return False
        if not isinstance(node, PLAIN):
            return False
    return True


def outcome(path: Path) -> str:
    """'loaded', or in a few words why not."""
    try:
        load([str(path)])
    except GptmillError as error:
        classes = {
            "a key of that fork": "unknown key",
            "a capability of a later version": "not in this version",
            "not read as data": "plain data",
            "an import": "imports nothing",
            "a statement": "only assigns",
        }
        found = [name for name, words in classes.items() if any(words in problem for problem in error.problems)]
        return " + ".join(found) or f"other: {error.problems[0].partition(': ')[2]}"
    return "loaded"


def main(folder: str) -> None:
    texts: dict[str, Path] = {}
    for path in sorted(Path(folder).rglob("*.py")):
        texts.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for path in texts.values():
        try:
            plain = is_plain(path.read_text(encoding="utf-8", errors="replace"))
        except SyntaxError:
            plain = False
        result = outcome(path)
        counts[plain][result] += 1
        if plain and result not in ("loaded", "a key of that fork"):
            print(f"{path.name}: {result}")
    for plain, words in ((True, "plain"), (False, "with other content")):
        print(f"{sum(counts[plain].values())} {words}:")
        for result, number in counts[plain].most_common():
            print(f"  {number:4d} {result}")


if __name__ == "__main__":
    main(sys.argv[1])
