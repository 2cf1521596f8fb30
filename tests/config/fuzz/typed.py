"""What a person might type for a wish: files and a command line, in any spelling, and where each value then stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import strategies as st

from gptmill.config.aliases import RENAMED, SAME_VALUE, SWITCHES
from tests.config.fuzz.spellings import as_python, as_words, as_yaml
from tests.config.fuzz.wishes import GROUP_OF, kinds, values

PLACES = {  # path of a config -> what it may be called on the command line, and in origins then
    "a.py": {"a.py": "a.py", "./a.py": "./a.py"},
    "config/b.py": {"config/b.py": "config/b.py", "b": "config/b.py"},
    "configs/c.yaml": {"configs/c.yaml": "configs/c.yaml", "c": "configs/c.yaml", "c.yaml": "configs/c.yaml"},
    "sub dir/d.yml": {"sub dir/d.yml": "sub dir/d.yml"},
}
PY_REMARKS = [
    "",
    "# n_layer = 5",
    '"""Says nothing."""',
    "import time",
    "_note = f'{time.time()}' if False else 'x'",
    "pass",
]
YAML_REMARKS = ["", "# n_layer: 5", "  # : & * ! {"]


class Entry(NamedTuple):
    """One setting as written: under which name, with which value, and the key that it sets."""

    key: str
    name: str
    value: Any


@dataclass
class File:
    """Args: statements: one or more lines each, in order."""

    statements: list[str] = field(default_factory=list)
    newline: str = "\n"
    shown: str = ""  # its name in origins
    mark: bytes = b""  # a byte order mark, as some editors put it

    def line(self, index: int) -> int:
        """The line that statement ``index`` begins on."""
        return 1 + sum(1 + statement.count("\n") for statement in self.statements[:index])

    def content(self) -> bytes:
        return self.mark + "".join(s + "\n" for s in self.statements).replace("\n", self.newline).encode()


@dataclass
class Typed:
    """Args: origins: where each key of the wish stands; words: the command line, file names among them."""

    wish: dict[str, Any]
    files: dict[str, File] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    entries: dict[str, list[Entry]] = field(default_factory=dict)  # of each file

    def contents(self) -> dict[str, bytes]:
        return {path: file.content() for path, file in self.files.items()}


def spellings(key: str, value: Any) -> list[Entry]:
    """Every name, and value under that name, that sets ``key`` to ``value``."""
    found = [Entry(key, name, value) for name in [key, *(n for n, target in RENAMED.items() if target == key)]]
    for name, (target, on, off) in SWITCHES.items():
        found += [Entry(key, name, word == on) for word in (on, off) if (target, word) == (key, value)]
    return found + [Entry(key, key, other) for other, (ours, _) in SAME_VALUE.get(key, {}).items() if ours == value]


def meant(entry: Entry) -> Any:
    """The value of the key that an entry asks for."""
    if entry.name in SWITCHES:
        return SWITCHES[entry.name][1 if entry.value else 2]
    same = SAME_VALUE.get(entry.key, {})
    return same[entry.value][0] if isinstance(entry.value, str) and entry.value in same else entry.value


@st.composite
def typed(draw: st.DrawFn, wish: dict[str, Any], must: Entry | None = None) -> Typed:
    """The wish, written down: each key in a file or as a flag, lower layers saying otherwise now and then.

    Args:
        must: how one of its keys has to be spelled.
    """
    paths = draw(st.lists(st.sampled_from(list(PLACES)), max_size=2, unique=True))
    layers: list[str | None] = [*paths, None]  # None: the flags
    written: dict[str | None, list[Entry]] = {layer: [] for layer in layers}
    ranks = {}
    for key, value in wish.items():
        entry = draw(st.sampled_from(spellings(key, value)))
        if must and must.key == key:  # the rules over several keys may have asked for another number
            entry = must if meant(must) == value else must._replace(value=value)
        ranks[key] = draw(st.integers(0, len(paths)))
        written[layers[ranks[key]]].append(entry)
    for key in draw(st.lists(st.sampled_from(sorted(wish)), max_size=2, unique=True)) if wish else []:
        overruled = draw(st.sampled_from(GROUP_OF.get(key, (key,))))
        if wish[key] is not None and ranks[key] > 0 and overruled != "preset":  # presets add up instead
            written[layers[0]].append(Entry(overruled, overruled, draw(values(overruled))))
    found, names = Typed(wish), {}
    for path in paths:
        name = names[path] = draw(st.sampled_from(sorted(PLACES[path])))
        found.files[path] = File(newline=draw(st.sampled_from(["\n", "\r\n"])), shown=PLACES[path][name])
        found.files[path].mark = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
        found.entries[path] = _one_of_each_group(written[path])
        for entry in draw(st.permutations(found.entries[path])):
            add(draw, found, path, entry)
    units = [draw(_flag(entry)) for entry in written[None]]
    for entry, words in zip(written[None], units):
        found.origins[entry.key] = words[0].partition("=")[0]
    for path in paths:
        config = draw(st.sampled_from([[names[path]], ["--config", names[path]]]))
        units.insert(draw(st.integers(_after(units, names), len(units))), config)
    found.words = [word for words in units for word in words]
    return found


def _after(units: list[list[str]], names: dict[str, str]) -> int:
    """Behind every config that is on the command line already: their order is their rank."""
    return max((i + 1 for i, words in enumerate(units) if words[-1] in names.values()), default=0)


def _one_of_each_group(entries: list[Entry]) -> list[Entry]:
    """Two keys of an exclusive group in one file are an error, so the wish's own stays."""
    kept: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        kept.setdefault(GROUP_OF.get(entry.key, (entry.key,)), entry)
    return list(kept.values())


def _flag(entry: Entry) -> st.SearchStrategy[list[str]]:
    switch = entry.name in SWITCHES or "boolean" in kinds(entry.key)
    return as_words(entry.name, entry.value, switch)


def add(draw: st.DrawFn, found: Typed, path: str, entry: Entry) -> None:
    """Append one setting to a file, with the remarks and helpers people put around it."""
    python = path.endswith(".py")
    statements = found.files[path].statements
    for remark in draw(st.lists(st.sampled_from(PY_REMARKS if python else YAML_REMARKS), max_size=2)):
        if not remark.startswith("_") or "import time" in statements:
            statements.append(remark)
    if python:
        text = draw(as_python(entry.value))
        if draw(st.integers(0, 5)) == 0:
            statements.append(f"mine = {text}")
            text = "mine"
        form = draw(st.sampled_from(["{} = {}", "{}: object = {}", "{}={}"]))
        says = form.format(entry.name, text) + draw(st.sampled_from(["", "  # why", " # ä"]))
    else:
        name = draw(st.sampled_from([entry.name, entry.name.replace("_", "-"), f'"{entry.name}"']))
        says = f"{name}: {draw(as_yaml(entry.value))}{draw(st.sampled_from(['', '  # why']))}"
    found.origins[entry.key] = f"{found.files[path].shown}:{found.files[path].line(len(statements))}"
    if entry.name != entry.key:
        found.origins[entry.key] += f" ({entry.name})"
    statements.append(says)
