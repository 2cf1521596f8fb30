"""Every command line that the documents of other trainers print runs here, or says in one line what is missing.

The commands are those of documented_commands.yaml, as printed, on a dataset of a few hundred tokens; only numbers that
cost time (layers, widths, batches, steps) are made small, and the device is the CPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from gptmill.cli.main import main
from gptmill.config.aliases import RENAMED
from gptmill.data.tokenizers.byte import ByteTokenizer
from gptmill.data.tokenizers.exchange import as_files
from gptmill.interop.architecture import config_of
from gptmill.interop.huggingface import as_gpt2
from gptmill.model.gpt import build
from gptmill.shapes import ModelShape
from gptmill.train.tensorfile import write_tensors

ROOT = Path(__file__).parents[1]
ROWS: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests" / "documented_commands.yaml").read_text())
BIN = Path(sys.executable).parent

SMALL = {
    "n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 16, "batch_size": 8, "gradient_accumulation_steps": 1,
    "eval_iters": 1, "device": "cpu", "compile": False,
}  # fmt: skip
DATASETS = (
    *("openwebtext", "shakespeare", "shakespeare_char", "wikitext", "wikitext-first-10000", "wikitext-103"),
    *("slimpajama_6b_gpt2", "slimpajama_6b_llama", "slimpajama_627b"),
)


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which every dataset that the documents name is the same short text."""
    folder = tmp_path_factory.mktemp("datasets")
    (folder / "tiny.txt").write_text("".join(f"{n} green bottles, {n * n % 97} fell.\n" for n in range(60)))
    words = ["prepare", "--input", str(folder / "tiny.txt"), "--tokenizer=char", f"--data_dir={folder / 'data'}"]
    assert called(lambda: main(words)).code == 0
    for name in DATASETS:
        (folder / "data" / name).symlink_to("tiny")
    write_gpt2(folder / "gpt2-here")
    return folder / "data"


def write_gpt2(folder: Path) -> None:
    """What stands for the names of published models, which no test downloads: GPT-2 in small, of random weights."""
    shape = ModelShape(n_layer=1, n_head=2, n_embd=16, block_size=16, ffn_dim=64, vocab_size=257, bias=True)
    weights = dict(as_gpt2(dict(build(shape, seed=0).named_parameters()), shape))
    folder.mkdir()
    write_tensors(folder / "model.safetensors", {name: weight.detach() for name, weight in weights.items()})
    (folder / "config.json").write_text(json.dumps(config_of(shape, end_of_text=256)))
    for name, text in (as_files(ByteTokenizer(), shape.block_size) or {}).items():
        (folder / name).write_text(text)


