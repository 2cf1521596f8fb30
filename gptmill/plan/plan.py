"""From wishes to settled facts: ``make_plan`` is the one entrance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from gptmill.config.rules import broken_rules
from gptmill.config.schema import Config
from gptmill.errors import ConfigError, DataError, GptmillError
from gptmill.plan.advice import Situation, advise
from gptmill.plan.auto_batch import choose_batch_size
from gptmill.plan.batch import Batch, settle_batch
from gptmill.plan.flops import counts, has_closed_form, members
from gptmill.plan.frozen import Frozen, settle_freeze
from gptmill.plan.hardware import settle_compile, settle_device, settle_dtype
from gptmill.plan.horizon import Horizon, settle_horizon, windows_per_epoch
from gptmill.plan.naming import architecture_name
from gptmill.plan.optimizer import settle_optimizer
from gptmill.plan.outlook import Outlook, outlook_json
from gptmill.plan.pruning import check_prunable
from gptmill.plan.shape import check_data, check_targets, check_top_k, settle_shape
from gptmill.plan.strategy import settle_strategy
from gptmill.plan.types import Advice, DataFacts, Machine, Plan
from gptmill.shapes import Counts, ModelShape

Settled = TypeVar("Settled")


def make_plan(
    config: Config,
    *,
    data: DataFacts | None,
    machine: Machine,
    world_size: int = 1,
    origins: Mapping[str, str] | None = None,
    trace: Callable[[ModelShape], Counts] | None = None,
    weights: str | None = None,
) -> Plan:
    """Settle every number of a run.

    Args:
        data: None when the dataset is not prepared; what depends on it is then assumed, and advice says so.
        world_size: devices that share each step.
        origins: where each key was set; a problem with one from a file or a preset begins with the place.
        trace: counts parameters and FLOPs of parts that have no formula here.
        weights: the model that the run begins with, if it begins with one.

    Raises:
        ConfigError: keys that cannot work together; every problem found, those of the data included.
        DataError: the config is fine, but the data is too short for it.
    """
    failures: list[GptmillError] = []

    def attempt(settle: Callable[[], Settled]) -> Settled | None:
        try:
            return settle()
        except GptmillError as failure:
            failures.append(failure)
            return None

    if broken := [rule.says for rule in broken_rules(config)]:
        failures.append(ConfigError(*broken))
    windows = None if data is None else windows_per_epoch(data.train_tokens, config.block_size)
    shape = attempt(lambda: settle_shape(config, data, machine))
    batch = attempt(lambda: settle_batch(config, world_size))
    # a batch that failed has said so already; one sequence keeps the length checkable
    sequences = batch.effective_batch_size if batch else 1
    horizon = attempt(lambda: settle_horizon(config, windows=windows, effective_batch_size=sequences))
    frozen = attempt(lambda: settle_freeze(config, shape)) if shape else None
    attempt(lambda: check_data(config, data))
    if shape:
        attempt(lambda: check_top_k(config, shape.vocab_size))
    attempt(lambda: check_targets(config, data))
    _raise_together(failures, origins or {})
    assert shape and batch and horizon and frozen

    known = has_closed_form(shape)
    assert known or trace, f"no formula and no trace for {shape}"
    size = counts(shape) if known or not trace else trace(shape)
    plan = settle_strategy(_assemble(config, data, machine, shape, size, batch, horizon, weights, frozen))
    check_prunable(plan)
    plan = choose_batch_size(plan)
    return replace(plan, advice=advise(Situation(config, plan, data, machine)))


def advice_json(pieces: Iterable[Advice]) -> list[dict[str, str]]:
    """Advice as every --json prints it."""
    return [{"level": a.level, "key": a.key, "says": a.says, "because": a.because, "try": a.try_} for a in pieces]


def plan_json(plan: Plan, found: Outlook) -> dict[str, Any]:
    """The plan as ``gptmill plan --json`` prints it; what is not known is null.

    Units: FLOP, tokens, sequences, bytes per device, seconds, US dollars.
    """
    return {
        "params": plan.params,
        "params_non_embedding": plan.params_non_embedding,
        "flops_per_token": plan.flops_per_token,
        "tokens_per_iter": plan.tokens_per_iter,
        "max_iters": plan.max_iters,
        "total_tokens": plan.total_tokens,
        "epochs": plan.epochs,
        "batch_size": plan.batch_size,
        "gradient_accumulation_steps": plan.gradient_accumulation_steps,
        "world_size": plan.world_size,
        "strategy": plan.strategy,
        "effective_batch_size": plan.effective_batch_size,
        "warmup_iters": plan.warmup_iters,
        "learning_rate": plan.learning_rate,
        "min_lr": plan.min_lr,
        "device_memory": plan.device_memory,
        **outlook_json(found),
        "advice": advice_json(plan.advice),
        "architecture": plan.architecture,
        "members": [member._asdict() for member in members(plan.shape)] if has_closed_form(plan.shape) else None,
        "micro_steps": plan.micro_steps,
        "eval_sequences": plan.eval_sequences,
        "memory_target": plan.memory_target,
        "schedule": plan.schedule,
        "lr_decay_iters": plan.lr_decay_iters,
        "vocab_size": plan.shape.vocab_size,
        "ffn_dim": plan.shape.ffn_dim,
        "attention_backend": plan.shape.attention_backend,
        "dataset": plan.dataset,
        "train_tokens": plan.train_tokens,
        "counted_tokens": plan.counted_tokens,
        "device": plan.device,
        "device_name": plan.device_name,
        "dtype": plan.dtype,
        "compile": plan.compile,
    }


def _assemble(
    config: Config,
    data: DataFacts | None,
    machine: Machine,
    shape: ModelShape,
    size: Counts,
    batch: Batch,
    horizon: Horizon,
    weights: str | None,
    frozen: Frozen,
) -> Plan:
    tokens_per_iter = batch.effective_batch_size * shape.block_size
    windows = epochs = None
    if data is not None:
        windows = windows_per_epoch(data.train_tokens, shape.block_size)
        epochs = horizon.max_iters * batch.effective_batch_size / windows
    wished = {field.name: getattr(config, field.name) for field in fields(Plan) if field.name in Config.model_fields}
    settled = {
        **asdict(batch),
        **asdict(horizon),
        **asdict(settle_optimizer(config, horizon.learning_rate)),
        **size._asdict(),
        "shape": shape,
        "architecture": architecture_name(shape),
        "data_path": data.path if data else f"{config.data_dir}/{config.dataset}",
        "checkpoint_file": config.checkpoint_file or None,
        "weights": weights,
        "freeze": frozen.patterns,
        "frozen_params": frozen.params,
        "train_tokens": data.train_tokens if data else None,
        "val_tokens": data.val_tokens if data else None,
        "counted_tokens": data.counted_tokens if data else None,
        "windows_per_epoch": windows,
        "eval_sequences": config.eval_iters * config.batch_size,
        "memory_target": int(config.target_memory_utilization * machine.memory)
        if config.auto_batch_size and machine.memory
        else None,
        "tokens_per_iter": tokens_per_iter,
        "total_tokens": horizon.max_iters * tokens_per_iter,
        "epochs": epochs,
        "pruning_ramp_end": config.pruning_ramp_end or (horizon.max_iters if config.pruning_method != "none" else 0),
        "eval_per_epoch": config.eval_interval == "epoch",
        "delete_snapshots_after_training": config.delete_snapshots_after_training and not config.eval_only,
        "generate_top_k": config.generate_top_k or None,
        "device": settle_device(config.device, machine, batch.world_size),
        "device_name": machine.name,
        "device_memory": machine.memory,
        "dtype": settle_dtype(config.dtype, machine),
        "compile": settle_compile(config, machine),
        "advice": (),
    }
    return Plan(**{**wished, **settled})


def _raise_together(failures: list[GptmillError], origins: Mapping[str, str]) -> None:
    problems = [_located(problem, origins) for failure in failures for problem in failure.problems]
    if any(isinstance(failure, ConfigError) for failure in failures):
        raise ConfigError(*problems)
    if failures:
        raise DataError(*problems)


def _located(problem: str, origins: Mapping[str, str]) -> str:
    """Every problem of a key begins with ``key=value``; a flag or a default needs no other place than that."""
    origin = origins.get(problem.partition("=")[0], "default")
    return problem if origin == "default" or origin.startswith("--") else f"{origin}: {problem}"
