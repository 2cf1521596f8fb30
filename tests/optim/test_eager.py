"""A run that is not compiled never imports the compiler, and its optimizers do what PyTorch's do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAME = """
import sys
import torch
from torch import nn
from gptmill.optim.eager import without_compiler

def trained(kind, **options):
    torch.manual_seed(0)
    model = nn.Linear(8, 8, bias=False)
    optimizer = kind(model.parameters(), lr=0.1, weight_decay=0.1, **options)
    for step in range(4):
        if step == 2:
            optimizer.load_state_dict(optimizer.state_dict())
        model(torch.randn(4, 8)).square().sum().backward()
        optimizer.step()
        assert model.weight.requires_grad and not optimizer.state_dict()["param_groups"][0].get("differentiable")
        optimizer.zero_grad()
    return model.weight.detach()

KINDS = [(torch.optim.AdamW, {"fused": True}), (torch.optim.Adam, {}), (torch.optim.SGD, {"momentum": 0.9}), (torch.optim.Muon, {})]
without_compiler()
ours = [trained(kind, **options) for kind, options in KINDS]
assert "torch._dynamo" not in sys.modules
torch.save(ours, sys.argv[1])
"""
USUAL = SAME.replace("without_compiler()\n", "", 1).replace('assert "torch._dynamo" not', 'assert "torch._dynamo"')
RUN = """
import sys
from gptmill.cli.main import main
try:
    main(["train", "quick", *sys.argv[1:]])
finally:
    assert not {"torch._dynamo", "sympy"} & sys.modules.keys()
"""
TINY = [
    "--n_layer=1",
    "--n_embd=32",
    "--n_head=2",
    "--block_size=32",
    "--max_iters=2",
    "--eval_iters=1",
    "--device=cpu",
]


def python(code: str, *words: str | Path, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_updates_are_pytorchs_bit_for_bit(tmp_path: Path) -> None:
    import torch

    python(SAME, "ours.pt", cwd=tmp_path)
    python(USUAL, "theirs.pt", cwd=tmp_path)
    ours, theirs = (torch.load(tmp_path / name, weights_only=True) for name in ("ours.pt", "theirs.pt"))
    assert len(ours) == 4 and all(torch.equal(*pair) for pair in zip(ours, theirs))


def test_a_run_that_is_not_compiled_never_imports_the_compiler(tmp_path: Path) -> None:
    python(RUN, *TINY, cwd=tmp_path)
