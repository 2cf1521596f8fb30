"""Every key a person may set, with its type, its default and one line that says what it does.

A Config is wishes: it may hold None ("work it out"), 'auto', epochs *or* steps. ``gptmill.plan`` settles it into a Plan.
Names of parts are listed here, not read from the registries, so that a typo is found before torch is imported; a test
holds the two equal. Other spellings of these keys live in ``aliases.py``.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

# pydantic would look through every installed package for plugins of its own, and run them: a config runs nobody's code,
# and the search takes a tenth of the time in which a mistake is to be told.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Normalization = Literal["layernorm", "layernorm_nobias", "rmsnorm"]
NormPosition = Literal["pre", "post"]
PositionEncoding = Literal["learned_absolute", "rope", "sinusoidal", "none"]
FeedForward = Literal["standard", "swiglu"]
Activation = Literal["gelu", "gelu_tanh", "silu", "relu", "leaky_relu"]
AttentionBackend = Literal["auto", "sdpa", "manual"]
Sampling = Literal["shuffle", "random"]
Optimizer = Literal["adamw", "adam", "adamwadv", "adamwspam", "adamwprune", "sgd", "muon", "schedule_free_adamw"]
AdamBase = Literal["adam", "adamw", "adamwadv", "adamwspam"]
SpamVariant = Literal["paper", "spikes"]
LrScaling = Literal["none", "linear", "sqrt"]
PruningMethod = Literal["none", "magnitude", "movement", "gradient_movement", "state"]
PenaltyType = Literal["none", "non_max_sum", "neg_max_prob", "neg_entropy", "top_k_mass"]
Schedule = Literal["cosine", "linear", "constant", "wsd"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Strategy = Literal["auto", "none", "ddp", "zero1", "fsdp"]
Precision = Literal["highest", "high", "medium"]
LogStyle = Literal["line", "full"]
OnSpike = Literal["warn", "stop", "skip", "rollback"]
OnNonfinite = Literal["stop", "skip", "rollback"]

Count = Annotated[int, Field(ge=1)]  # at least one of something
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]  # of a whole


def key(group: str, default: Any, says: str) -> Any:
    """One config key: its group in --help, its default, and the line that documents it."""
    return Field(default, description=says, json_schema_extra={"group": group})


class Config(BaseModel):
    """What was asked for, after every layer (defaults, presets, files, flags) is applied and validated."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    n_layer: Count = key("model", 12, "transformer blocks")
    n_head: Count = key("model", 12, "attention heads; must divide n_embd")
    n_kv_head: Count | None = key("model", None, "heads of keys and values, a divisor of n_head; None = n_head")
    n_embd: Count = key("model", 768, "width of the residual stream")
    block_size: Annotated[int, Field(ge=2)] = key("model", 1024, "context length [tokens]")
    vocab_size: Count | None = key("model", None, "None = the tokenizer's, rounded up to a multiple of 64 above 1,024")
    dropout: Fraction = key("model", 0.0, "probability of dropping an activation while training")
    bias: bool = key("model", False, "biases in linear layers and in normalization=layernorm")
    weight_tying: bool = key("model", True, "the output head shares the token embedding's weights")

    preset: str = key("parts", "", "named settings, comma-separated, the later wins: see `gptmill configs`")
    normalization: Normalization = key("parts", "layernorm", "layernorm has a bias when bias=True")
    norm_eps: Positive = key("parts", 1e-5, "added to the variance before the square root")
    norm_position: NormPosition = key("parts", "pre", "normalize before each sublayer (GPT-2, LLaMA) or after it")
    position_encoding: PositionEncoding = key("parts", "learned_absolute", "how a token knows where it stands")
    rope_theta: Positive = key("parts", 10000.0, "base of the rotation frequencies (rope only)")
    ffn_type: FeedForward = key("parts", "standard", "standard = two matrices; swiglu = three, gated")
    ffn_dim: Count | None = key("parts", None, "hidden width; None = 4 x n_embd, or 8/3 x n_embd for swiglu")
    activation: Activation = key("parts", "gelu", "of the standard feed-forward; gelu_tanh is GPT-2's own")
    attention_backend: AttentionBackend = key(
        "parts", "auto", "sdpa = PyTorch's fused kernels; auto = by context and device"
    )
    qk_norm: bool = key("parts", False, "normalize every query and key, with the model's normalization")
    sliding_window: Natural | Literal["off"] = key("parts", "off", "tokens each token sees, itself included; 0 = off")

    dataset: str = key("data", "openwebtext", "folder under data_dir that holds train.bin and val.bin")
    data_dir: str = key("data", "data", "where datasets are")
    tokenizer: str | None = key(
        "data", None, "used when preparing: char, byte, bpe-N, gpt2, gpt4, gpt4o; None = the dataset's own"
    )
    max_samples: Count | None = key("data", None, "only the first N training documents (of wikitext: rows); None = all")
    sampling: Sampling = key("data", "shuffle", "shuffle = every window once an epoch; random = nanoGPT's")

    init_from: str = key(
        "start", "scratch", "scratch; resume; or a model: gpt2 (-medium, -large, -xl), a folder, OWNER/NAME on the Hub"
    )
    checkpoint_file: str | None = key(
        "start", None, "checkpoint folder that a new run begins with: its weights and state"
    )
    seed: Natural = key("start", 1337, "decides initial weights, data order and dropout")

    batch_size: Count = key("batch", 12, "sequences per device per micro-step")
    auto_batch_size: bool = key("batch", False, "take what memory holds (or batch_size=auto); a step stays the same")
    max_batch_size: Count | None = key("batch", None, "largest that auto_batch_size takes; None = what fits")
    target_memory_utilization: Share = key("batch", 0.85, "of the device's memory that auto_batch_size fills")
    gradient_accumulation_steps: Count = key("batch", 40, "micro-steps per update, summed over all devices")
    effective_batch_size: Count | None = key("batch", None, "sequences per update; sets gradient_accumulation_steps")

    max_iters: Natural = key("length", 600000, "optimizer steps")
    epochs: Positive | None = key("length", None, "passes over the training tokens, instead of max_iters")
    max_tokens: Count | None = key("length", None, "training tokens, instead of max_iters")

    optimizer: Optimizer = key("optimizer", "adamw", "update rule")
    learning_rate: NonNegative = key("optimizer", 6e-4, "peak rate; with lr_scaling, that of reference_batch_size")
    lr_scaling: LrScaling = key("optimizer", "none", "the peak grows with the batch, or with its square root")
    reference_batch_size: Count | None = key("optimizer", None, "sequences per update learning_rate was found with")
    weight_decay: NonNegative = key("optimizer", 0.1, "on matrices only; norms and biases never decay")
    beta1: Fraction = key("optimizer", 0.9, "momentum")
    beta2: Fraction = key("optimizer", 0.95, "decay of the squared-gradient average")
    eps: Positive = key("optimizer", 1e-8, "Adam's epsilon")
    momentum: Fraction = key("optimizer", 0.9, "sgd: how much of each update the next one repeats")
    muon_momentum: Fraction = key("optimizer", 0.95, "muon: decay of the gradient average of hidden matrices")
    muon_learning_rate: Positive | None = key(
        "optimizer", None, "muon: peak rate of hidden matrices; None = learning_rate, to which their updates are scaled"
    )
    spam_variant: SpamVariant = key(
        "optimizer", "paper", "adamwspam: as published; or AMSGrad, and moments damped when the gradient norm spikes"
    )
    spam_theta: Positive | None = key(
        "optimizer", None, "adamwspam: clips a gradient whose square is above theta x its average; None = 5000, or 50"
    )
    spam_interval: Natural | None = key(
        "optimizer", None, "adamwspam: steps between resets of the moments; 0 = off; None = 500, or 1000"
    )
    spam_warmup_steps: Natural | None = key(
        "optimizer", None, "adamwspam: steps of warmup after a reset; None = 150, or 100"
    )
    spam_enable_clip: bool | None = key(
        "optimizer", None, "adamwspam: whether single gradients are clipped; None = yes for paper, no for spikes"
    )
    spam_spike_threshold: Positive = key(
        "optimizer", 2.0, "spikes: standard deviations above the mean of the last 100 norms"
    )
    adamwprune_base_optimizer_name: AdamBase = key("optimizer", "adamw", "adamwprune: the update rule it prunes by")
    adamwprune_beta1: Fraction = key("optimizer", 0.9, "adamwprune: beta1 of its own")
    adamwprune_beta2: Fraction = key("optimizer", 0.999, "adamwprune: beta2 of its own")
    adamwprune_weight_decay: NonNegative = key("optimizer", 0.1, "adamwprune: weight decay of its own")
    adamwprune_amsgrad: bool | None = key("optimizer", None, "adamwprune: AMSGrad; None = as its base has it")
    grad_clip: NonNegative = key("optimizer", 1.0, "largest global gradient norm; 0 = off")
    freeze: str = key(
        "optimizer", "", "weights that stay as they are: names or patterns, as wte,position,blocks.[0-9].*"
    )

    schedule: Schedule = key("schedule", "cosine", "shape of the decay after warmup")
    warmup_iters: Natural = key("schedule", 2000, "steps of linear warmup")
    lr_decay_iters: Count | None = key("schedule", None, "step at which min_lr is reached; None = max_iters")
    min_lr: NonNegative | None = key("schedule", None, "floor of the rate; None = learning_rate / 10")
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)] | None = key(
        "schedule", None, "min_lr as a share of learning_rate"
    )
    decay_fraction: Share = key("schedule", 0.2, "wsd: last part of the run that decays")
    decay_lr: bool = key("schedule", True, "False = constant learning_rate, no warmup")

    penalty_type: PenaltyType = key("penalty", "none", "of an uncertain output, added to the training loss")
    penalty_weight: NonNegative = key("penalty", 0.0, "penalty counts this much beside cross-entropy; 0 = off")
    penalty_top_k: Count = key("penalty", 5, "top_k_mass: likeliest tokens whose probability is not penalized")

    pruning_method: PruningMethod = key(
        "pruning",
        "none",
        "which weights of linear layers become zero: small ones; ones that move to zero; by Adam's state",
    )
    target_sparsity: Fraction = key("pruning", 0.5, "share of those weights that are zero in the end, exactly")
    pruning_warmup: Natural = key("pruning", 1000, "steps before any is")
    pruning_interval: Count = key("pruning", 50, "steps between prunings")
    pruning_ramp_end: Count | None = key("pruning", None, "step at which target_sparsity is met; None = max_iters")
    prune_tied_head: bool = key("pruning", False, "also the output head where it is the token embedding too")

    eval_interval: Count | Literal["epoch"] = key(
        "cadence", 2000, "steps between evaluations, also at the start and the end; epoch = at the end of every epoch"
    )
    eval_iters: Count = key("cadence", 200, "batches per evaluation and split")
    log_interval: Count = key("cadence", 1, "steps between log lines")
    eval_only: bool = key("cadence", False, "evaluate once and stop")
    always_save_checkpoint: bool = key("cadence", True, "False = at an evaluation, save only if val loss improved")
    snapshot_interval: Natural = key("cadence", 0, "steps between extra checkpoints; 0 = off")
    checkpoint_minutes: NonNegative | None = key(
        "cadence", None, "longest time without a checkpoint; 0 = off; None = what one costs decides, 10 at first"
    )
    keep_last_n_snapshots: Natural = key("cadence", 3, "newest checkpoints kept, besides the best; 0 = all")
    delete_snapshots_after_training: bool = key("cadence", False, "keep only the best and the last of a finished run")

    early_stopping: bool = key("early stop", False, "end the run when validation loss no longer improves")
    early_stop_patience: Count = key("early stop", 5, "evaluations without improvement that end it")
    early_stop_min_delta: NonNegative = key("early stop", 0.001, "a smaller gain is no improvement [nats/token]")
    early_stop_restore_best: bool = key("early stop", True, "its result is then the best checkpoint, not the last")
    early_stop_overfit_patience: Natural = key(
        "early stop", 0, "evaluations in a row, each with val loss further above train loss, that end it; 0 = off"
    )
    early_stop_overfit_min_delta: NonNegative = key("early stop", 0.01, "further by less does not count [nats/token]")

    gradient_monitor: bool = key("monitors", True, "look at the gradients of every layer")
    gradient_log_interval: Count = key("monitors", 10, "steps between looks at the gradients")
    weight_monitor: bool = key("monitors", True, "look at the weights of every layer, and how far a step moves them")
    weight_monitor_interval: Count = key("monitors", 100, "steps between looks at the weights")
    weight_monitor_sample_size: Count = key("monitors", 1024, "numbers looked at in each weight")
    on_spike: OnSpike = key(
        "monitors", "warn", "a loss or gradient far above its usual: warn; stop; skip the batch; rollback, then skip it"
    )
    on_nonfinite: OnNonfinite = key("monitors", "stop", "a loss or gradient that is no number: stop, skip, rollback")
    log_style: LogStyle = key("monitors", "line", "on the console: a line a step, or full blocks")
    save_log_to_json: bool = key("monitors", True, "fold metrics.jsonl into run_TIME.json")
    log_save_interval: Count = key("monitors", 100, "steps between folds")

    generate_interval: Natural = key("samples", 0, "steps between samples while training; 0 = off")
    num_generate_samples: Count = key("samples", 3, "samples at a time, of three prompts in turn")
    generate_max_length: Count = key("samples", 100, "tokens of a sample, its prompt included")
    temperature: NonNegative = key("samples", 1.0, "below 1 plays safe, 0 = always the likeliest token")
    generate_top_k: Natural | None = key("samples", None, "draw from the k likeliest tokens; None or 0 = from all")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = key(
        "samples", None, "draw from the likeliest tokens that together reach this probability; None = from all"
    )

    device: str = key("system", "auto", "auto, cpu, cuda, cuda:N, mps")
    dtype: Dtype = key("system", "auto", "auto = bfloat16 where the hardware gains from it, else float32")
    strategy: Strategy = key(
        "system",
        "auto",
        "several devices: ddp, zero1 (shares out moments), fsdp (everything); auto = the first that fits",
    )
    fsdp_min_num_params: NonNegative = key("system", 1e6, "fsdp: blocks with fewer parameters are gathered together")
    compile: bool | Literal["auto"] = key("system", "auto", "torch.compile; auto = on CUDA")
    activation_checkpointing: bool = key(
        "system", False, "backward computes each block again instead of holding it: less memory, a third more work"
    )
    fused_optimizer: bool = key("system", True, "all weights updated by one kernel, where the optimizer has one")
    chunked_loss: bool = key("system", True, "the loss looks at some of the logits at a time and never holds all")
    keep_memory: bool = key("system", True, "CPU: what a step frees is kept for the next one, not given back")
    deterministic: bool = key("system", False, "deterministic kernels on CUDA (slower; a CPU run always is)")
    matmul_precision: Precision = key("system", "high", "float32 matmuls on CUDA: high = TF32")

    out_dir: str = key("tracking", "out", "run folder; one from a config or default never overwrites: X, X-2, X-3, ...")
    tensorboard_log: bool = key("tracking", False, "also write tensorboard/ in the run folder")
    wandb_log: bool = key("tracking", False, "also log to Weights & Biases")
    wandb_project: str = key("tracking", "gptmill", "its project")
    wandb_run_name: str | None = key("tracking", None, "the run's name there; None = the run folder's")
    wandb_entity: str | None = key("tracking", None, "user or team there; None = your own")


def groups() -> dict[str, dict[str, FieldInfo]]:
    """Keys by group, in the order they are declared: {'model': {'n_layer': FieldInfo, ...}, ...}."""
    found: dict[str, dict[str, FieldInfo]] = {}
    for name, field in Config.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        found.setdefault(str(extra["group"]), {})[name] = field
    return found
