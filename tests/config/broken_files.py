"""Whole files and command lines broken in one known way: syntax, bytes, code, kinds of file, flags that are none."""

from __future__ import annotations

import ast
import os
import string
from collections.abc import Callable
from pathlib import Path

import yaml
from hypothesis import assume
from hypothesis import strategies as st

from tests.config.breakages import KINDS, WHOLE, Broken, breaks, insert, named
from tests.config.payloads import PY_PAYLOADS, YAML_PAYLOADS
from tests.config.typed import File, Typed, add, spellings, typed
from tests.config.wishes import SCHEMA, kinds, wishes

__all__ = ["KINDS"]


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


def special(draw: st.DrawFn, name: str, make: Callable[[Path], object], *says: str) -> Broken:
    base = draw(wishes().flatmap(typed))
    return Broken([*base.words, name], {**base.contents(), name: make}, says or (name,))


def is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def is_mapping(text: str) -> bool:
    try:
        return isinstance(yaml.safe_load(text) or {}, dict)
    except yaml.YAMLError:
        return False


@breaks
def python_cut_off(draw: st.DrawFn) -> Broken:
    base, file = with_file(draw, ".py")
    text = "\n".join(file.statements)
    at = draw(st.sampled_from([i for i in range(len(text)) if not is_python(text[:i])]))
    return rewritten(base, file, text[:at].encode(), "not valid Python")


@breaks
def yaml_cut_off(draw: st.DrawFn) -> Broken:
    base, file = with_file(draw, ".yaml")
    text = "\n".join(file.statements)
    at = draw(st.sampled_from([i for i in range(len(text)) if not is_mapping(text[:i])]))
    return rewritten(base, file, text[:at].encode())


@breaks
def python_with_a_stray_character(draw: st.DrawFn) -> Broken:
    base, file = with_file(draw, ".py")
    text = "\n".join(file.statements)
    at, stray = draw(st.integers(0, len(text))), draw(st.sampled_from("()[]{}'\"?$\\!;:=,.@\x07\x1b\u200b\u2028"))
    text = text[:at] + stray + text[at:]
    assume(not is_python(text))
    return rewritten(base, file, text.encode(), "not valid Python")


@breaks
def yaml_with_a_stray_character(draw: st.DrawFn) -> Broken:
    base, file = with_file(draw, ".yaml")
    text = "\n".join(file.statements)
    at, stray = draw(st.integers(0, len(text))), draw(st.sampled_from("[]{}'\"\x07\x1b\x7f@`"))
    text = text[:at] + stray + text[at:]
    assume(not is_mapping(text))
    return rewritten(base, file, text.encode())


@breaks
def stray_indentation(draw: st.DrawFn) -> Broken:
    base, _ = with_file(draw, ".py")
    file, line = insert(draw, base, draw(st.sampled_from(["  ", "\t", "    "])) + "n_head = 4", "py")
    return Broken(base.words, dict(base.contents()), (f"{file.shown}:{line}", "not valid Python"))


@breaks
def tab_in_yaml(draw: st.DrawFn) -> Broken:
    base, file = with_file(draw, ".yaml")
    file.statements.append("\tn_head: 4")
    return Broken(base.words, dict(base.contents()), (file.shown, "YAML"))


def with_bytes(draw: st.DrawFn, stray: bytes, *says: str) -> Broken:
    base, file = with_file(draw, draw(st.sampled_from([".py", ".yaml", ".yml"])))
    text = file.content().decode()
    at = draw(st.integers(0, len(text)))
    return rewritten(base, file, text[:at].encode() + stray + text[at:].encode(), *says)


