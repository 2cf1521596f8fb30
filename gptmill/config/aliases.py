"""Other systems' names for our keys. They are translated here, at the border; inside, only the schema's name is used."""

from __future__ import annotations

# nanoGPT's spelling is canonical; left of each arrow is what other trainers call the same thing.
RENAMED: dict[str, str] = {
    "num_layers": "n_layer",
    "num_heads": "n_head",
    "d_model": "n_embd",
    "max_seq_len": "block_size",
    "max_seq_length": "block_size",
    "d_ff": "ffn_dim",
    "arch_preset": "preset",
    "model_preset": "preset",
    "gradient_accumulation": "gradient_accumulation_steps",
    "target_effective_batch_size": "effective_batch_size",
    "num_epochs": "epochs",
    "total_steps": "max_iters",
    "lr": "learning_rate",
    "max_lr": "learning_rate",
    "gradient_clip": "grad_clip",
    "max_grad_norm": "grad_clip",
    "warmup": "warmup_iters",
    "warmup_steps": "warmup_iters",
    "eval_samples": "eval_iters",
    "save_interval": "snapshot_interval",
    "snapshot": "snapshot_interval",
    "compile_model": "compile",
    "fsdp_activation_checkpointing": "activation_checkpointing",
    "output_dir": "out_dir",
    "top_k": "penalty_top_k",
    "gradient_monitor_interval": "gradient_log_interval",
}

# A switch elsewhere, a value of one of our keys here: name -> (key, value when True, value when False).
# None: nothing is asked for, which takes back what a lower layer asked for.
SWITCHES: dict[str, tuple[str, str | bool, str | bool | None]] = {
    "resume": ("init_from", "resume", "scratch"),
    "no_early_stop_restore_best": ("early_stop_restore_best", False, True),
    "use_wandb": ("wandb_log", True, False),
    "no_wandb": ("wandb_log", False, True),
    "flash_attention": ("attention_backend", "sdpa", "manual"),
    "use_zero1": ("strategy", "zero1", None),
    "use_fsdp": ("strategy", "fsdp", None),
}

# A name elsewhere for a size, of which the weights come with init_from only: name -> key; value -> the key's value.
SIZES: dict[str, str] = {"model_name": "preset"}
MODEL_NAMES: dict[str, str] = {
    "gpt2": "medium",
    "gpt2-medium": "gpt2-medium",
    "gpt2-large": "gpt2-large",
    "gpt2-xl": "gpt2-xl",
}

# A word for a number that means another key: (key, word) -> (our key, its value).
MOVED: dict[tuple[str, str], tuple[str, bool]] = {("batch_size", "auto"): ("auto_batch_size", True)}

# Values that mean one of ours: key -> value -> (our value, why).
SAME_VALUE: dict[str, dict[str, tuple[str, str]]] = {
    "attention_backend": {"flash_attn_2": ("sdpa", "PyTorch's fused attention holds the same kernel")},
    "dtype": {
        short: (long, "torch's name for it")
        for short, long in {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32"}.items()
    },
}

# Accepted so that other systems' configs run unchanged; each says why it has nothing to do.
LOADER = "batches are computed from the step, no loader workers exist"
PREPARED = "the split is made when the data is prepared"
LOGGED = "metrics.jsonl records every logged step"
NO_EFFECT: dict[str, str] = {
    "num_workers": LOADER,
    "pin_memory": LOADER,
    "persistent_workers": LOADER,
    "prefetch_factor": LOADER,
    "gpu_warmup": "speed is measured after warm-up anyway",
    "backend": "the communication backend follows the device",
    "val_samples": PREPARED,
    "val_fraction": PREPARED,
    "openwebtext_val_samples": PREPARED,
    "train_val_split": PREPARED,
    "json_output": LOGGED,
}
NO_EFFECT_SWITCHES = ("pin_memory", "persistent_workers", "gpu_warmup")


def aliases_of(key: str) -> list[str]:
    """Every other spelling of ``key``, for help texts."""
    renamed = [name for name, target in (RENAMED | SIZES).items() if target == key]
    return renamed + [name for name, (target, _, _) in SWITCHES.items() if target == key]
