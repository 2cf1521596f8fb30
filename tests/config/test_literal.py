"""A ``.py`` config is read as Python would compute it, without Python computing it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptmill.config.literal import read_python
from gptmill.config.load import load
from gptmill.errors import ConfigError

KNOWN = frozenset({"a", "b", "out_dir"})

# nanoGPT's config/finetune_shakespeare.py in shape: a clock reading, an f-string, arithmetic and comments.
NANOGPT = '''"""Docstring."""
import time

out_dir = 'out-shakespeare'
eval_interval = 5  # how often
wandb_log = False # feel free to turn on
wandb_project = 'shakespeare'
wandb_run_name = 'ft-' + str(time.time())

dataset = 'shakespeare'
heads = 5 * 2 - 4
n_embd = heads * 2**6
n_head = heads
init_from = 'scratch'
batch_size = 1
gradient_accumulation_steps = 5 * 8
out_dir = f'{out_dir}-{n_embd}'
learning_rate = 3e-5
decay_lr = not True
compile = False if heads > 3 else True
'''


def test_a_nanogpt_config_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "finetune.py"
    path.write_text(NANOGPT)
    resolved = load([str(path)])
    config = resolved.config
    assert (config.n_embd, config.n_head, config.out_dir) == (384, 6, "out-shakespeare-384")
    assert (config.decay_lr, config.compile, config.gradient_accumulation_steps) == (False, False, 40)
    assert resolved.origins["out_dir"] == f"{path}:17"
    assert resolved.notices == ()


OPERATORS = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<", "==", ">="])
EXPRESSIONS = st.recursive(
    st.integers(-9, 9).map(str) | st.sampled_from(["1e-3", "2.5", "'x'", "True", "None"]),
    lambda inner: st.builds("({} {} {})".format, inner, OPERATORS, inner) | inner.map("(-{})".format),
    max_leaves=6,
)


@given(source=EXPRESSIONS)
def test_an_expression_that_is_accepted_has_pythons_value(source: str) -> None:
    reading = read_python(f"a = {source}", "c.py", KNOWN)
    try:
        expected = eval(source, {"__builtins__": {}})  # noqa: S307 - the oracle; the source is ours
    except (TypeError, ArithmeticError):
        assert reading.problems
        return
    if not reading.problems:
        assert reading.layer["a"].value == expected
        assert type(reading.layer["a"].value) is type(expected)


def test_the_clock_is_read_once_per_file() -> None:
    before = time.time()
    reading = read_python("import time\na = time.time()\nb = time.time()", "c.py", KNOWN)
    value = reading.layer["a"].value
    assert isinstance(value, float)
    assert before <= value <= time.time()
    assert reading.layer["b"].value == value


def test_the_clock_may_be_rounded_or_written_as_a_date() -> None:
    reading = read_python(
        "import time\na = int(time.time())\nb = time.strftime('%Y-%m')\n_x = float('2')", "c.py", KNOWN
    )
    assert reading.problems == []
    a, b = (reading.layer[name].value for name in "ab")
    assert isinstance(a, int) and abs(time.time() - a) < 60
    assert b in (time.strftime("%Y-%m"), time.strftime("%Y-%m", time.localtime(time.time() - 60)))


def test_every_refused_line_is_reported_but_not_what_follows_from_it() -> None:
    reading = read_python("x = open('f')\na = x * 2\nb = lambda: 1\nout_dir = f'{x}'\n", "c.py", KNOWN)
    assert [line.split(":")[1] for line in reading.problems] == ["1", "3"]


def test_a_helper_is_not_a_key_and_a_misspelled_helper_is_pointed_out() -> None:
    reading = read_python("_c = 1\nwidth = 4\nout_dirs = 'x'\na = width\nb = out_dirs\n", "c.py", KNOWN)
    assert set(reading.layer) == {"a", "b"}
    assert len(reading.notices) == 1
    assert reading.notices[0].startswith("c.py:3") and "'out_dir'" in reading.notices[0]


def test_a_name_no_line_uses_is_an_unknown_key(tmp_path: Path) -> None:
    path = tmp_path / "c.py"
    path.write_text("width = 4\n")
    with pytest.raises(ConfigError, match="width: unknown key"):
        load([str(path)])
