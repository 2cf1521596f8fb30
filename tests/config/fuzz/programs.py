"""Programs, bombs and structures in a file that should only assign values."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.config.fuzz.breaking import Broken, breaks, insert, named, with_file
from tests.config.fuzz.typed import File, typed
from tests.config.fuzz.wishes import SCHEMA, kinds, wishes
from tests.config.payloads import PY_PAYLOADS, YAML_PAYLOADS

WHOLE = [key for key in SCHEMA if "integer" in kinds(key)]


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
