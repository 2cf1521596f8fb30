"""The largest value of each number."""

from __future__ import annotations

from gptmill.config.rules.broken import Broken
from gptmill.config.schema import Config

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


def too_large(c: Config) -> list[Broken]:
    return [
        Broken((key,), f"{key} is too large; at most {limit:,}")
        for key, limit in LARGEST.items()
        if isinstance(value := getattr(c, key), int | float) and value > limit
    ]
