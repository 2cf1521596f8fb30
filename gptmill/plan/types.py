"""Settled facts. A Plan is computed once from a Config, the data and the machine; nobody changes it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction

from gptmill.shapes import ModelShape, Penalty

# A last step is taken when more than this share of its batch would be text not seen yet. Rounding up alone would add
# a step for 2 sequences in 512 (OpenWebText) or for the binary tail of epochs=0.1; rounding down would leave most of a
# batch unread.
NEW_TEXT = Fraction(1, 100)


def covers(patterns: tuple[str, ...], name: str) -> bool:
    """Whether a weight's name, or that of a module around it, matches one of the patterns."""
    return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*") for pattern in patterns)


@dataclass(frozen=True)
class DataFacts:
    """What is known of a prepared dataset without reading its tokens.

    Args:
        path: folder that holds train.bin and val.bin.
        vocab_size: ids the tokenizer can emit; None for a bare .bin without meta.json.
        tokenizer: name such as 'char' or 'gpt2', or None when unknown.
        sha256: fingerprint over the block hashes of both splits; for llm.c's files over names, counts and first tokens;
            None for a bare .bin.
        counted_tokens: training tokens that count as targets where prompts are only read; None = all do.
    """

    name: str
    path: str
    train_tokens: int
    val_tokens: int
    vocab_size: int | None
    tokenizer: str | None
    sha256: str | None
    counted_tokens: int | None = None


@dataclass(frozen=True)
class Machine:
    """One device as the plan needs to know it, found out without torch.

    Args:
        kind: 'cpu', 'cuda' or 'mps'.
        memory: bytes on the device (host memory for a CPU), None when unknown.
        bf16: bfloat16 matmuls are faster than float32 here.
    """

    kind: str
    name: str
    cores: int
    memory: int | None
    bf16: bool


@dataclass(frozen=True)
class Advice:
    """One thing a person would want to know before the run; ``try_`` is the exact setting to use."""

    level: str  # 'note' or 'warning'
    key: str
    says: str
    because: str
    try_: str


@dataclass(frozen=True)
class Plan:
    """Every number of one run. Field names equal the config keys where they mean the same."""

    shape: ModelShape
    architecture: str  # its name, such as 12L-12H-768D-RoPE-RMS-SwiGLU-PreNorm
    params: int
    params_non_embedding: int
    flops_per_token: int  # training FLOP: 3 x forward

    dataset: str
    data_path: str
    sampling: str
    checkpoint_file: str | None  # where a new run takes its first weights and state from
    weights: str | None  # the model whose weights a new run begins with, as init_from names it; None: random ones
    train_tokens: int | None  # None: the dataset is not prepared yet
    val_tokens: int | None
    counted_tokens: int | None  # of train_tokens, those that are targets where prompts are only read; None: all
    windows_per_epoch: int | None  # training sequences
    seed: int

    batch_size: int
    gradient_accumulation_steps: int  # summed over all devices
    world_size: int
    micro_steps: int  # per device and step: gradient_accumulation_steps / world_size
    eval_sequences: int  # of each split, whatever the micro-batch
    memory_target: int | None  # bytes on a device that batch_size was chosen to stay below; None: it was not chosen
    max_batch_size: int | None  # the largest that may be chosen
    effective_batch_size: int  # sequences per step
    tokens_per_iter: int

    max_iters: int
    total_tokens: int
    epochs: float | None

    freeze: tuple[str, ...]  # patterns of names of weights that stay as they are
    frozen_params: int  # numbers in them; 0 also where a part of one's own leaves it open
    optimizer: str
    base_optimizer: str  # the update rule: of adamwprune the one that it prunes by, else the same
    amsgrad: bool
    learning_rate: float  # its peak, scaled
    lr_scaling: str
    reference_batch_size: int | None
    weight_decay: float
    beta1: float
    beta2: float
    eps: float
    momentum: float
    muon_momentum: float
    muon_learning_rate: float  # its peak, scaled
    spam_variant: str
    spam_theta: float
    spam_interval: int  # 0 = never
    spam_warmup_steps: int
    spam_enable_clip: bool
    spam_spike_threshold: float
    grad_clip: float

    schedule: str  # 'constant' when decay_lr is False
    warmup_iters: int
    lr_decay_iters: int
    min_lr: float
    decay_fraction: float  # of lr_decay_iters, at its end; schedule wsd only

    penalty_type: str
    penalty_weight: float
    penalty_top_k: int
    pruning_method: str  # 'none' = the run does not prune
    target_sparsity: float
    pruning_warmup: int
    pruning_interval: int
    pruning_ramp_end: int
    prune_tied_head: bool

    eval_interval: int  # steps; where eval_per_epoch, those of the first epoch
    eval_per_epoch: bool
    eval_iters: int
    log_interval: int
    eval_only: bool
    always_save_checkpoint: bool
    snapshot_interval: int
    checkpoint_minutes: float | None  # None: by what a checkpoint is measured to cost
    keep_last_n_snapshots: int
    delete_snapshots_after_training: bool

    early_stopping: bool
    early_stop_patience: int
    early_stop_min_delta: float
    early_stop_restore_best: bool
    early_stop_overfit_patience: int
    early_stop_overfit_min_delta: float

    gradient_monitor: bool
    gradient_log_interval: int
    weight_monitor: bool
    weight_monitor_interval: int
    weight_monitor_sample_size: int
    on_spike: str
    on_nonfinite: str
    log_style: str
    save_log_to_json: bool
    log_save_interval: int
    tensorboard_log: bool
    wandb_log: bool
    wandb_project: str
    wandb_run_name: str | None
    wandb_entity: str | None

    generate_interval: int
    num_generate_samples: int
    generate_max_length: int
    temperature: float
    generate_top_k: int | None
    top_p: float | None

    device: str
    device_name: str
    device_memory: int | None
    dtype: str
    strategy: str  # none (one device), ddp, zero1 or fsdp
    fsdp_min_num_params: float
    compile: bool
    fused_optimizer: bool
    keep_memory: bool
    deterministic: bool
    matmul_precision: str

    advice: tuple[Advice, ...]

    @property
    def penalty(self) -> Penalty | None:
        """What is added to the training loss, if anything is."""
        if self.penalty_type == "none" or self.penalty_weight == 0:
            return None
        return Penalty(self.penalty_type, self.penalty_weight, self.penalty_top_k)

    def evaluates_after(self, step: int) -> bool:
        """Whether an evaluation is due when ``step`` steps are taken; that at the end of the run comes besides."""
        if not self.eval_per_epoch:
            return step % self.eval_interval == 0
        return step == 0 or self.epochs_after(step) > self.epochs_after(step - 1)

    def epochs_after(self, step: int) -> int:
        """Whole epochs that ``step`` steps amount to; a last batch with hardly any unseen text counts as read."""
        assert self.windows_per_epoch, "epochs of data that is not prepared"
        return (step + NEW_TEXT) * self.effective_batch_size // self.windows_per_epoch
