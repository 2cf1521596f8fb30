"""The pages docs/guide/coming-from/: every command on them works as the page says, every number is recomputed.

What the tables mean, by their heads:

| you typed | you type here |    'the same' = the left command works; otherwise every command on the right does
| another default | here |       all keys of nanoGPT whose default differs, or that are missing
| there | here |                 a key there, and the key that it becomes
| not in this version | meanwhile |    refused today with those words; what stands on the right works
| it said | it is |              `gptmill plan ...` settles the facts; `expression` = 1,234 is worked out from them
"""

from __future__ import annotations

import ast
import json
import math
import operator
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gptmill.cli.main import COMMANDS, app, main
from gptmill.config.load import load
from gptmill.config.schema import Config

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs/guide/coming-from").glob("*.md"))
TYPED, KEYS, DEFAULTS, MISSING, WRONG = "you typed", "there", "another default", "not in this version", "it said"
SHELL = {"kill", "ls", "pip", "tensorboard", "wandb"}  # nothing of ours to check
STARTS = {"cd", "gptmill", "make", "python", "python3", "torchrun", "./run_train_lm.sh", *SHELL}

SHIMS = {
    "train.py": ["train"],
    "sample.py": ["sample", "--nanogpt"],
    "visualize_lr_schedule.py": ["schedule"],
    "compare_architectures.py": ["compare"],
    "test_imports.py": ["doctor"],
    "run_sweep.py": ["sweep"],
}

# Tokens of train and validation, where pages count epochs; sizes are all that planning reads.
DATASETS = {
    "openwebtext": (9_035_582_198, 4_434_897),  # nanoGPT, data/openwebtext/readme.md
    "shakespeare": (301_966, 36_059),  # nanoGPT, data/shakespeare/readme.md
    "shakespeare_char": (1_003_854, 111_540),  # nanoGPT, data/shakespeare_char/readme.md
    "wikitext-103": (117_920_140, 247_289),  # flash-attention, tests/datamodules/test_language_modeling_hf.py
}


@dataclass(frozen=True)
class Row:
    page: str
    left: str
    right: str


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


