"""What it means when a setting of a continued run changes: one table over every config key, and all that follows from it.

Torch-free, so that a change is judged before torch is imported; ``facts.py`` derives what a checkpoint records from it.
"""

from __future__ import annotations

from typing import Any

# Another value makes the saved weights or the data those of another run.
IMPOSSIBLE = (
    *("n_layer", "n_head", "n_kv_head", "n_embd", "block_size", "vocab_size", "bias", "weight_tying"),
    *("normalization", "norm_eps", "norm_position", "position_encoding", "rope_theta", "qk_norm", "sliding_window"),
    *("ffn_type", "ffn_dim", "activation", "dataset", "max_samples", "tokenizer", "optimizer", "freeze"),
    *("spam_variant", "adamwprune_base_optimizer_name", "adamwprune_amsgrad"),  # other moments
)
# The weights stay usable and the run takes another course from here: only ever on purpose, by a flag.
NEEDS_FLAG = (
    *("dropout", "sampling", "seed"),
    *("batch_size", "gradient_accumulation_steps", "effective_batch_size"),
    *("learning_rate", "lr_scaling", "reference_batch_size", "weight_decay", "beta1", "beta2", "eps", "grad_clip"),
    *("momentum", "muon_momentum", "muon_learning_rate"),
    *("spam_theta", "spam_interval", "spam_warmup_steps", "spam_enable_clip", "spam_spike_threshold"),
    *("adamwprune_beta1", "adamwprune_beta2", "adamwprune_weight_decay"),
    *("schedule", "warmup_iters", "lr_decay_iters", "min_lr", "min_lr_ratio", "decay_fraction", "decay_lr"),
    *("on_spike", "on_nonfinite"),
    *("penalty_type", "penalty_weight", "penalty_top_k"),
    *("pruning_method", "target_sparsity", "pruning_warmup", "pruning_interval", "pruning_ramp_end", "prune_tied_head"),
)
# The same run, rounded differently; a checkpoint records them and a difference is said.
ROUNDING = (
    *("auto_batch_size", "max_batch_size", "target_memory_utilization"),
    *("attention_backend", "activation_checkpointing", "device", "dtype", "compile", "deterministic"),
    *("matmul_precision", "strategy", "fsdp_min_num_params", "fused_optimizer", "chunked_loss"),
)
# How long it goes on, how often it looks up, where it finds things.
FREE = (
    *("preset", "data_dir", "init_from", "out_dir", "max_iters", "epochs", "max_tokens"),
    *("eval_interval", "eval_iters", "log_interval", "eval_only", "keep_memory"),
    *("always_save_checkpoint", "snapshot_interval", "checkpoint_minutes", "keep_last_n_snapshots"),
    *("delete_snapshots_after_training", "checkpoint_file"),
    *("early_stopping", "early_stop_patience", "early_stop_min_delta", "early_stop_restore_best"),
    *("early_stop_overfit_patience", "early_stop_overfit_min_delta"),
    *("gradient_monitor", "gradient_log_interval"),
    *("weight_monitor", "weight_monitor_interval", "weight_monitor_sample_size"),
    *("log_style", "save_log_to_json", "log_save_interval"),
    *("tensorboard_log", "wandb_log", "wandb_project", "wandb_run_name", "wandb_entity"),
    *("generate_interval", "num_generate_samples", "generate_max_length", "temperature", "generate_top_k", "top_p"),
)

# Of the machine and not of the config; and a split that batch_size and effective_batch_size already tell.
FOUND = ("world_size", "device_name")
TOLD = ("gradient_accumulation_steps",)


def decides_bits(names: Any) -> tuple[str, ...]:
    """Which of these names of a plan or a shape decide the next bits, though not whether a checkpoint can be used."""
    return tuple(name for name in names if name in (*NEEDS_FLAG, *ROUNDING, *FOUND) and name not in TOLD)
