"""Hundreds of valid configs in every spelling are accepted as meant; thousands of broken ones cost a line or two."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gptmill.cli.main import main
from gptmill.config import later
from gptmill.config.aliases import NO_EFFECT, SWITCHES
from gptmill.config.load import load
from gptmill.config.schema import Config
from tests.config.fuzz import pairs, places, programs, syntax, unusable  # noqa: F401  they register their kinds
from tests.config.fuzz.breaking import KINDS, Broken
from tests.config.fuzz.typed import Entry, Typed, meant, spellings, typed
from tests.config.fuzz.wishes import GROUP_OF, SCHEMA, below, choices, kinds, merged, values, wishes
from tests.pace import soon

MANY = int(os.environ.get("GPTMILL_FUZZ", "1"))  # times as many; benchmarks/reliability_inputs sets it
EXAMPLES = 2 * MANY  # of each spelling of each key
NOT_SHRUNK = [Phase.explicit, Phase.generate]  # an example is a few lines long; shrinking it would take minutes a key
Example = TypeVar("Example")
Counted = Callable[[int, str], None]


def each(of: st.SearchStrategy[Example], check: Callable[[Example], object], n: int, name: str) -> int:
    """Check ``n`` examples, always the same ones for a name; return how many it were."""
    ran = []

    @seed(crc32(name.encode()))
    @settings(max_examples=n, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=NOT_SHRUNK)
    @given(of)
    def examples(example: Example) -> None:
        check(example)
        ran.append(1)

    examples()
    assert len(ran) >= n, f"only {len(ran)} examples of {name}"
    return len(ran)


def ways(key: str) -> list[st.SearchStrategy[Entry]]:
    """A strategy for each name of the key with each of its words; values that are not words are drawn."""
    words = [*choices(key), *([True, False] if "boolean" in kinds(key) else [])]
    words += [word for target, on, off in SWITCHES.values() if target == key for word in (on, off)]
    found = [st.just(entry) for word in dict.fromkeys(words) for entry in spellings(key, word)]
    if not words or "integer" in kinds(key):
        found += [values(key).map(partial(entry_of, key, number)) for number in range(len(spellings(key, object())))]
    return found


def entry_of(key: str, number: int, value: object) -> Entry:
    return spellings(key, value)[number]


def run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(argv)
    out, err = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, out, err


def plain(text: str) -> str:
    """A dash in a flag is an underscore in its key."""
    return text.replace("-", "_")


def write(files: Mapping[str, bytes | Callable[[Path], object]]) -> None:
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content) if isinstance(content, bytes) else content(path)


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.mark.parametrize("key", SCHEMA)
def test_every_key_in_every_spelling_means_what_was_meant(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], counted: Counted
) -> None:
    monkeypatch.chdir(tmp_path)

    def accepted(text: Typed) -> None:
        empty(tmp_path)
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
        counted(each(way.flatmap(texts), accepted, EXAMPLES, f"{key} {number}"), "valid configs accepted")


def test_there_are_at_least_five_hundred_valid_configs() -> None:
    assert sum(len(ways(key)) for key in SCHEMA) * EXAMPLES >= 500


BROKEN = 35 * MANY  # of each kind
WORST = 0.25  # processor seconds
IN_A_PROCESS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
from gptmill.cli.main import main
try:
    main()
finally:
    assert "torch" not in sys.modules and "numpy" not in sys.modules
"""


@pytest.mark.parametrize("name", sorted({*NO_EFFECT, *later.KEYS}))
def test_names_of_other_systems_that_ask_for_nothing_change_nothing(name: str, tmp_path: Path) -> None:
    def unchanged(value: object) -> None:
        python, yaml = tmp_path / "c.py", tmp_path / "c.yaml"
        python.write_text(f"{name} = {value!r}\n")
        yaml.write_text(f"{name}: {value}\n")
        for words in ([str(python)], [str(yaml)], [f"--{name}={value}"]):
            assert load(words).config == Config()

    if name in later.KEYS:
        each(st.sampled_from(later.KEYS[name].inert), unchanged, 1, name)
    else:
        each(st.sampled_from([True, False, None]) | st.integers() | st.floats(0, 1), unchanged, 3, name)


def test_a_file_that_says_nothing_is_the_defaults(tmp_path: Path) -> None:
    for name in ("c.py", "c.yaml"):
        for content in (b"", b"\n\n", b"# only this\n", b"\xef\xbb\xbf"):
            (tmp_path / name).write_bytes(content)
            assert load([str(tmp_path / name)]).config == Config()


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_config_costs_a_line_or_two(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], counted: Counted
) -> None:
    monkeypatch.chdir(tmp_path)
    run(["plan", "--zzz"], capsys)  # the first call imports

    def refused(broken: Broken) -> None:
        empty(tmp_path)
        write(broken.files)
        there = sorted(tmp_path.rglob("*"))
        for _ in range(2):  # a second try, for when the collector of garbage ran in the first
            began = time.process_time()
            code, out, err = run(["plan", *broken.words], capsys)
            seconds = time.process_time() - began
            if seconds < WORST:
                break
        lines = err.split("\n")
        assert (code, out, lines.pop()) == (2, "", "")
        assert 1 <= len(lines) <= 25
        assert all(line.startswith("error: ") and line.isprintable() and len(line) < 400 for line in lines), lines
        assert any(all(plain(words) in plain(line) for words in broken.says) for line in lines), lines
        assert sorted(tmp_path.rglob("*")) == there  # nothing ran, nothing was written
        assert seconds < WORST

    counted(each(KINDS[kind], refused, BROKEN, kind), "broken configs refused")


@pytest.mark.parametrize("kind", list(KINDS)[::3])
def test_in_a_process_of_its_own_it_costs_little_time_and_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found: list[Broken] = []
    each(KINDS[kind], found.append, 5, f"process {kind}")
    found = [broken for broken in found if "\0" not in "".join(broken.words)]  # which no process can be given
    write(found[-1].files)
    status, out, lines, _ = soon(IN_A_PROCESS, ["train", *found[-1].words])
    assert (status, out) == (2, b""), lines
    assert all(line.startswith("error: ") for line in lines), lines


def test_there_are_at_least_two_thousand_broken_configs() -> None:
    assert len(KINDS) * BROKEN >= 2000
