"""Every check, in the order of the report: first what costs nothing, the compiler last."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gptmill.cli.checks import host, packages, processes, pytorch, speed
from gptmill.cli.checks.base import Check
from gptmill.plan.types import Machine

TORCH = "pip install --force-reinstall torch"


def catalogue(machine: Machine, data_dir: Path, out_dir: Path) -> list[Check]:
    """What doctor looks at on this machine."""
    gpu = machine.kind == "cuda"
    return [
        Check("Python", host.python, "Python 3.11 or newer", needed=True),
        Check("gptmill", host.checkout, "pip install gptmill", needed=True),
        Check("cores", host.cores, ""),
        Check("memory", host.memory, "", needed=True),
        Check("data folder", partial(host.disk, data_dir), "--data_dir on another disk", needed=True, seconds=20),
        Check("output folder", partial(host.disk, out_dir), "--out_dir on another disk", needed=True, seconds=20),
        Check("text to train on", host.text, "gptmill prepare --input your text"),
        Check("GPT-2 tokenizer", host.gpt2_files, "tokenizer=bpe-4096 trains one of your own"),
        Check("gigatoken", packages.gigatoken, "pip install gigatoken", needed=True),
        Check("torch", partial(pytorch.build, machine), TORCH, needed=True),
        Check("device", partial(pytorch.device, machine), "--device=cpu", needed=True),
        Check("bfloat16", partial(pytorch.bfloat16, machine), "--dtype=float32"),
        Check("fused attention", partial(pytorch.attention, machine), "--attention_backend=manual", needed=True),
        Check("fused AdamW", partial(pytorch.adamw, machine), TORCH, needed=True),
        *(
            Check(name, partial(packages.package, name), f"pip install --force-reinstall {name}")
            for name in packages.OPTIONAL
        ),
        Check("gloo", processes.gloo, "training in one process works without it", seconds=90),
        *([Check("NCCL", processes.nccl, "training on one GPU works without it")] if gpu else []),
        Check("torch.compile", partial(pytorch.compiled, machine), "--compile=False", needed=gpu, seconds=180),
    ]


def measurements(machine: Machine) -> list[Check]:
    """What doctor --measure times: the device a run would take, and the CPU."""
    kinds = [machine.kind] if machine.kind == "cpu" else [machine.kind, "cpu"]
    remedy = "gptmill doctor says what is wrong"
    return [
        Check(f"{kind} {name}", look, remedy, needed=True)
        for kind in kinds
        for name, look in (
            *((dtype, partial(speed.matmul, kind, dtype)) for dtype in speed.DTYPES[kind]),
            ("copy", partial(speed.copy, kind)),
        )
    ]