@pytest.fixture
def here(datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with that data, which the command is typed in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")  # nobody is logged in
    (tmp_path / "data").symlink_to(datasets)
    (tmp_path / "prompt.txt").write_text("12 green")
    (tmp_path / "gpt2-here").symlink_to(datasets.parent / "gpt2-here")
    return tmp_path


def called(function: Callable[[], object]) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            function()
        except SystemExit as ended:
            code = ended.code or 0
    assert isinstance(code, int), code
    return Ended(code, out.getvalue(), err.getvalue())


def smaller(words: list[str], *, by_epochs: bool) -> list[str]:
    """The arguments of a training command, its costly numbers replaced and those it leaves open added."""
    small: dict[str, object] = {**SMALL, **({"epochs": 1 + ("--resume" in words)} if by_epochs else {"max_iters": 2})}
    left, rest = dict(small), list(words)
    done: list[str] = []
    while rest:
        word = rest.pop(0)
        flag, equals, _ = word.partition("=")
        key = flag.lstrip("-").replace("-", "_")
        key = RENAMED.get(key, key)
        if not word.startswith("--") or key not in small:
            done.append(word)
            continue
        if not equals and rest and not rest[0].startswith("-"):
            rest.pop(0)
        done.append(f"{flag}={small[key]}")
        left.pop(key, None)
    return [*done, *(f"--{key}={value}" for key, value in left.items())]


def typed(command: str, patch: pytest.MonkeyPatch) -> Ended:
    """Carry out one command line in the current folder."""
    words = shlex.split(command, comments=True)
    program = words.pop(0)
    if program == "torchrun":
        return torchrun(words)
    if program == "make":
        return make(words)
    if program == "./run_train_lm.sh":
        shown = subprocess.run([ROOT / program, *words, "--dry-run"], capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
        words = shlex.split(shown.stdout)[1:]
        program = "gptmill"
    if words and (words[0] == "prepare" or words[0].endswith("prepare.py")):
        return prepare(program, words, patch)
    if program == "gptmill":
        if words[0] in ("train", "train-lm"):
            words = [words[0], *smaller(words[1:], by_epochs=words[0] == "train-lm" or "--epochs" in command)]
        elif words[0] in ("sweep", "matrix"):
            words = [words[0], *smaller(words[1:], by_epochs=True)]
        return called(lambda: main(words))
    assert program in ("python", "python3"), program
    script = words.pop(0)
    if script == "train.py":
        words = smaller(words, by_epochs="epochs" in command)
    patch.setattr(sys, "argv", [script, *words])
    return called(lambda: runpy.run_path(str(ROOT / script), run_name="__main__"))


def torchrun(words: list[str]) -> Ended:
    """Real processes: two on one node, or one on each of two nodes that are both this machine."""
    script = words.index("train.py")
    options = [word for word in words[:script] if not word.startswith(("--nproc_per_node", "--master", "--node_rank"))]
    arguments = [*smaller(words[script + 1 :], by_epochs=False), "--gradient_accumulation_steps=2"]
    places = [["--nproc_per_node=2"]]
    if "--nnodes=2" in options:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            meeting = ["--master_addr=127.0.0.1", f"--master_port={free.getsockname()[1]}", "--nproc_per_node=1"]
        places = [[*meeting, f"--node_rank={rank}"] for rank in range(2)]
    nodes = [
        subprocess.Popen(
            [BIN / "torchrun", *options, *place, ROOT / "train.py", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for place in places
    ]  # fmt: skip
    told = [node.communicate(timeout=120) for node in nodes]
    return Ended(
        max(node.returncode for node in nodes), "".join(out for out, _ in told), "".join(err for _, err in told)
    )


def prepare(program: str, words: list[str], patch: pytest.MonkeyPatch) -> Ended:
    """Prepare from originals put in place by hand, as the message of a machine without network says; bytes for tokens."""
    from gptmill.data.corpora import shakespeare

    patch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    patch.setattr(shakespeare, "FILE", dataclasses.replace(shakespeare.FILE, size=None, sha256=None))
    Path("data").unlink()
    for name in ("shakespeare", "shakespeare_char", "openwebtext"):
        folder = Path("data", name)
        (folder / ".download").mkdir(parents=True)
        shutil.copy(ROOT / folder / "prepare.py", folder)
        (folder / "input.txt").write_text("To be, or not to be, that is the question.\n" * 20)
    documents = pa.table({"text": [f"document {n}" for n in range(3)]})
    for n in range(80):
        pq.write_table(documents, f"data/openwebtext/.download/{n:04}.parquet")
    words = [*words, "--tokenizer=byte", "--val_fraction=0.1"]
    if program == "gptmill":
        return called(lambda: main(words))
    patch.setattr(sys, "argv", words)
    return called(lambda: runpy.run_path(words[0], run_name="__main__"))


def make(words: list[str]) -> Ended:
    """make's own recipes, in this folder; what would train is shortened first."""
    line = ["make", "-f", str(ROOT / "Makefile"), f"BIN={BIN}", "-o", ".venv/installed", "--no-print-directory", *words]
    if words and words[0].startswith("defconfig-"):
        done = subprocess.run(line, capture_output=True, text=True)
        return Ended(done.returncode, done.stdout, done.stderr)
    recipe = subprocess.run([*line, "-n"], capture_output=True, text=True).stdout
    (command,) = [shlex.split(each)[1:] for each in recipe.splitlines() if each.startswith(f"{BIN}/gptmill")]
    if command[0] in ("train", "matrix"):
        fewer = ["--filter_optimizer=adamwprune"] if command[0] == "matrix" else []  # 4 of its 12 runs
        command = [command[0], *smaller(command[1:], by_epochs=True), *fewer]
    return called(lambda: main(command))


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if "shell" not in row],
    ids=lambda row: f"{row['source']}:{row.get('line', '')} {row['command'][:60]}",
)
def test_a_printed_command_runs_or_names_what_is_missing(
    row: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in row.get("first", []):
        before = typed(command, monkeypatch)
        assert before.code == 0, before.err
    done = typed(row.get("runs", row["command"]), monkeypatch)
    if "missing" not in row:
        assert done.code == 0, done.err
        assert done.out or done.err
    else:
        complaints = [line for line in done.err.splitlines() if line.startswith("error: ")]
        missing = row["missing"] if isinstance(row["missing"], list) else [row["missing"]]
        assert done.code == 2 and len(complaints) == len(missing), done.err
        assert all(words in line for words, line in zip(missing, complaints)), done.err
        assert "Traceback" not in done.err
        assert not list(here.glob("*/checkpoints"))


def requirements(here: Path, row: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    (line,) = [line for line in lines if line]
    assert line.replace(".[", "'.[") + "'" in (ROOT / "Makefile").read_text(), "what make install installs"
    project = (ROOT / "pyproject.toml").read_text()
    ours = {"torch": "torch", "numpy": "numpy", "tiktoken": "gigatoken"}  # datasets is not needed, wandb an extra
    wanted = set(row["command"].split()) & ours.keys()
    assert all(f'"{ours[name]}>=' in project for name in wanted) and (ROOT / "constraints.txt").is_file()


def tensorboard_curves(here: Path, row: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert typed("gptmill train-lm --dataset wikitext-103 --tensorboard_log=True", patch).code == 0
    assert EventAccumulator(row["command"].split()[-1]).Reload().Scalars("val/loss")


def page(here: Path, row: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    assert len((ROOT / row["runs"].removeprefix("cat ")).read_text().splitlines()) > 10


def stopping(here: Path, row: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    script = (ROOT / "run_train_lm.sh").read_text()
    assert "kill $pid" in script and "pkill" not in script


def machine(here: Path, row: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    assert "machine   cpu" in typed("gptmill plan quick --device=cpu", patch).out


def folded_log(here: Path, row: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    assert typed("python train.py", patch).code == 0
    (found,) = here.glob(row["command"].removeprefix("ls "))
    assert json.loads(found.read_text())["summary"]["final_iter"] == 2


SHELL = {
    "says the machine": machine,
    "the checkout": lambda *_: (ROOT / "train.py").stat(),
    "the folder holds prepare.py": lambda *_: (ROOT / "data" / "shakespeare" / "prepare.py").stat(),
    "its reader finds the losses of train-lm": tensorboard_curves,
    "requirements.txt installs what is needed": requirements,
    "run_train_lm.sh prints how to stop one run": stopping,
    "the page is there": page,
    "left over from writing the document": page,
    "the run has one": folded_log,
}


@pytest.mark.parametrize("row", [row for row in ROWS if "shell" in row], ids=lambda row: row["command"])
def test_a_line_for_the_shell_finds_what_it_needs(
    row: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SHELL[row["shell"]](here, row, monkeypatch)


def test_every_row_is_complete_and_the_count_is_told(counted: Callable[[int, str], None]) -> None:
    known = {"source", "line", "command", "runs", "capability", "missing", "shell", "first"}
    assert all({"source", "command", "capability"} <= row.keys() <= known for row in ROWS)
    lost = Counter(row["capability"] for row in ROWS if "missing" in row)
    rest = ", ".join(f"{name} ({number})" for name, number in lost.most_common())
    shells = sum("shell" in row and "missing" not in row for row in ROWS)
    told = f"of {len(ROWS)} documented commands run ({shells} of them the shell's own: what they need is there)"
    counted(len(ROWS) - lost.total(), f"{told}; the rest is not in this version: {rest}")
