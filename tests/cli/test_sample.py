"""``gptmill sample`` as people and their scripts meet it: the same text by every way, nanoGPT's command lines, mistakes."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers

from gptmill.cli.main import main
from gptmill.cli.sampling import batches
from gptmill.data.tokenizers import make_tokenizer
from gptmill.data.tokenizers.exchange import as_files
from gptmill.interop import hub
from tests.cli.run import SMALL, gptmill
from tests.data.toys import bare

ROOT = Path(__file__).parents[2]
TEXT = "".join(f"{n} green bottles hanging on the wall, and {n * n % 97} fell.\n" for n in range(300))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short runs: ``out`` knows the characters of TEXT, ``bytes`` knows every text, ``answers`` ends what it writes."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / "tiny.txt").write_text(TEXT)
    lines = [json.dumps({"prompt": f"{n}:", "response": str(n)}) for n in range(400)]
    (folder / "answers.jsonl").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for tokenizer, name, out_dir in (("char", "tiny", "out"), ("byte", "tiny-bytes", "bytes")):
            run("prepare", "--input=tiny.txt", f"--tokenizer={tokenizer}", f"--name={name}")
            run("train", *SMALL, f"--dataset={name}", f"--out_dir={out_dir}")
        run("prepare", "--input=answers.jsonl", "--completions", "--tokenizer=byte")
        run("train", *SMALL, "--dataset=answers", "--out_dir=answers")
    return folder


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert isinstance(ended.value.code, int)
    return ended.value.code


class Shell:
    """The command in this process, in the folder of the runs."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = run("sample", *words)
        out, err = self.capsys.readouterr()
        return code, out, err

    def text(self, *words: str) -> str:
        code, out, err = self(*words)
        assert code == 0, err
        return out

    def json(self, *words: str) -> dict[str, Any]:
        return json.loads(self.text("--json", *words))


