"""The tables of docs/guide/memory.md: what other trainers' documents say of memory, beside what a plan works out.

    python -m gptmill.cli.memory_tables

prints them in Markdown, from the same functions as ``gptmill plan``. A test holds the page equal. GB are 1e9 bytes, as in
those documents.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from gptmill.cli.guide_tables import OPENWEBTEXT, config_from
from gptmill.plan.devices import find_device, machine_of
from gptmill.plan.fit import largest_batch, needs
from gptmill.plan.memory import memory_of
from gptmill.plan.plan import make_plan
from gptmill.plan.types import Plan

GB = 1e9
MEDIUM = "--preset=medium --bias --vocab_size=50257 --position_encoding=sinusoidal --activation=relu --dropout=0.1"
SMALL = MEDIUM.replace("medium", "small")
SHAKESPEARE = "--bias --vocab_size=50257 --block_size=256 --dropout=0.1"


class Claim(NamedTuple):
    """Args: words: a packaged config and settings. says: the document's GB."""

    document: str
    words: str
    gpu: str
    says: str


def _wikitext(batch: int, says: str, also: str = "", gpu: str = "RTX 4080") -> Claim:
    words = f"{MEDIUM} --gradient_accumulation_steps=1 --batch_size={batch} {also}".strip()
    return Claim("wikitext-training", words, gpu, says)


CLAIMS = (
    _wikitext(8, "11.0", "--dtype=float32", "RTX 4070"),
    _wikitext(16, "18.6", "--dtype=float32"),
    _wikitext(32, "33.7", "--dtype=float32", "RTX 3090"),
    _wikitext(16, "9.3"),
    _wikitext(8, "4.4", "--activation_checkpointing", "RTX 4070"),
    _wikitext(16, "7.4", "--activation_checkpointing", "RTX 4070"),
    _wikitext(32, "13.5", "--activation_checkpointing"),
    *(
        Claim(
            "wikitext-training",
            f"{SMALL} --gradient_accumulation_steps=1 --batch_size={batch} --dtype=float32",
            "RTX 4080",
            says,
        )
        for batch, says in ((32, "8"), (48, "11"), (64, "14"))
    ),
    *(
        Claim("kconfig-gpt2", f"--preset=gpt2 {SHAKESPEARE} --batch_size={batch}", "L4", says)
        for batch, says in ((32, "4"), (64, "8"), (96, "12"), (128, "16"))
    ),
    *(
        Claim("kconfig-gpt2", f"--preset={preset} {SHAKESPEARE} --batch_size=32", "W7900", says)
        for preset, says in (("gpt2-medium", "8"), ("gpt2-large", "16"), ("gpt2-xl", "24"))
    ),
    Claim("default-configs", "gpt2_124m_single_gpu", "RTX 3090", "16 to 24"),
    Claim("default-configs", "gpt2_124m_multi_gpu", "A100 40GB", "40"),
    Claim("default-configs", "finetune_gpt2_medium", "RTX 3090", "24 and more"),
)  # fmt: skip


def planned(claim: Claim, gpus: int = 1) -> Plan:
    machine = machine_of(find_device(claim.gpu))
    return make_plan(config_from(claim.words), data=OPENWEBTEXT, machine=machine, world_size=gpus)


class Naive(NamedTuple):
    """The document's own sum for a model in float32, GB: no logits, and every layer's scores stored once."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    overhead: float

    @property
    def total(self) -> float:
        return sum(self)


def naive(batch: int, params: float, n_layer: int, n_head: int, block_size: int, n_embd: int) -> Naive:
    """Nine vectors a token and layer, and a block_size x block_size matrix a head, four bytes a number."""
    stored = n_layer * (batch * n_head * block_size**2 + 9 * batch * block_size * n_embd)
    return Naive(4 * params / GB, 4 * params / GB, 8 * params / GB, 4 * stored / GB, 1.5)


def claims_table() -> str:
    """What was said, and what it takes: the parts that no batch changes, the rest, the sum, and the same checkpointed."""
    lines = [
        "| document | run | on | it said | weights, gradients, moments | activations, logits | in all | with checkpointing | batch_size that fits |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        plan = planned(claim)
        again = replace(plan, shape=replace(plan.shape, activation_checkpointing=True))
        fixed = 16 * plan.params
        memory = memory_of(plan)
        rest = memory.peak - memory.overhead - fixed
        words = [word for word in claim.words.split() if word.partition("=")[0][2:] in SHOWN or word[:2] != "--"]
        lines.append(
            f"| {claim.document} | `{' '.join(words)}` | {claim.gpu} | {claim.says} | {fixed / GB:.1f} | {rest / GB:.1f} | "
            f"{needs(plan) / GB:.1f} | {needs(again) / GB:.1f} | {largest_batch(plan)} |"
        )
    return "\n".join(lines)


SHOWN = ("preset", "block_size", "batch_size", "dtype", "activation_checkpointing")


def naive_table() -> str:
    """The first document's table by its own formula, and the same model's layers as they are held."""
    lines = [
        "| batch_size | by its formula | its activations | held with attention_backend=manual | without dropout | with sdpa | logits whole, in float32 |",
        "|---|---|---|---|---|---|---|",
    ]
    for batch in (8, 16, 32):
        told = naive(batch, 124e6, 12, 12, 1024, 768)
        held = []
        for kernel, dropout in (("manual", 0.1), ("manual", 0.0), ("sdpa", 0.1)):
            claim = _wikitext(batch, "", f"--dtype=float32 --compile=False --attention_backend={kernel}")
            plan = planned(claim)
            plan = replace(plan, shape=replace(plan.shape, dropout=dropout))
            held.append(memory_of(plan).activations / GB)
        whole = 4 * batch * 1024 * 50257 / GB
        figures = " | ".join(f"{value:.2f}" for value in (*held, whole))
        lines.append(f"| {batch} | {told.total:.2f} | {told.activations:.2f} | {figures} |")
    return "\n".join(lines)


def sharing_table() -> str:
    """GB on each device for what several devices share out: GPT-2 124M and 1.5B, one sequence at a time."""
    lines = ["| model | devices | ddp | zero1 | saved | fsdp | saved |", "|---|---|---|---|---|---|---|"]
    for preset in ("gpt2", "gpt2-xl"):
        for gpus in (2, 4, 8, 64):
            claim = Claim(
                "", f"--preset={preset} --bias --batch_size=1 --gradient_accumulation_steps={gpus}", "A100 80GB", ""
            )
            plan = planned(claim, gpus)
            alone, *shared = (memory_of(replace(plan, strategy=name)).peak for name in ("ddp", "zero1", "fsdp"))
            cells = " | ".join(f"{peak / GB:.2f} | {1 - peak / alone:.0%}" for peak in shared)
            lines.append(f"| {preset} | {gpus} | {alone / GB:.2f} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(claims_table(), naive_table(), sharing_table(), sep="\n\n")
