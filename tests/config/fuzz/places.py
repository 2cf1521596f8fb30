"""Configs that are not there or no files, and words of a command line that are no flags."""

from __future__ import annotations

import os
import string
from collections.abc import Callable
from pathlib import Path

from hypothesis import assume
from hypothesis import strategies as st

from gptmill.config.aliases import SWITCHES
from tests.config.fuzz.breaking import Broken, breaks, named, with_words
from tests.config.fuzz.typed import typed
from tests.config.fuzz.wishes import SCHEMA, kinds, wishes


def special(draw: st.DrawFn, name: str, make: Callable[[Path], object], *says: str) -> Broken:
    base = draw(wishes().flatmap(typed))
    return Broken([*base.words, name], {**base.contents(), name: make}, says or (name,))


@breaks
def file_that_is_not_there(draw: st.DrawFn) -> Broken:
    base = draw(wishes().flatmap(typed))
    name = draw(st.text(string.ascii_letters + "./ é", min_size=1, max_size=30)) + draw(
        st.sampled_from(["", ".py", ".yaml"])
    )
    assume(not name.startswith("-") and Path(name).stem not in ("a", "b", "c", "d", "quick") and Path(name).name)
    assume(not Path(name).is_absolute() and ".." not in name)
    return Broken([*base.words, name], dict(base.contents()), (name,))


@breaks
def file_with_an_impossible_name(draw: st.DrawFn) -> Broken:
    base = draw(wishes().flatmap(typed))
    stem = draw(st.sampled_from(["x" * 256, "é" * 150, "a/" * 2100, "\x1b[31m", "a\nb", "\udcff", "", " ", "\0"]))
    name = stem + draw(st.sampled_from(["", ".py", ".yaml"]))
    word = draw(st.sampled_from([[name], [f"--config={name}"]]))
    return Broken([*base.words, *word], dict(base.contents()), ("config",))


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 10 * 2**20)


def large(path: Path) -> None:
    path.write_text("n_layer = 1\n" * 900_000)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "10 MiB of nothing": sparse,
    "10 MiB of settings": large,
}


@breaks
def file_that_is_no_text(draw: st.DrawFn) -> Broken:
    name = draw(st.sampled_from(["it.py", "it.yaml", "it.yml"]))
    return special(draw, name, SPECIAL[draw(st.sampled_from(sorted(SPECIAL)))])


@breaks
def file_of_another_kind(draw: st.DrawFn) -> Broken:
    name = draw(st.sampled_from(["it.toml", "it.json", "it.ini", "it", "it.PY", "it.py.bak", "it.pt", "it.txt"]))
    return special(draw, name, lambda path: path.write_text("n_layer = 1"))


@breaks
def flag_without_its_value(draw: st.DrawFn) -> Broken:
    _, name = named(draw, [key for key in SCHEMA if "boolean" not in kinds(key)])
    after: list[str] = draw(st.sampled_from([[], ["--bias"], ["--seed=1"]]))
    return with_words(draw, [f"--{name}", *after], f"--{name}", "needs a value")


@breaks
def flag_with_an_empty_value(draw: st.DrawFn) -> Broken:
    key, name = named(
        draw, [key for key in SCHEMA if key not in ("preset", "checkpoint_file")]
    )  # empty, they ask for nothing
    return with_words(
        draw,
        [f"--{name}="],
        f"--{name}",
        "must be" if key not in ("out_dir", "data_dir", "wandb_project", "wandb_run_name", "wandb_entity") else "empty",
    )


@breaks
def word_that_looks_like_a_flag(draw: st.DrawFn) -> Broken:
    key = draw(st.sampled_from(sorted(SCHEMA)))
    forms = [
        "---{}=1",
        "-{}=1",
        "-{}",
        "--={}",
        "--{} =1",
        "--{}.x=1",
        "--1{}=2",
        "--_{}=2",
        "--'{}'=1",
        "--é{}=1",
        "--{}\x1b=1",
    ]
    word = draw(st.sampled_from(forms)).format(key)
    return with_words(draw, [word, "1"] if "=" not in word else [word], word.partition("=")[0].replace("\x1b", "\\x1b"))


@breaks
def switch_that_is_none(draw: st.DrawFn) -> Broken:
    _, name = named(draw, [key for key in SCHEMA if "boolean" not in kinds(key)])
    return with_words(draw, [f"--no-{name}"], f"--no-{name}", "no switch", f"--{name}=VALUE")


@breaks
def negated_switch_with_a_value(draw: st.DrawFn) -> Broken:
    switches = [key for key in SCHEMA if "boolean" in kinds(key) and f"no_{key}" not in SWITCHES]
    _, name = named(draw, switches)
    return with_words(
        draw, [f"--no-{name}={draw(st.sampled_from(['True', 'x', '']))}"], f"--no-{name}", "takes no value"
    )


@breaks
def setting_without_dashes(draw: st.DrawFn) -> Broken:
    _, name = named(draw, list(SCHEMA))
    word = f"{name}={draw(st.integers(0, 99))}"
    return with_words(draw, [word], word, f"--{word}")


@breaks
def option_of_the_command_itself(draw: st.DrawFn) -> Broken:
    word = draw(
        st.sampled_from(
            ["--json=maybe", "--json=\x1b[31m", "--json=a\nb", "--import", "--import=no such", "--import=\x1b"]
        )
    )
    return with_words(draw, [word], word.partition("=")[0])