@pytest.fixture
def sample(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(folder)
    return Shell(capsys)


def test_json_is_one_object_and_holds_the_text_that_is_shown_without_it(sample: Shell) -> None:
    words = ["--run=out", "--prompt=12 gr", "--num_samples=3", "--max_new_tokens=12", "--seed=5", "--top_p=0.9"]
    found = sample.json(*words)
    settings = {"run": "out", "step": 20, "seed": 5, "temperature": 0.8, "top_k": 200, "top_p": 0.9}
    assert settings.items() <= found.items() and found["tokens_per_second"] > 0
    characters = sorted(set(TEXT))
    for one in found["samples"]:
        assert one["prompt"] == "12 gr" and len(one["ids"]) == 12
        assert one["text"] == "".join(characters[i] for i in one["ids"])
    texts = [one["text"] for one in found["samples"]]
    assert len(set(texts)) == 3
    assert sample.text(*words) == ("-" * 20 + "\n").join(f"12 gr{text}\n" for text in texts)


def test_a_sample_does_not_depend_on_how_many_are_made_nor_on_the_memory_for_them(
    sample: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def texts(n: int, *words: str) -> list[str]:
        return [one["text"] for one in sample.json("--run=out", f"--num_samples={n}", "--max_new_tokens=30", *words)["samples"]]  # fmt: skip

    seven = texts(7)
    sizes: list[int] = []
    kept = batches._timed

    def counted(steps: Any, speed: Any) -> Any:
        for tokens_B in kept(steps, speed):
            sizes.append(len(tokens_B))
            yield tokens_B

    monkeypatch.setattr(batches, "_timed", counted)
    for sequences, expected in ((3, {3, 1}), (0.5, {1})):
        monkeypatch.setattr(batches, "BUDGET", sequences * 60_000)
        monkeypatch.setattr(batches, "sequence_bytes", lambda shape, n_tokens: 60_000)
        assert texts(7) == seven and set(sizes) == expected
        sizes.clear()
    assert texts(2) == seven[:2] and texts(7, "--seed=2") != seven


def test_a_sample_ends_with_the_end_of_text_and_is_the_one_that_goes_on_up_to_there(
    sample: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, words = 256, ["--run=answers", "--prompt=2:", "--max_new_tokens=30", "--seed=3"]
    whole = [one["ids"] for one in sample.json(*words, "--num_samples=7", "--no-stop")["samples"]]
    short = [ids[: ids.index(end) + 1] if end in ids else ids for ids in whole]
    assert all(len(ids) == 30 for ids in whole) and len({len(ids) for ids in short}) > 2
    _, out, err = sample(*words, "--num_samples=7", "--json")
    assert [one["ids"] for one in json.loads(out)["samples"]] == short and json.loads(out)["stop"] is True
    assert err.startswith(f"{sum(map(len, short))} tokens in")
    texts = [bytes(token for token in ids if token != end).decode("utf-8", "replace") for ids in short]
    assert [one["text"] for one in json.loads(out)["samples"]] == texts
    assert [one["ids"] for one in sample.json(*words, "--num_samples=2")["samples"]] == short[:2]
    shown = sample.text(*words, "--num_samples=7")
    assert shown.count("-" * 20) == 6 and "<|endoftext|>" not in shown
    assert "<|endoftext|>" in sample.text(*words, "--num_samples=7", "--no-stop")
    first = sample.text(*words)
    monkeypatch.setattr("sys.stdin", io.StringIO("2:\n"))
    assert sample.text(*words[:1], *words[2:], "--interactive") == first
    assert [len(one["ids"]) for one in sample.json("--nanogpt", *words, "--num_samples=7")["samples"]] == [30] * 7
    assert [one["ids"] for one in sample.json("--nanogpt", *words, "--stop", "--num_samples=7")["samples"]] == short


def test_a_stop_that_is_asked_for_needs_an_end(sample: Shell) -> None:
    told = sample("--run=out", "--max_new_tokens=3", "--stop")[2]
    assert "--stop: no effect: char tokens have no end of text" in told
    assert "no effect" not in sample("--run=out", "--max_new_tokens=3")[2]


def test_each_of_several_prompts_goes_on_as_if_alone(sample: Shell, folder: Path) -> None:
    (folder / "prompt.txt").write_bytes(b"\xef\xbb\xbf7 green\r\n")
    given = ["--prompt=1 ", "--start=FILE:prompt.txt", "--prompt="]
    words = ["--run=out", "--num_samples=2", "--max_new_tokens=9"]
    code, out, err = sample(*words, *given, "--json")
    together = json.loads(out)["samples"]
    assert code == 0 and [one["prompt"] for one in together] == ["1 ", "1 ", "7 green\n", "7 green\n", "", ""]
    assert together == [one for prompt in given for one in sample.json(*words, prompt)["samples"]]
    lines = err.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"prompt {n} of 3" for n in (1, 2, 3)]
    assert all("18 tokens in" in line and line.endswith("tokens/s") for line in lines[:-1]) and "54 tokens" in lines[-1]


def test_a_prompt_beyond_the_context_is_read_at_its_end_and_said_so(sample: Shell) -> None:
    long = TEXT[:100]
    code, out, err = sample("--run=out", f"--prompt={long}", "--max_new_tokens=8")
    assert code == 0 and out.startswith(long) and "100 tokens" in err and "last 16" in err
    assert sample.text("--run=out", f"--prompt={long[-16:]}", "--max_new_tokens=8")[16:] == out[100:]


def test_no_prompt_starts_a_document_and_no_tokens_are_none(sample: Shell) -> None:
    (one,) = sample.json("--run=out", "--max_new_tokens=5")["samples"]
    (after,) = sample.json("--run=out", "--max_new_tokens=5", "--prompt=\n")["samples"]
    assert one["prompt"] == "" and one["ids"] == after["ids"]
    none = sample.json("--run=out", "--max_new_tokens=0", "--prompt=1")
    assert none["samples"] == [{"prompt": "1", "text": "", "ids": []}] and none["tokens_per_second"] is None
    assert sample.text("--run=out", "--max_new_tokens=0", "--prompt=1") == "1\n"


def test_every_number_type_generates(sample: Shell) -> None:
    likeliest = ["--run=out", "--temperature=0", "--max_new_tokens=6", "--prompt=12 green bott"]
    exact = sample.text(*likeliest)
    for dtype in ("auto", "float32", "bfloat16", "float16"):
        assert len(sample.text(*likeliest, f"--dtype={dtype}")) == len(exact)
    assert sample.text(*likeliest, "--dtype=float32") == exact


def test_text_comes_while_it_is_made_and_an_interrupt_leaves_the_line_whole(folder: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "gptmill",
        "sample",
        "--run=bytes",
        "--prompt=1",
        "--max_new_tokens=10000000",
        "--no-stop",
    ]
    running = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None and running.stderr is not None
    try:
        assert running.stdout.read(30).startswith(b"1")  # millions of tokens from its end
        running.send_signal(signal.SIGINT)
        rest, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130 and rest.endswith(b"\n") and b"Traceback" not in err


@pytest.mark.parametrize(("redirect", "expected"), [(">&-", 0), ("| head -c 3", 3), ("2>&-", 303)])
def test_a_reader_that_goes_away_gets_no_traceback(folder: Path, redirect: str, expected: int) -> None:
    command = f"{sys.executable} -m gptmill sample --run=out --prompt=12 --max_new_tokens=300 {redirect}"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and len(done.stdout) == expected


def test_bare_token_files_of_gpt2s_vocabulary_are_taken_for_gpt2s_and_others_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nanoGPT's sample.py assumes GPT-2's encoding where there is no meta.pkl; offline its files cannot be had."""
    bare(tmp_path / "data/bare", train=list(range(60)) * 20, val=list(range(60)) * 5)
    monkeypatch.setenv("HOME", str(tmp_path))
    offline = {"https_proxy": "http://127.0.0.1:9"}
    for vocab_size, code, says in ((50_304, 3, "taking GPT-2's, as nanoGPT does"), (64, 2, "input.txt")):
        name = f"run{vocab_size}"
        words = [*SMALL[:-1], "--dataset=bare", "--max_iters=1", f"--vocab_size={vocab_size}", f"--out_dir={name}"]
        trained = gptmill(tmp_path, "train", *words)
        assert trained.code == 0 and ("try it" in trained.err) == (vocab_size == 50_304), trained.err
        refused = gptmill(tmp_path, "sample", "--run", name, **offline)
        assert refused.code == code and says in refused.err and "Traceback" not in refused.err, refused.err


def test_a_prompt_beyond_the_models_vocabulary_is_one_line(sample: Shell, folder: Path) -> None:
    if not (folder / "mixed").exists():
        shutil.copytree(folder / "out", folder / "mixed", symlinks=True)
        shutil.rmtree(folder / "mixed" / "tokenizer")
        shutil.copytree(folder / "bytes" / "tokenizer", folder / "mixed" / "tokenizer")
    code, out, err = sample("--run=mixed", "--prompt=12 z")
    assert code == 2 and not out and "12 z" in err and "token 122" in err and len(err.splitlines()) == 1
    assert sample("--run=mixed")[0] == 2


def test_a_home_folder_is_found_where_the_shell_leaves_the_tilde(
    sample: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    (folder / "home.txt").write_text("12")
    assert sample.text("--run=~/out", "--prompt=FILE:~/home.txt", "--max_new_tokens=0") == "12\n"


def test_nothing_in_a_prompt_steers_the_terminal(sample: Shell) -> None:
    out = sample.text("--run=bytes", "--prompt=\x1b]0;owned\x07\t\x1b[2J", "--max_new_tokens=0")
    assert out == "\\x1b]0;owned\\x07\t\\x1b[2J\n"


# the first three are those of nanoGPT's README.md, with characters that TEXT has
NANOGPT = [
    (["--out_dir=out", "--device=cpu"], 10, "\n"),
    (["--start=9 green", "--num_samples=5", "--max_new_tokens=100"], 5, "9 green"),
    (["--start=FILE:start.txt"], 10, "fell."),
    (["--init_from=resume", "--out_dir=out", "--num_samples=1", "--top_k=10", "--temperature=1.0", "--seed=7",
      "--dtype=float32", "--compile=True"], 1, "\n"),
    (["mine.py", "--out_dir=out", "--num_samples=2", "--compile=False"], 2, "3 "),
]  # fmt: skip


@pytest.mark.parametrize(("words", "n_samples", "start"), NANOGPT, ids=[str(n) for n in range(len(NANOGPT))])
def test_nanogpts_command_lines_run(folder: Path, words: list[str], n_samples: int, start: str) -> None:
    (folder / "start.txt").write_text("fell.")
    (folder / "mine.py").write_text("start = '3 '\nnum_samples = 4\nmax_new_tokens = 5\nn_layer = 7\n")
    command = [sys.executable, str(ROOT / "sample.py"), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    samples = done.stdout.split("-" * 20 + "\n")
    assert len(samples) == n_samples and all(text.startswith(start) for text in samples)
    n_tokens = {"mine.py": 5, "--start=9 green": 100}.get(words[0], 500)
    assert all(len(text) == len(start) + n_tokens + 1 for text in samples)
    assert done.stderr.count("no effect") == ("--compile=True" in words)


def guide_commands() -> list[str]:
    lines = (ROOT / "docs" / "guide" / "sample.md").read_text(encoding="utf-8").splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.startswith("    ")]


def their_gpt2(folder: Path) -> Path:
    """What a download of a GPT-2 leaves, but small and with random weights."""
    tokenizer = make_tokenizer("bpe-300", [TEXT])
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 8, "n_positions": 32, "vocab_size": tokenizer.vocab_size}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).save_pretrained(folder)
    for name, text in (as_files(tokenizer, 32) or {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("command", guide_commands())
def test_every_command_of_the_guide_runs(
    sample: Shell, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(hub, "in_cache", lambda repo, name: None)
    monkeypatch.setattr(hub, "download", lambda repo, *_: their_gpt2(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO("A prompt.\n"))
    if not (folder / "out-quick").exists():
        shutil.copytree(folder / "bytes", folder / "out-quick", symlinks=True)  # knows the characters of every prompt
        (folder / "prompt.txt").write_text("A prompt.\n")
        (folder / "config").mkdir()
        (folder / "config" / "mine.py").write_text("max_new_tokens = 3\nbatch_size = 64\n")
    program, first, *words = shlex.split(command)
    assert (program, first) in (("gptmill", "sample"), ("python", "sample.py"))
    words = ["them/small" if word == "gpt2" else word for word in words]  # gpt2 itself takes a gigabyte
    entrance = ["--nanogpt"] if program == "python" else []
    assert sample.text(*entrance, *words) != ""


def test_the_guide_has_its_commands() -> None:
    assert len(guide_commands()) >= 12


def test_the_newest_good_checkpoint_stands_in_for_a_damaged_one(sample: Shell, folder: Path) -> None:
    shutil.copytree(folder / "out", folder / "hurt", symlinks=True)
    best = (folder / "hurt" / "best").resolve()
    (best / "model.safetensors").write_bytes(b"x")
    code, out, err = sample("--run=hurt", "--max_new_tokens=3", "--json")
    others = {path.name for path in (folder / "hurt" / "checkpoints").iterdir()} - {best.name}
    told = [line for line in err.splitlines() if "damaged" in line]
    assert code == 0 and len(told) == 1 and best.name in told[0]
    assert f"step_{json.loads(out)['step']:08d}" == max(others) and max(others) in told[0]
    for path in (folder / "hurt" / "checkpoints").iterdir():
        (path / "model.safetensors").write_bytes(b"x")
    code, out, err = sample("--run=hurt")
    assert code == 4 and not out and "no usable checkpoint" in err
    shutil.rmtree(folder / "hurt" / "checkpoints")
    assert sample("--run=hurt")[0] == 4


def test_a_run_with_an_imported_part_is_sampled_with_the_same_import(sample: Shell, folder: Path) -> None:
    (folder / "own_norm.py").write_text(
        "from torch import nn\nfrom gptmill.model.norms import NORMS\n\n\n"
        "@NORMS.register('own')\nclass Own(nn.RMSNorm):\n"
        "    def __init__(self, dim, *, eps, bias):\n        super().__init__(dim, eps=eps)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def gptmill(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gptmill", *words]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)

    own = ["--import=own_norm", "--normalization=own"]
    assert gptmill("train", *SMALL, "--max_iters=2", "--out_dir=own", *own).returncode == 0
    done = gptmill("sample", "--run=own", "--max_new_tokens=4", "--prompt=1", "--import=own_norm")
    assert done.returncode == 0 and done.stdout.startswith("1"), done.stderr
    refused = gptmill("sample", "--run=own", "--max_new_tokens=4")
    assert refused.returncode == 2 and "--import" in refused.stderr and len(refused.stderr.splitlines()) == 1


def test_a_conversation_goes_on_from_every_line_and_past_one_it_cannot_read(
    sample: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--run=out", "--max_new_tokens=20", "--temperature=0", "--repetition_penalty=30")
    alone = [sample.text(*words, f"--prompt={prompt}") for prompt in ("12 green", "7")]
    monkeypatch.setattr("sys.stdin", io.StringIO("12 green\nZ\n7\n"))
    code, out, err = sample(*words, "--interactive")
    assert (code, out) == (0, f"{'-' * 20}\n".join(alone))
    assert "U+005A" in err and err.count("tokens/s") == 2
    assert sample.text(*words[:-1], "--prompt=12 green") != alone[0], "the penalty changes what is likeliest"
    assert sample("--interactive", "--json")[0] == 2
