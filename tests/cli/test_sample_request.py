"""What is asked of ``gptmill sample``: which source of a setting wins, and every mistake in one quick line without torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gptmill.cli.sampling.request import settle
from gptmill.data.tokenizers import make_tokenizer
from gptmill.errors import ConfigError
from tests.pace import answer, soon


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_give_way_to_nanogpts_then_to_files_in_order_then_to_flags(here: Path) -> None:
    (here / "a.py").write_text("num_samples = 3\ntop_k = 10 * 5\nseed = 1\nstart = 'FILE:x.txt'\nbatch_size = 12\n")
    (here / "b.yaml").write_text("seed: 2\noutput_dir: runs/b\ntop_p: 0.5\n")
    plain = settle({}, [], nanogpt=False).request
    assert (plain.num_samples, plain.max_new_tokens, plain.start, plain.seed) == (1, 200, ("",), 1337) and plain.stop
    ours = settle({}, [], nanogpt=True).request
    # the block at the top of nanoGPT's sample.py
    assert (ours.start, ours.num_samples, ours.max_new_tokens, ours.stop) == (("\n",), 10, 500, False)
    assert (ours.temperature, ours.top_k, ours.seed, ours.init_from) == (0.8, 200, 1337, "resume")
    asked = settle({"seed": "3", "top_p": "None", "prompt": ["x", ""]}, ["a.py", "b.yaml"], nanogpt=True)
    found = asked.request
    assert (found.num_samples, found.top_k, found.seed, found.out_dir) == (3, 50, 3, "runs/b")
    assert (found.top_p, found.start, found.max_new_tokens) == (None, ("x", ""), 500)
    assert asked.flags == {"seed", "top_p", "start"}
    assert settle({}, ["a.py"], nanogpt=True).request.start == ("FILE:x.txt",)


def test_a_training_configs_init_from_does_not_stop_sampling_its_run(here: Path) -> None:
    (here / "finetune.py").write_text("init_from = 'gpt2-xl'\nout_dir = 'out-fine'\n")
    (here / "pretrained.py").write_text("init_from = 'gpt2-xl'\n")
    assert settle({}, ["finetune.py"], nanogpt=False).request.out_dir == "out-fine"
    assert settle({}, ["finetune.py"], nanogpt=False).model is None
    for configs, flags, model in (
        (["pretrained.py"], {}, "gpt2-xl"),
        ([], {"init_from": "gpt2"}, "gpt2"),
        (["finetune.py"], {"init_from": "gpt2"}, "gpt2"),
    ):
        assert settle(flags, configs, nanogpt=True).model == model
    with pytest.raises(ConfigError, match="two models"):
        settle({"init_from": "gpt2", "run": "out"}, [], nanogpt=False)


# flags -> what each line on stderr names
MISTAKES: list[tuple[list[str], list[list[str]]]] = [
    (["--num_samples=0"], [["--num_samples=0", "at least 1"]]),
    (
        ["--temperature=hot", "--top_p=2", "--max_new_tokens=1.5", "--seed=-1", "--top_k=True", "--dtype=fp8"],
        [["--max_new_tokens=1.5"], ["--temperature=hot"], ["--top_k=True"], ["--top_p=2"], ["--seed=-1"],
         ["--dtype=fp8", "bfloat16"]],
    ),
    (["--temperature=inf"], [["--temperature=inf"]]),
    (["--num_smaples=3"], [["--num_smaples", "did you mean", "num_samples"]]),
    (["--compile=maybe"], [["--compile", "maybe"]]),
    (["stop.py"], [["stop.py:1", "stop=later", "True or False"]]),
    (["--device=cdua"], [["cdua", "did you mean 'cuda'"]]),
    (["--init_from=gpt2-xxl", "--start=x"], [["--init_from=gpt2-xxl", "gpt2-xl", "OWNER/NAME"]]),
    (["--init_from=scratch"], [["--init_from=scratch", "resume"]]),
    (["Once upon a time"], [["Once upon a time", "--prompt"]]),
    (["typo.py"], [["typo.py:2", "tmperature", "did you mean 'temperature'"]]),
    (["wrong.py"], [["wrong.py:1", "num_samples=many", "at least 1"]]),
    (["evil.py"], [["evil.py:1"]]),
    (["--prompt=FILE:nowhere.txt"], [["FILE:nowhere.txt", "No such file"]]),
    (["--prompt=FILE:"], [["FILE:", "names no file"]]),
    (["--prompt=FILE:."], [["FILE:", "names no file"]]),
    (["--prompt=FILE:run"], [["FILE:run", "directory"]]),
    (["--prompt=FILE:pipe"], [["FILE:pipe", "device"]]),
    (["--prompt=FILE:latin.txt"], [["FILE:latin.txt", "line 2", "UTF-8"]]),
    (["--prompt=FILE:huge.txt"], [["FILE:huge.txt", "4 MiB"]]),
    (["--run=nowhere"], [["nowhere", "not a run folder"]]),
    (["--run=run", "--prompt=abc€d"], [["abc€d", "U+20AC", "3 characters"]]),
]  # fmt: skip
RUN = """
import sys
from gptmill.cli.main import main
try:
    main(["sample", *sys.argv[1:]])
finally:
    assert "torch" not in sys.modules
"""


@pytest.mark.parametrize(("words", "says"), MISTAKES, ids=lambda value: value[0][:30] if type(value[0]) is str else "")
def test_a_mistake_is_one_quick_line_each(here: Path, words: list[str], says: list[list[str]]) -> None:
    (here / "typo.py").write_text("seed = 1\ntmperature = 0.5\n")
    (here / "wrong.py").write_text("num_samples = 'many'\n")
    (here / "stop.py").write_text("stop = 'later'\n")
    (here / "evil.py").write_text("seed = __import__('os').system('touch executed')\n")
    (here / "latin.txt").write_bytes(b"fine\ncaf\xe9\n")
    with (here / "huge.txt").open("wb") as file:
        file.truncate(2**32)
    os.mkfifo(here / "pipe")
    (here / "run" / "tokenizer").mkdir(parents=True)
    (here / "run" / "plan.json").write_text("{}")
    make_tokenizer("char", ["abc"]).save(here / "run" / "tokenizer")
    code, _, lines, _ = soon(RUN, words)
    assert code == 2 and len(lines) == len(says), lines
    for line, named in zip(lines, says):
        assert line.startswith("error: ") and all(word.lower() in line.lower() for word in named), line
    assert not (here / "executed").exists()


def test_a_run_without_a_checkpoint_and_no_run_at_all_are_exit_4(here: Path) -> None:
    code, _, lines, _ = answer(RUN, [])
    assert code == 4 and len(lines) == 1 and "gptmill train" in lines[0]
    (here / "run" / "tokenizer").mkdir(parents=True)
    (here / "run" / "plan.json").write_text("{}")
    make_tokenizer("byte").save(here / "run" / "tokenizer")
    code, _, lines, _ = answer(RUN, ["--run=run"])
    assert code == 4 and len(lines) == 1 and "no usable checkpoint" in lines[0]
