"""Valid configs with something wrong put into them, and what has to be said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from gptmill.config.aliases import RENAMED
from tests.config.fuzz.typed import File, Typed, add, spellings, typed
from tests.config.fuzz.wishes import wishes


@dataclass
class Broken:
    """Args: says: words that have to stand together in one line of the answer."""

    words: list[str]
    files: dict[str, bytes | Callable[[Path], object]]
    says: tuple[str, ...]


KINDS: dict[str, st.SearchStrategy[Broken]] = {}


def breaks(kind: Callable[..., Broken]) -> Callable[..., Broken]:
    """Register a way to break a config under its own name."""
    KINDS[kind.__name__] = st.composite(kind)()
    return kind


def put(
    draw: st.DrawFn, name: str, texts: dict[str, str], says: tuple[str, ...] = (), without: tuple[str, ...] = ()
) -> Broken:
    """A valid config with one more setting, in a file or as a flag.

    Args:
        name: as written.
        texts: how its value is written in 'py', 'yaml' and on the command line ('flag'); one of them is drawn.
        says: what the answer has to hold besides the place.
        without: keys that the valid part must leave alone.
    """
    base = draw(wishes(without=frozenset(without)).flatmap(typed))
    form = draw(st.sampled_from(sorted(texts)))
    if form == "flag":
        flag = "--" + "".join(draw(st.sampled_from("_-")) if c == "_" else c for c in name)
        spaced = texts[form] != "" and not texts[form].startswith("-") and draw(st.booleans())
        base.words += [flag, texts[form]] if spaced else [f"{flag}={texts[form]}"]
        return Broken(base.words, dict(base.contents()), (flag, *says))
    statement = f"{name} = {texts[form]}" if form == "py" else f"{name}: {texts[form]}"
    file, line = insert(draw, base, statement, form)
    return Broken(base.words, dict(base.contents()), (f"{file.shown}:{line}", *says))


def insert(draw: st.DrawFn, base: Typed, statement: str, form: str) -> tuple[File, int]:
    """Put a statement somewhere into a file of the form, a new one if there is none; return the file and the line."""
    paths = [path for path in base.files if path.endswith(".py" if form == "py" else (".yaml", ".yml"))]
    if not paths:
        paths = [f"new.{form}"]
        base.files[paths[0]] = File(shown=paths[0])
        base.words.append(paths[0])
    file = base.files[paths[-1]]
    index = draw(st.integers(0, len(file.statements)))
    file.statements.insert(index, statement)
    return file, file.line(index)


def with_file(draw: st.DrawFn, suffix: str, without: tuple[str, ...] = ()) -> tuple[Typed, File]:
    """A valid config, one of whose files, ``last``, has at least one setting."""
    base = draw(wishes(without=frozenset(without)).flatmap(typed))
    path = f"last{suffix}"
    base.words.append(path)
    base.files[path] = File(shown=path, newline=draw(st.sampled_from(["\n", "\r\n"])))
    must = next(key for key in ("n_layer", "eval_iters") if key not in without)
    wish = draw(wishes({must: draw(st.integers(1, 99))}, without=frozenset(without)))
    for key, value in wish.items():
        add(draw, base, path, draw(st.sampled_from(spellings(key, value))))
    return base, base.files[path]


def rewritten(base: Typed, file: File, content: bytes, *says: str) -> Broken:
    return Broken(base.words, {**base.contents(), file.shown: content}, (file.shown, *says))


def with_words(draw: st.DrawFn, words: list[str], *says: str) -> Broken:
    base = draw(wishes().flatmap(typed))
    return Broken([*base.words, *words], dict(base.contents()), says)


def named(draw: st.DrawFn, keys: list[str]) -> tuple[str, str]:
    """A key, and one of the names it may be written under."""
    key = draw(st.sampled_from(keys))
    return key, draw(st.sampled_from([key, *(name for name, target in RENAMED.items() if target == key)]))


def alike(text: str) -> dict[str, str]:
    """The same text in every form."""
    return {"py": repr(text), "yaml": json.dumps(text, ensure_ascii=False), "flag": text}


def bare(text: str) -> dict[str, str]:
    return dict.fromkeys(("py", "yaml", "flag"), text)
