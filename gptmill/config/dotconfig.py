"""Reads a ``.config`` or a defconfig: lines of ``CONFIG_SYMBOL=value`` and ``# CONFIG_SYMBOL is not set``.

Only text is read, and no Kconfig library is needed: what the symbols mean is in ``symbols.py``. Unlike Kconfig's own
reader, a comment after a value is taken for what it is, and an unknown symbol is an error.
"""

from __future__ import annotations

import re

from gptmill.config import symbols
from gptmill.config.coerce import arms
from gptmill.config.layers import Reading, Setting
from gptmill.config.schema import Config
from gptmill.config.wording import nearest, one_line, show

SET = re.compile(r"CONFIG_(\w+)\s*=\s*(.*)", re.ASCII)
UNSET = re.compile(r"#\s*CONFIG_(\w+) is not set\b.*", re.ASCII)
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
BOOLS = {"y": True, "n": False}


def read_dotconfig(text: str, path: str, of_many: dict[str, str | bool] | None = None) -> Reading:
    """The settings of a ``.config``; symbols that ask for a matrix of runs make one problem of the whole file.

    Args:
        of_many: takes those symbols and what they vary, by name, for who carries out the matrix; then nothing is wrong
            with them.
    """
    reader = _Reader(path, of_many)
    for number, line in enumerate(text.split("\n"), start=1):
        reader.line(line.strip(), f"{path}:{number}")
    if reader.matrix:
        return Reading(problems=[reader.matrix])
    notices = [f"{', '.join(names)}: no effect: {why}" for why, names in reader.without_effect.items()]
    return Reading(reader.reading.layer, notices, reader.reading.problems)


class _Reader:
    def __init__(self, path: str, of_many: dict[str, str | bool] | None) -> None:
        self.path, self.of_many = path, of_many
        self.reading = Reading()
        self.matrix = ""  # what to say of a file that asks for many runs
        self.without_effect: dict[str, list[str]] = {}  # reason -> symbols
        self.one_of = symbols.ONE_OF | symbols.choice_symbols()

    def line(self, line: str, place: str) -> None:
        if unset := UNSET.fullmatch(line):
            self.symbol(unset[1], False, place)
        elif line and not line.startswith("#"):
            written = SET.fullmatch(line)
            if written is None:
                # not shown: whatever was named may be anything, and what is printed may be kept
                self.reading.problems.append(f"{place}: is not a setting; write CONFIG_SYMBOL=value")
                return
            value = _value(written[2])
            if value is None:
                self.reading.problems.append(f"{place}: CONFIG_{one_line(written[1])}: the quote is not closed")
            else:
                self.symbol(written[1], value, place)

    def symbol(self, symbol: str, value: str | bool, place: str) -> None:
        if self.of_many is not None and (symbol in symbols.MATRIX or symbol in symbols.OF_A_MATRIX):
            self.of_many[symbol] = value
        elif symbol in symbols.MATRIX:
            if value is True and not self.matrix:
                says = "asks for many runs; that is `gptmill matrix`, and `gptmill train` trains one"
                self.matrix = f"{place}: CONFIG_{symbol}=y: {says}: leave it out and set CONFIG_OPTIMIZER"
        elif symbol in symbols.NO_EFFECT:
            why = symbols.NO_EFFECT[symbol]
            if why not in symbols.SAID_NOT:
                self.without_effect.setdefault(why, []).append(symbol)
        elif symbol in self.one_of and isinstance(value, bool):
            if value:
                self.keep(*self.one_of[symbol], place)
        elif symbol in symbols.SWITCHES and isinstance(value, bool):
            key, on, off = symbols.SWITCHES[symbol]
            self.keep(key, on if value else off, place)
        elif symbol in self.one_of or symbol in symbols.SWITCHES:
            self.reading.problems.append(f"{place}: CONFIG_{symbol}={show(value)}: must be y or n")
        elif (name := symbols.name_of(symbol)) is not None:
            if not (value == "" and _may_be_empty(name)):
                self.keep(name, value, place)
        elif symbol not in symbols.OF_A_MATRIX:
            hint = nearest(symbol, symbols.all_symbols()).replace("'", "'CONFIG_", 1)
            self.reading.problems.append(f"{place}: CONFIG_{one_line(symbol)}: unknown symbol{hint}")

    def keep(self, name: str, value: str | bool, place: str) -> None:
        layer = self.reading.layer
        first = layer.get(name)
        if first is not None and name == "preset":  # an architecture and a size
            value = ",".join(dict.fromkeys([*str(first.value).split(","), str(value)]))
        elif first is not None and first.value != value:
            says = f"{name} is set twice, to {show(first.value)} and to {show(value)}; keep one"
            self.reading.problems.append(f"{first.origin} and {place}: {says}")
            return
        layer[name] = Setting(value, place)


def _value(text: str) -> str | bool | None:
    """A bool of y and n, else text; None when a quote is not closed."""
    if text.startswith('"'):
        quoted = QUOTED.fullmatch(text)
        return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else None
    bare = re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
    return BOOLS.get(bare, bare)


def _may_be_empty(name: str) -> bool:
    """Kconfig has no None: a key that may be None is an empty text there."""
    return name not in Config.model_fields or any(kind is type(None) for kind, _ in arms(name)) or name == "preset"