def rows(head: str) -> list[Any]:
    """The rows of every table whose first column has this head."""
    found = []
    for page in PAGES:
        inside = False
        for line in page.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
            inside = (inside and bool(cells)) or (bool(cells) and cells[0] == head)
            if inside and cells[0] != head and not set(cells[0]) <= {"-"}:
                row = Row(page.stem, *cells)
                found.append(pytest.param(row, id=f"{page.stem}: {row.left[:50]}"))
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def is_command(span: str) -> bool:
    return span.split()[0] in STARTS and (" " in span or span == "make")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared datasets of the true sizes, as holes in files."""
    place = tmp_path_factory.mktemp("user")
    for name, sizes in DATASETS.items():
        (place / "data" / name).mkdir(parents=True)
        for split, tokens in zip(("train", "val"), sizes):
            with (place / "data" / name / f"{split}.bin").open("wb") as file:
                os.truncate(file.fileno(), 2 * tokens)
    return place


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    return call


def works(command: str, run: Run) -> Outcome:
    """Take a command as far as it goes without training, loading or downloading anything."""
    if command.startswith("cd "):
        enter, _, rest = command.partition("; ")
        program = rest.partition(";")[0].removeprefix("python ")
        return works(f"python {enter.removeprefix('cd ')}/{program}", run)
    words = shlex.split(command.replace(".../defaults/", "configs/"))
    if words[0] in ("python", "python3"):
        words = words[1:]
    if words[0] in SHELL:
        return Outcome(0, "", "")
    if words[0] == "make":
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)
        return Outcome(done.returncode, done.stdout, done.stderr)
    if words[0] == "torchrun":
        n_processes = next(word.partition("=")[2] for word in words if word.startswith("--nproc_per_node="))
        return run("plan", *words[words.index("train.py") + 1 :], f"--gpus={n_processes}")
    if words[0] == "./run_train_lm.sh":
        done = subprocess.run(
            [ROOT / words[0], *words[1:], "--dry-run"], capture_output=True, text=True, timeout=60, check=True
        )
        words = ["gptmill", *shlex.split(done.stdout)[1:]]
    if words[0].endswith("prepare.py"):
        return Outcome(0 if (ROOT / words[0]).exists() else 1, "", f"{words[0]}: no such file")
    words = words[1:] if words[0] == "gptmill" else SHIMS[words[0]] + words[1:]
    if words[0] in ("train", "plan"):
        return run("plan", *[word for word in words[1:] if word not in ("--explain", "--overwrite")])
    if words[0] == "train-lm":
        return run(*words, "--explain")
    if words[0] in ("configs", "schedule"):
        return run(*words)
    if words[0] not in COMMANDS:
        return run(*words)
    app.parse_args(words, exit_on_error=False, print_error=False)
    return Outcome(0, "", "")


@pytest.mark.parametrize("row", rows(TYPED))
def test_what_people_typed_or_what_the_page_gives_instead_works(row: Row, run: Run) -> None:
    right = [span for span in code(row.right) if is_command(span)]
    if row.right.startswith("the same"):
        right += code(row.left)
    if row.right.startswith(MISSING):
        assert_missing([span for span in code(row.left) if span.split()[0] not in SHELL], run)
    assert right, "says neither 'the same' nor what to type"
    for command in right:
        done = works(command, run)
        assert done.code == 0, f"{command}: {done.err}"


@pytest.mark.parametrize("row", rows(KEYS))
def test_a_key_becomes_the_key_that_stands_beside_it(row: Row) -> None:
    (there,), (here, *_) = code(row.left), code(row.right)
    name, _, value = there.partition("=")
    wanted, _, its_value = here.partition("=")
    written = load([f"--{there}" if value else f"--{name}={sample_value(wanted)}"])
    assert written.origins[wanted].startswith(f"--{name}")
    if its_value:
        assert str(getattr(written.config, wanted)) == its_value


# Source: karpathy/nanoGPT, train.py, the assignments above its configurator.
NANOGPT: dict[str, object] = {
    "out_dir": "out", "eval_interval": 2000, "log_interval": 1, "eval_iters": 200, "eval_only": False,
    "always_save_checkpoint": True, "init_from": "scratch", "wandb_log": False, "wandb_project": "owt",
    "wandb_run_name": "gpt2", "dataset": "openwebtext", "gradient_accumulation_steps": 5 * 8, "batch_size": 12,
    "block_size": 1024, "n_layer": 12, "n_head": 12, "n_embd": 768, "dropout": 0.0, "bias": False,
    "learning_rate": 6e-4, "max_iters": 600000, "weight_decay": 1e-1, "beta1": 0.9, "beta2": 0.95, "grad_clip": 1.0,
    "decay_lr": True, "warmup_iters": 2000, "lr_decay_iters": 600000, "min_lr": 6e-5, "backend": "nccl",
    "device": "cuda", "dtype": "bfloat16", "compile": True,
}  # fmt: skip


def test_nanogpts_defaults_are_ours_but_for_those_that_its_page_names() -> None:
    ours = {name: field.default for name, field in Config.model_fields.items()}
    others = {key for key, default in NANOGPT.items() if key not in ours or ours[key] != default}
    named = [key for row in rows(DEFAULTS) for key in code(row.values[0].left)]
    assert sorted(named) == sorted(others)


def sample_value(key: str) -> str:
    """Something that the key accepts and that is not its default."""
    return {
        "preset": "llama",
        "grad_clip": "0.5",
        "learning_rate": "1e-4",
        "epochs": "2",
        "out_dir": "x",
        "min_lr": "1e-5",
    }.get(key, "24")


@pytest.mark.parametrize("row", rows(MISSING))
def test_what_a_page_calls_missing_is_refused_in_a_line_and_its_stand_in_works(row: Row, run: Run) -> None:
    assert_missing(code(row.left), run)
    for command in code(row.right):
        if is_command(command):
            assert works(command, run).code == 0, command


def assert_missing(spans: list[str], run: Run) -> None:
    for span in spans:
        done = works(span, run) if is_command(span) else run("plan", *shlex.split(span))
        assert (done.code, done.out) == (2, ""), span
        assert MISSING in done.err


@pytest.mark.parametrize("row", rows(WRONG))
def test_every_number_is_worked_out_again(row: Row, run: Run) -> None:
    facts: dict[str, Any] = {}
    plans = [span for span in code(row.right) if span.startswith("gptmill plan")]
    for command in plans[:1]:
        done = run(*shlex.split(command)[1:], "--json")
        assert done.code == 0, done.err
        facts = json.loads(done.out)
    numbers = re.findall(r"`([^`]+)` = (-?[\d,]+(?:\.\d+)?)(e-?\d+)?", row.right)
    for expression, mantissa, exponent in numbers:
        printed = float(mantissa.replace(",", "") + exponent)
        ulp = 10.0 ** (int(exponent[1:] or 0) - len(mantissa.partition(".")[2]))
        assert abs(worked_out(expression, facts) - printed) <= 0.5001 * ulp, (expression, worked_out(expression, facts))
    told = re.findall(r"(warns|notes): `(\w+)`", row.right)
    for level, key in told:
        assert (level, key) in [(piece["level"].replace("ing", "") + "s", piece["key"]) for piece in facts["advice"]]
    assert numbers or told or "(tests/" in row.right or "https://" in row.right, "neither computed nor cited"


OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip


def worked_out(expression: str, facts: dict[str, Any]) -> float:
    """Arithmetic over the plan's numbers, exp, log and sqrt."""

    def value(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Name(id=name):
                return facts[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return OPERATORS[type(op)](value(left), value(right))
            case ast.Call(func=ast.Name(id="exp" | "log" | "sqrt" | "ceil" as name), args=[argument]):
                return getattr(math, name)(value(argument))
        raise AssertionError(f"{expression}: not arithmetic")

    return value(ast.parse(expression, mode="eval").body)


def test_there_is_a_page_for_each_of_the_six_systems() -> None:
    start = (ROOT / "docs/guide/start.md").read_text(encoding="utf-8")
    assert len(PAGES) == 6
    assert [page.name for page in PAGES if f"(coming-from/{page.name})" not in start] == []
    for head in (TYPED, KEYS, WRONG):
        assert {row.values[0].page for row in rows(head)} == {page.stem for page in PAGES}, head


def test_no_table_goes_unchecked_and_every_test_that_is_cited_exists() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        heads = re.findall(r"^\| ([^|]*) \|[^\n]*\n\|---", text, re.MULTILINE)
        assert set(heads) <= {TYPED, KEYS, DEFAULTS, MISSING, WRONG}
        assert text.count("|---|---|\n") == len(heads)
        assert [name for name in re.findall(r"tests/[\w/]+\.py", text) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("expression", "number"),
    [("params * 2 + 1", 7), ("ceil(10 / 4)", 3), ("2**10 - 7 % 4", 1021), ("-sqrt(16) + 9 // 2", 0)],
)
def test_arithmetic_is_worked_out_as_written(expression: str, number: float) -> None:
    assert worked_out(expression, {"params": 3}) == number
