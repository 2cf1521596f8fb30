"""What single keys cannot say: rules over several keys, and text keys with a syntax. Each rule is one function.

A rule returns None or a Broken: the keys it is about, why they cannot work and what to try. Only the impossible is
refused here; what is merely unwise is advice, given by the plan.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from gptmill.config.coerce import choices
from gptmill.config.schema import Config
from gptmill.config.wording import nearest, one_line


class Broken(NamedTuple):
    """Args: says: the reason and what to try; about a single key it follows ``origin: key=value: ``."""

    keys: tuple[str, ...]
    says: str


# Far beyond any network or run, low enough that no sum over them overflows or takes noticeable time.
LARGEST: dict[str, int] = {
    "n_layer": 10_000,
    "n_head": 65_536,
    "n_kv_head": 65_536,
    "n_embd": 1_048_576,
    "block_size": 2**24,
    "vocab_size": 2**24,
    "ffn_dim": 2**24,
    "sliding_window": 2**24,
    "seed": 2**63 - 1,
    "batch_size": 2**20,
    "max_batch_size": 2**20,
    "gradient_accumulation_steps": 2**20,
    "effective_batch_size": 2**30,
    "reference_batch_size": 2**30,
    "max_iters": 10**12,
    "epochs": 10**9,
    "max_tokens": 10**18,
    "max_samples": 10**12,
    "spam_interval": 10**12,
    "spam_warmup_steps": 10**12,
    "warmup_iters": 10**12,
    "lr_decay_iters": 10**12,
    "penalty_top_k": 2**24,
    "pruning_warmup": 10**12,
    "pruning_interval": 10**12,
    "pruning_ramp_end": 10**12,
    "eval_interval": 10**12,
    "eval_iters": 10**9,
    "log_interval": 10**12,
    "snapshot_interval": 10**12,
    "keep_last_n_snapshots": 10**9,
    "gradient_log_interval": 10**12,
    "weight_monitor_interval": 10**12,
    "weight_monitor_sample_size": 2**24,
    "log_save_interval": 10**12,
    "early_stop_patience": 10**9,
    "early_stop_overfit_patience": 10**9,
    "generate_interval": 10**12,
    "num_generate_samples": 1000,
    "generate_max_length": 2**20,
    "generate_top_k": 2**24,
    "fsdp_min_num_params": 10**15,
}

# What every file system takes, a suffix such as -2 and the files of a run included [bytes].
LONGEST_NAME = 240
LONGEST_PATH = 1000

GPT2_SIZES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
HUB_NAME = r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
FOREIGN = re.compile(r"\.(pt|pth|ckpt|bin|safetensors|gguf|onnx)$", re.IGNORECASE)


def broken_rules(config: Config) -> list[Broken]:
    """Every rule that ``config`` breaks."""
    large = _too_large(config)
    known = {key for broken in large for key in broken.keys}
    return large + [broken for rule in RULES if (broken := rule(config)) and not known & set(broken.keys)]


def _too_large(c: Config) -> list[Broken]:
    return [
        Broken((key,), f"{key} is too large; at most {limit:,}")
        for key, limit in LARGEST.items()
        if isinstance(value := getattr(c, key), int | float) and value > limit
    ]


def heads_divide_width(c: Config) -> Broken | None:
    if c.n_embd % c.n_head == 0:
        return None
    options = _around(c.n_head, [h for h in range(1, min(c.n_embd, 4096) + 1) if c.n_embd % h == 0])
    wide = c.n_embd // c.n_head * c.n_head or c.n_head
    says = f"n_embd={c.n_embd} does not split into n_head={c.n_head}; try n_head={options}, or n_embd={wide}"
    return Broken(("n_head", "n_embd"), says)


def kv_heads_divide_heads(c: Config) -> Broken | None:
    if c.n_kv_head is None or c.n_head % c.n_kv_head == 0:
        return None
    options = _around(c.n_kv_head, [g for g in range(1, min(c.n_head, 4096) + 1) if c.n_head % g == 0])
    says = f"n_kv_head={c.n_kv_head} does not divide n_head={c.n_head}; try n_kv_head={options}"
    return Broken(("n_kv_head", "n_head"), says)


def rope_needs_pairs(c: Config) -> Broken | None:
    width = c.n_embd // c.n_head
    if c.position_encoding != "rope" or c.n_embd % c.n_head or width % 2 == 0:
        return None
    heads = [h for h in range(1, min(c.n_embd, 4096) + 1) if c.n_embd % h == 0 and c.n_embd // h % 2 == 0]
    other = f"n_head={_around(c.n_head, heads)}" if heads else f"n_embd={c.n_embd + c.n_head}"
    says = f"position_encoding=rope turns pairs, and n_embd={c.n_embd} over n_head={c.n_head} is {width} wide, odd"
    return Broken(("position_encoding", "n_head", "n_embd"), f"{says}; try {other}")


def floor_below_peak(c: Config) -> Broken | None:
    decays = c.decay_lr and c.schedule != "constant"
    if c.min_lr is None or not decays or c.min_lr <= c.learning_rate or c.lr_scaling != "none":
        return None  # what the rate scales to is known with the batch, to the plan
    says = f"min_lr={c.min_lr:g} is above learning_rate={c.learning_rate:g}"
    return Broken(("min_lr", "learning_rate"), f"{says}; try min_lr={c.learning_rate / 10:g}, or min_lr_ratio=0.1")


def device_is_known(c: Config) -> Broken | None:
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,4})?", c.device, re.ASCII):
        return None
    return Broken(("device",), "must be auto, cpu, cuda (a GPU), cuda:N or mps")


def cpu_has_no_fp16(c: Config) -> Broken | None:
    if not (c.device == "cpu" and c.dtype == "float16"):
        return None
    says = "dtype=float16 does not train on device=cpu; try dtype=bfloat16 or dtype=float32"
    return Broken(("dtype", "device"), says)


def fsdp_has_no_scaler_and_no_samples(c: Config) -> Broken | None:
    if c.strategy != "fsdp":
        return None
    if c.dtype == "float16":
        return Broken(("dtype", "strategy"), "dtype=float16 with strategy=fsdp: not supported; try dtype=bfloat16")
    if c.generate_interval:
        says = "with strategy=fsdp no device holds the whole model to write with; try generate_interval=0"
        return Broken(("generate_interval", "strategy"), f"generate_interval={c.generate_interval}: {says}")
    return None


def pruning_sees_whole_weights(c: Config) -> Broken | None:
    """One threshold holds for all layers; under fsdp no process has them, and under zero1 none has all of Adam's moments."""
    if c.strategy == "fsdp" and c.pruning_method != "none":
        lacks, other = "whole weights", "strategy=ddp" + " or strategy=zero1" * (c.pruning_method != "state")
    elif c.strategy == "zero1" and c.pruning_method == "state":
        lacks, other = "all of Adam's moments", "strategy=ddp"
    else:
        return None
    says = f"pruning_method={c.pruning_method} with strategy={c.strategy}: no process has {lacks}; try {other}"
    return Broken(("pruning_method", "strategy"), says)


