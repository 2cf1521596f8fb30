"""CONTRIBUTING's promise, kept literally: its example becomes a part by one class and one word, and the rest is free."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gptmill.plan.flops import params
from gptmill.shapes import ModelShape
from tests.cli.run import SMALL, Done, gptmill, prepare_tiny

ROOT = Path(__file__).parents[1]
CLASS, HEADER = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
TRAIN = ["train", *SMALL, "--normalization=dyt", "--json"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gptmill and its tests with the part added: one class, one word."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("gptmill", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    norms, schema = folder / "gptmill/model/norms.py", folder / "gptmill/config/schema.py"
    norms.write_text(f"{norms.read_text()}\n\n{CLASS}")
    word = 'Normalization = Literal["layernorm", '
    assert word in schema.read_text()
    schema.write_text(schema.read_text().replace(word, word + '"dyt", '))
    prepare_tiny(folder)
    return folder


def inside(copy: Path, *words: str) -> Done:
    return gptmill(copy, *words, PYTHONPATH=str(copy))


def expected_params(shape: ModelShape) -> int:
    """Those of the model with RMSNorm, which has the same gain, and one alpha for each of 2 L + 1 norms."""
    return params(replace(shape, normalization="rmsnorm")) + 2 * shape.n_layer + 1


def test_the_flag_its_help_and_did_you_mean_know_the_part(copy: Path) -> None:
    assert re.search(r"--normalization.*?Accepts one of[^.]*dyt", inside(copy, "train", "--help").out, re.DOTALL)
    mistaken = inside(copy, "plan", "--normalization=dyyt")
    assert mistaken.code == 2 and "did you mean 'dyt'" in mistaken.err


def test_the_plan_counts_it_and_names_it(copy: Path) -> None:
    plan = inside(copy, "plan", "--normalization=dyt", "--json").json()
    assert plan["params"] == expected_params(ModelShape())
    assert plan["flops_per_token"] == 3 * 284_884_992  # a norm has no matmul: those of every other norm
    assert plan["architecture"] == "12L-12H-768D-AbsPos-dyt-GELU-PreNorm"


def test_it_trains_resumes_bit_for_bit_and_writes(copy: Path) -> None:
    whole = inside(copy, *TRAIN, "--out_dir=whole").json()
    inside(copy, *TRAIN, "--out_dir=parts", "--max_iters=7").json()
    resumed = inside(copy, *TRAIN, "--out_dir=parts", "--resume").json()
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert whole["final_train_loss"] < 3.0
    assert len(inside(copy, "sample", "--run", "whole", "--prompt", "1", "--max_new_tokens=30").out) >= 30


def test_every_registry_wide_test_takes_it_in(copy: Path) -> None:
    chosen = "dyt and rope and swiglu or schema_lists or enough"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/model", "tests/test_house.py", "-k", chosen],
        cwd=copy, env={"PYTHONPATH": str(copy), "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "counted: 768 combinations of parts" in done.stdout
    # 2 places x bias x tying = 8 shapes: 2 kernels for the future, 1 each for counts, float64, storing, bf16, cache
    assert len(re.findall(r"\.", done.stdout.split("counted")[0])) >= 8 * 7


def test_the_same_class_in_a_module_of_ones_own_is_imported_by_name_only(tmp_path: Path) -> None:
    prepare_tiny(tmp_path)
    (tmp_path / "my_parts.py").write_text(f"{HEADER}\n\n{CLASS}")
    result = gptmill(tmp_path, *TRAIN, "--import", "my_parts", "--out_dir=run").json()
    shape = json.loads((tmp_path / "run/plan.json").read_text())["shape"]
    assert result["params"] == expected_params(ModelShape(**shape))
    assert shape["normalization"] == "dyt"
    sampled = gptmill(tmp_path, "sample", "--run=run", "--import=my_parts", "--max_new_tokens=20")
    assert sampled.code == 0, sampled.err

    for words in (TRAIN, ["train", "--resume", *TRAIN[1:], "--out_dir=run"]):
        refused = gptmill(tmp_path, *words)
        assert refused.code == 2 and "normalization=dyt" in refused.err, refused.err
    refused = gptmill(tmp_path, "sample", "--run", "run")
    assert refused.code == 2 and "--import" in refused.err and "Traceback" not in refused.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No module named 'my_parts'"),
        ("import gptmill.nothing", "No module named 'gptmill.nothing'"),
        ("1 / 0", r"ZeroDivisionError.*my_parts\.py:1"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "my_parts.py").write_text(text)
    done = gptmill(tmp_path, "plan", "--import", "my_parts")
    assert done.code == 2 and re.fullmatch(rf"error: --import my_parts: [^\n]*{says}[^\n]*\n", done.err), done.err


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def __init__(self, dim): super().__init__()", r"TypeError: .*unexpected keyword argument 'eps'"),
        ("def forward(self, x): return x.no_such_thing()", r"AttributeError: .*no_such_thing"),
        ("def forward(self, x): return x[..., 1:]", r"RuntimeError: .*shape"),
        ("def forward(self, x): return x - x.mean(1, keepdim=True)", "lets a token see later ones"),
        ("def forward(self, x): return x / 0.0", "are not numbers"),
    ],
)
def test_a_part_that_does_not_work_is_one_line_before_anything_runs(tmp_path: Path, body: str, says: str) -> None:
    init = "" if "__init__" in body else "    def __init__(self, dim, *, eps, bias): super().__init__()\n"
    (tmp_path / "my_parts.py").write_text(
        f'{HEADER}\n\n@NORMS.register("mine")\nclass Mine(nn.Module):\n{init}    {body}\n'
    )
    done = gptmill(tmp_path, "plan", "--import", "my_parts", "--normalization=mine")
    assert done.code == 2, done.out
    assert re.fullmatch(rf"error: --import: normalization=mine fails in a small model: [^\n]*{says}[^\n]*\n", done.err)


def test_an_update_rule_of_ones_own_is_planned(tmp_path: Path) -> None:
    (tmp_path / "my_parts.py").write_text(
        "import torch\nfrom gptmill.optim.optimizers import OPTIMIZERS\n"
        "OPTIMIZERS.register('rprop')(lambda model, plan: torch.optim.Rprop(model.parameters(), lr=0.1))\n"
    )
    assert "rprop: up to" in gptmill(tmp_path, "plan", "--import=my_parts", "--optimizer=rprop").out


def test_a_part_without_reset_parameters_is_refused_instead_of_trained_from_garbage(tmp_path: Path) -> None:
    prepare_tiny(tmp_path)
    forgetful = re.sub(r"    def reset_parameters.*?(?=    def forward)", "", CLASS, flags=re.DOTALL)
    (tmp_path / "my_parts.py").write_text(f"{HEADER}\n\n{forgetful}")
    done = gptmill(tmp_path, *TRAIN, "--import", "my_parts", "--out_dir=run")
    assert (
        done.code == 2 and done.err.count("\n") == 1 and "DynamicTanh has weights and no reset_parameters()" in done.err
    )
