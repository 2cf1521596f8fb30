"""Files that are no Python, no YAML, or no text."""

from __future__ import annotations

import ast

import yaml
from hypothesis import assume
from hypothesis import strategies as st

from tests.config.fuzz.breaking import Broken, breaks, insert, rewritten, with_file


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
    at, stray = draw(st.integers(0, len(text))), draw(st.sampled_from("[]{}'\"\x07\x1b\x7f@`\x85\u2028\r"))
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
    return Broken(base.words, dict(base.contents()), (file.shown, "a tab"))


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