def state_pruning_needs_moments(c: Config) -> Broken | None:
    own = c.optimizer not in choices("optimizer")  # and may have them
    if c.pruning_method != "state" or own or c.optimizer.startswith(("adam", "schedule_free")):
        return None
    says = f"pruning_method=state scores weights by Adam's two moments, which optimizer={c.optimizer} has not"
    return Broken(("pruning_method", "optimizer"), f"{says}; try optimizer=adamw, or pruning_method=magnitude")


# What an update rule needs, and the strategy under which no device has it.
SHARED: dict[str, tuple[str, str]] = {
    "muon": ("fsdp", "no device holds a whole matrix to orthogonalize; try strategy=zero1"),
    "adamwspam": ("zero1", "gradients are clipped by moments that one device alone has; try strategy=fsdp"),
    "schedule_free_adamw": (
        "zero1",
        "the average to evaluate needs moments that one device alone has; try strategy=fsdp",
    ),
}


def optimizer_has_what_it_needs(c: Config) -> Broken | None:
    rule = c.adamwprune_base_optimizer_name if c.optimizer == "adamwprune" else c.optimizer
    strategy, says = SHARED.get(rule, ("", ""))
    if c.strategy != strategy:
        return None
    keys = ("adamwprune_base_optimizer_name",) if c.optimizer == "adamwprune" else ()
    return Broken(("optimizer", "strategy", *keys), f"optimizer={c.optimizer} under strategy={strategy}: {says}")


def schedule_free_is_not_pruned(c: Config) -> Broken | None:
    if c.optimizer != "schedule_free_adamw" or c.pruning_method == "none":
        return None
    says = "the average that is saved has weights from before they were pruned; try optimizer=adamw"
    return Broken(("pruning_method", "optimizer"), f"pruning_method={c.pruning_method} with {c.optimizer}: {says}")


