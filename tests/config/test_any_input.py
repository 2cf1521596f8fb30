"""Whatever is thrown at it, load answers with a Config or with plain single lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptmill.config.load import load
from gptmill.config.names import KNOWN
from gptmill.errors import ConfigError

QUICKLY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

names = st.sampled_from(sorted(KNOWN)) | st.text(max_size=12)
values = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["True", "None", "none", "auto", "[1]", "-1", "1e400", "1_0", "0x1", "''", "gpt2", "gpt2,", "²", "٣"]
    ),
)
flags = st.builds("--{}={}".format, names, values) | st.builds("--{}".format, names) | values
yaml_lines = st.builds("{}: {}".format, names, values) | st.text(max_size=20)
python_lines = st.builds("{} = {}".format, names, values | names) | st.builds("{} = {!r}".format, names, values)
files = st.binary(max_size=100) | st.lists(yaml_lines | python_lines, max_size=5).map(
    lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answers(argv: list[str]) -> None:
    try:
        load(argv)
    except ConfigError as error:
        assert error.problems
        assert all(line.isprintable() and len(line) < 400 for line in error.problems)


@given(st.lists(flags, max_size=5))
@QUICKLY
def test_any_command_line_is_answered(argv: list[str]) -> None:
    answers(argv)


@given(files, st.sampled_from(["any.py", "any.yaml"]))
@QUICKLY
def test_any_file_is_answered(content: bytes, name: str) -> None:
    Path(name).write_bytes(content)
    answers([name])
