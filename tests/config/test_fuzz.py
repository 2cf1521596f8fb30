"""Hundreds of valid configs in every spelling are accepted as meant; thousands of broken ones cost a line or two."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from gptmill.cli.main import main
from gptmill.config.aliases import SWITCHES
from gptmill.config.load import load
from tests.config.typed import Entry, Typed, meant, spellings, typed
from tests.config.wishes import GROUP_OF, SCHEMA, arms, below, choices, kinds, merged, values, wishes

EXAMPLES = 5  # of each spelling of each key
Example = TypeVar("Example")


def each(of: st.SearchStrategy[Example], check: Callable[[Example], object], n: int, name: str) -> None:
    """Check ``n`` examples, always the same ones for a name."""
    ran = []

    @seed(crc32(name.encode()))
    @settings(max_examples=n, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(of)
    def examples(example: Example) -> None:
        check(example)
        ran.append(1)

    examples()
    assert len(ran) >= n, f"only {len(ran)} examples of {name}"


def ways(key: str) -> list[st.SearchStrategy[Entry]]:
    """A strategy for each name of the key with each of its words; values that are not words are drawn."""
    words = [*choices(key), *([True, False] if "boolean" in kinds(key) else [])]
    words += [word for target, on, off in SWITCHES.values() if target == key for word in (on, off)]
    found = [st.just(entry) for word in dict.fromkeys(words) for entry in spellings(key, word)]
    if not words or "integer" in kinds(key):
        names = range(len(spellings(key, object())))
        found += [values(key).map(lambda value, name=name: spellings(key, value)[name]) for name in names]
    return found


def run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(argv)
    out, err = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, out, err


def write(files: dict[str, bytes]) -> None:
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)


@pytest.mark.parametrize("key", SCHEMA)
def test_every_key_in_every_spelling_means_what_was_meant(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def accepted(text: Typed) -> None:
        for old in tmp_path.rglob("*.*"):
            if old.is_file():
                old.unlink()
        write(text.contents())
        resolved = load(text.words)
        found, origins = resolved.config.model_dump(), dict(resolved.origins)
        assert found == merged(text.wish)
        for name, (_, origin) in below(text.wish).items():
            place = text.origins[name] if name in text.wish else origin
            if name in text.wish and text.wish[name] is None:
                place = f"default, reset by {place}"
            lost = next(
                (k for k in text.wish if k != name and name in GROUP_OF.get(k, ()) and text.wish[k] is not None), None
            )
            assert origins[name] == place or (lost and origins[name] == f"not used: {lost} decides"), name
        for path in (path for path in text.files if path.endswith(".py")):
            said = runpy.run_path(path)  # as nanoGPT reads it
            assert {e.name: e.value for e in text.entries[path]}.items() <= said.items()
        code, _, err = run(["train", *text.words, "--explain"], capsys)
        assert (code, err) == (0, "")
        code, out, err = run(["plan", *text.words, "--json"], capsys)
        assert code in (0, 2, 3)
        if code == 0:
            json.loads(out)
        else:
            assert err and all(line.startswith("error: ") for line in err.splitlines())

    def texts(entry: Entry) -> st.SearchStrategy[Typed]:
        return wishes({key: meant(entry)}).flatmap(lambda wish: typed(wish, entry))

    for number, way in enumerate(ways(key)):
        each(way.flatmap(texts), accepted, EXAMPLES, f"{key} {number}")


def test_there_are_at_least_five_hundred_valid_configs() -> None:
    assert sum(len(ways(key)) for key in SCHEMA) * EXAMPLES >= 500