def schedule_free_interpolates(c: Config) -> Broken | None:
    if c.optimizer != "schedule_free_adamw" or c.beta1 > 0:
        return None
    says = "beta1=0 leaves schedule_free_adamw no average to evaluate; try beta1=0.9"
    return Broken(("beta1", "optimizer"), says)


def names_model(init_from: str) -> bool:
    """Whether it can be the name of a model to begin with: one of GPT-2's, a folder that is there, or one on the Hub."""
    folder = os.path.expanduser(init_from)
    on_hub = (
        re.fullmatch(HUB_NAME, init_from, re.ASCII) and not FOREIGN.search(init_from) and not os.path.isfile(folder)
    )
    return init_from not in ("scratch", "resume") and (init_from in GPT2_SIZES or os.path.isdir(folder) or bool(on_hub))


def start_is_known(c: Config) -> Broken | None:
    words = ("scratch", "resume", *GPT2_SIZES)
    if c.init_from in words or names_model(c.init_from):
        return None
    if os.path.isfile(os.path.expanduser(c.init_from)) or FOREIGN.search(c.init_from):
        says = f"a file; `gptmill import {one_line(c.init_from)} --out DIR` makes it a folder: then init_from=DIR"
        return Broken(("init_from",), says)
    says = f"must be {', '.join(words)}, the folder of a model, or OWNER/NAME on the Hub"
    return Broken(("init_from",), f"{says}{nearest(c.init_from, words)}")


def checkpoint_is_a_folder(c: Config) -> Broken | None:
    if FOREIGN.search(c.checkpoint_file or "") is None:
        return None
    says = "a file of another program; `gptmill import FILE --out DIR` makes it a run folder: then init_from=DIR"
    return Broken(("checkpoint_file",), says)


def dataset_stays_inside(c: Config) -> Broken | None:
    parts = c.dataset.split("/")
    safe = all(
        re.fullmatch(r"[\w.+ -]{1,200}", p) and p not in (".", "..") and not p.startswith((" ", "-")) for p in parts
    )
    if safe:
        return None
    says = "must be a folder name under data_dir, without '..' or a leading '/'; set data_dir for another place"
    return Broken(("dataset",), says)


def folders_are_named(c: Config) -> Broken | None:
    empty = [key for key in ("data_dir", "out_dir") if not getattr(c, key).strip()]
    return Broken((empty[0],), "empty; name a folder, or '.' for this one") if empty else None


def wandb_names_are_not_empty(c: Config) -> Broken | None:
    for key in ("wandb_project", "wandb_run_name", "wandb_entity"):
        if (name := getattr(c, key)) is not None and not name.strip():
            return Broken((key,), f"empty; give a name, or leave {key} out")
    return None


def paths_are_short(c: Config) -> Broken | None:
    for key in ("data_dir", "dataset", "out_dir"):
        path = os.fsencode(getattr(c, key))
        if len(path) > LONGEST_PATH or any(len(name) > LONGEST_NAME for name in path.split(b"/")):
            says = f"too long: at most {LONGEST_NAME} bytes a name and {LONGEST_PATH:,} in all; try a shorter one"
            return Broken((key,), says)
    return None


def tokenizer_is_known(c: Config) -> Broken | None:
    if c.tokenizer in (None, "char", "byte", "gpt2", "gpt4", "gpt4o", "cl100k", "o200k"):
        return None
    size = re.fullmatch(r"bpe-(\d{1,9})", c.tokenizer or "", re.ASCII)
    if size and 257 <= int(size[1]) <= 65536:
        return None
    says = "must be char, byte, gpt2, gpt4, gpt4o, or bpe-N with N from 257 to 65536"
    return Broken(("tokenizer",), f"{says}; try bpe-4096")


def _around(wanted: int, options: list[int]) -> str:
    """The nearest option below and above: '6 or 8'."""
    below = [o for o in options if o < wanted][-1:]
    above = [o for o in options if o > wanted][:1]
    return " or ".join(str(o) for o in below + above)


RULES: list[Callable[[Config], Broken | None]] = [
    heads_divide_width,
    kv_heads_divide_heads,
    rope_needs_pairs,
    floor_below_peak,
    device_is_known,
    cpu_has_no_fp16,
    fsdp_has_no_scaler_and_no_samples,
    pruning_sees_whole_weights,
    state_pruning_needs_moments,
    optimizer_has_what_it_needs,
    schedule_free_is_not_pruned,
    schedule_free_interpolates,
    start_is_known,
    checkpoint_is_a_folder,
    dataset_stays_inside,
    folders_are_named,
    wandb_names_are_not_empty,
    paths_are_short,
    tokenizer_is_known,
]
