"""What reaches the terminal: all of the text, in any portions, and nothing that steers the terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptmill.cli.sampling.writer import Writer

hostile = st.text(
    st.sampled_from("ab\n\r\t\x1b[2J\x07\x9b\u202e\u200b\x00é東\U0001f600") | st.characters(codec="utf-8")
)


@pytest.fixture(autouse=True, scope="module")
def able_terminal() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
            patch.delenv(name, raising=False)
        yield


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, prompt: str, *portions: str) -> str:
    writer = Writer(stream)
    writer.begin(prompt)
    for portion in portions:
        writer.write(portion)
    writer.end()
    return stream.getvalue()


@given(prompt=hostile, portions=st.lists(hostile))
def test_portions_show_what_the_whole_shows_and_no_control_character_but_tabs_and_line_breaks(
    prompt: str, portions: list[str]
) -> None:
    text = shown(io.StringIO(), prompt, *portions)
    assert text == shown(io.StringIO(), prompt, "".join(portions))
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u202e\u2028]|\r(?!\n)", text)


@pytest.mark.parametrize(
    ("portions", "expected"),
    [
        (["a\tb\n", "c"], "a\tb\nc\n"),
        (["a\r", "\nb"], "a\r\nb\n"),
        (["a\r", "b\r"], "a\\rb\\r\n"),
        (["\x1b[31m"], "\\x1b[31m\n"),
        (["naïve 東\U0001f600"], "naïve 東\U0001f600\n"),
    ],
)
def test_line_breaks_and_tabs_stay_and_the_rest_is_written_out(portions: list[str], expected: str) -> None:
    assert shown(io.StringIO(), "", *portions) == expected


@given(prompt=hostile, text=hostile)
def test_a_terminal_shows_the_same_text_with_the_prompt_dim(prompt: str, text: str) -> None:
    plain, seen = shown(io.StringIO(), prompt, text), shown(Terminal(), prompt, text)
    dim = re.match(r"\x1b\[2m(.*?)\x1b\[22m", seen, re.DOTALL)
    assert seen.replace("\x1b[2m", "").replace("\x1b[22m", "") == plain
    assert (dim is None) == (prompt == "")
    assert dim is None or plain.startswith(dim[1])


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_wants_no_styles_gets_none(monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]) -> None:
    monkeypatch.setenv(*variable)
    assert shown(Terminal(), "prompt", " text") == "prompt text\n"


def test_what_the_encoding_lacks_is_written_out() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    writer = Writer(stream)
    writer.begin("é")
    writer.write("東")
    writer.end()
    assert raw.getvalue() == b"\\xe9\\u6771\n"


def test_an_interrupted_sample_ends_its_line_once() -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    writer.begin("a")
    writer.write("b")
    writer.end()
    writer.end()
    writer.begin("c")
    writer.end()
    assert stream.getvalue() == "ab\n" + "-" * 20 + "\nc\n"