@breaks
def bytes_that_are_not_utf8(draw: st.DrawFn) -> Broken:
    stray = draw(st.sampled_from([b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\xe9 "]))
    return with_bytes(draw, stray, "UTF-8")


@breaks
def nul_byte(draw: st.DrawFn) -> Broken:
    return with_bytes(draw, b"\0", "NUL")


@breaks
def file_in_another_encoding(draw: st.DrawFn) -> Broken:
    base, file = with_file(draw, draw(st.sampled_from([".py", ".yaml"])))
    return rewritten(
        base, file, file.content().decode().encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-16-le"])))
    )


@breaks
def file_of_random_bytes(draw: st.DrawFn) -> Broken:
    base, file = with_file(draw, draw(st.sampled_from([".py", ".yaml"])))
    return rewritten(base, file, draw(st.binary(max_size=300)) + b"\x80" + draw(st.binary(max_size=300)))


@breaks
def code_in_python(draw: st.DrawFn) -> Broken:
    key = draw(st.sampled_from(WHOLE))
    payload = draw(st.sampled_from(PY_PAYLOADS)).replace("n_layer", key)
    base = draw(wishes(without=frozenset((key, "dataset"))).flatmap(typed))
    base.files["last.py"] = File(["bias = True", payload, "n_head = 12"], shown="last.py")
    content = base.files["last.py"].content().decode("utf-8", "replace").encode()
    return Broken([*base.words, "last.py"], {**base.contents(), "last.py": content}, ("last.py",))


@breaks
def made_up_code(draw: st.DrawFn) -> Broken:
    """Expressions that Python would run, from a small grammar."""
    action = "open('canary', 'w')"
    forms: list[Callable[[str], str]] = [
        lambda e: f"({e})()", lambda e: f"({e}).x", lambda e: f"({e})[0]", lambda e: f"[{e} for _ in 'ab']",
        lambda e: f"(lambda: {e})()", lambda e: f"max(1, {e})", lambda e: f"{{1: {e}}}", lambda e: f"(y := {e})",
        lambda e: f"int({e})", lambda e: f"f'{{{e}}}'" if "'" not in e else f"str({e})", lambda e: f"1 + {e}",
        lambda e: f"{e} if True else 1", lambda e: f"[*{e}]", lambda e: f"not {e}", lambda e: f"-({e})",
    ]  # fmt: skip
    text = action
    for form in draw(st.lists(st.sampled_from(forms), max_size=5)):
        text = form(text)
    key, name = named(draw, list(SCHEMA))
    base, _ = with_file(draw, ".py", (key,))
    file, line = insert(draw, base, f"{name} = {text}", "py")
    return Broken(base.words, dict(base.contents()), (f"{file.shown}:{line}",))


@breaks
def statement_that_is_no_setting(draw: st.DrawFn) -> Broken:
    statement = draw(
        st.sampled_from(
            [
                "import os",
                "from os import *",
                "import time as t",
                "print('hi')",
                "del n_layer",
                "n_layer += 1",
                "assert 0",
                "if True:\n    n_head = 1",
                "for i in [1]:\n    pass",
                "def f():\n    pass",
                "class A:\n    pass",
                "return",
                "with open('canary', 'w'):\n    pass",
                "while 1: pass",
                "global x",
                "n_head, n_layer = 1, 2",
                "5",
                "x[0] = 1",
                "try:\n    pass\nexcept: pass",
                "raise SystemExit",
                "match 1:\n    case _: pass",
                "n_head: int",
                "a.b = 1",
            ]
        )
    )
    base, _ = with_file(draw, ".py")
    file, line = insert(draw, base, statement, "py")
    return Broken(base.words, dict(base.contents()), (f"{file.shown}:{line}",))


@breaks
def bomb_in_python(draw: st.DrawFn) -> Broken:
    n, big = draw(st.integers(201, 30_000)), draw(st.integers(10**6, 10**12))
    text = draw(
        st.sampled_from(
            [
                f"9**9**{big}",
                f"2**{big}",
                f"'x' * {big}",
                f"{big} * 'ab'",
                "(" * n + "1" + ")" * n,
                "-" * n + "1",
                "1+" * n * 5 + "x",
                "[" * n,
                f"[0] * {big}",
                "f'{1:" + str(big) + "}'",
                "not " * n + "1",
                "9" * (n + 5000),
                "(1 if 1 else " * n,
                "x" + ".x" * n,
                "1 << " + str(big),
                f"1.5 ** {big}",
                f"str({big}**{big})",
                "{" * n,
            ]
        )
    )
    key = draw(st.sampled_from(WHOLE))
    base, _ = with_file(draw, ".py", (key,))
    file, _ = insert(draw, base, f"{key} = {text}", "py")
    return Broken(base.words, dict(base.contents()), (file.shown,))


@breaks
def yaml_that_is_more_than_a_list_of_settings(draw: st.DrawFn) -> Broken:
    statement = draw(
        st.sampled_from(
            [
                "a: &x 1",
                "n_head: *x",
                "<<: {n_head: 3}",
                "<<: *b",
                "n_head: !!int '3'",
                "n_head: !!python/name:os.system x",
                "n_head: !!python/object/apply:os.system ['touch canary']",
                "n_head: [1, 2]",
                "model: {n_head: 1}",
                "- 1",
                "model:\n  n_head: 1",
                "? [a]\n: 3",
                "---",
                "...\nn_head: 4",
                "%TAG ! x",
                "? {a: 1}\n: 3",
                "!x n_head: 4",
                "&a n_head: 4",
                "n_head: !x 4",
                "n_head:\n- 4",
                "@a: 1",
                "n_head: 'x",
                "n_head: {{ x }}",
                "<<: 4",
                "'': 4",
            ]
        )
    )
    base, file = with_file(draw, ".yaml", ("n_head",))
    file.statements += [statement, "bias: true"]
    return Broken(base.words, dict(base.contents()), (file.shown,))


@breaks
def bomb_in_yaml(draw: st.DrawFn) -> Broken:
    base = draw(wishes().flatmap(typed))
    content = draw(st.sampled_from(YAML_PAYLOADS)).encode()
    return Broken([*base.words, "last.yaml"], {**base.contents(), "last.yaml": content}, ("last.yaml",))


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


def with_words(draw: st.DrawFn, words: list[str], *says: str) -> Broken:
    base = draw(wishes().flatmap(typed))
    return Broken([*base.words, *words], dict(base.contents()), says)


@breaks
def flag_without_its_value(draw: st.DrawFn) -> Broken:
    _, name = named(draw, [key for key in SCHEMA if "boolean" not in kinds(key)])
    after: list[str] = draw(st.sampled_from([[], ["--bias"], ["--seed=1"]]))
    return with_words(draw, [f"--{name}", *after], f"--{name}", "needs a value")


@breaks
def flag_with_an_empty_value(draw: st.DrawFn) -> Broken:
    key, name = named(draw, [key for key in SCHEMA if key != "preset"])
    return with_words(draw, [f"--{name}="], f"--{name}", "must be" if key not in ("out_dir", "data_dir") else "empty")


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
    return with_words(draw, [f"--no-{name}"], f"--no-{name}", "unknown key")


@breaks
def negated_switch_with_a_value(draw: st.DrawFn) -> Broken:
    _, name = named(draw, [key for key in SCHEMA if "boolean" in kinds(key)])
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
