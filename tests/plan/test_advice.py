from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gptmill.config.schema import Config
from gptmill.plan.advice import ADVICE, Situation
from gptmill.plan.devices import find_device, machine_of
from gptmill.plan.plan import make_plan
from gptmill.plan.types import Advice, DataFacts, Machine
from tests.plan.facts import AMPERE, CPU, CPU_BF16, data

GEFORCE = machine_of(find_device("4090"))


@dataclass(frozen=True)
class Case:
    """Keys that draw the advice, neighbouring keys that do not, and what it must tell to try."""

    key: str
    wrong: dict[str, Any]
    right: dict[str, Any]
    try_: str
    facts: DataFacts | None = field(default_factory=data)
    right_facts: DataFacts | None = field(default_factory=data)
    machine: Machine = CPU
    right_machine: Machine = CPU


CASES = {
    "dataset_not_prepared": Case("dataset", {}, {}, "gptmill prepare --dataset openwebtext, or", facts=None),
    "nothing_to_share": Case("strategy", {"strategy": "fsdp"}, {"strategy": "ddp"}, "gptmill launch --gpus"),
    "vocabulary_assumed": Case("vocab_size", {}, {}, "gptmill prepare", facts=data(vocab_size=None)),
    "tokens_of_another_model": Case(
        "dataset",
        {"init_from": "gpt2"},
        {},
        "gptmill prepare --tokenizer gpt2",
        facts=replace(data(), tokenizer="char"),
        right_facts=replace(data(), tokenizer="char"),
    ),
    "vocabulary_unaligned": Case("vocab_size", {"vocab_size": 50257}, {"vocab_size": 50304}, "vocab_size=50304"),
    "unusual_head_width": Case("n_head", {"n_head": 96}, {"n_head": 48}, "n_head=12"),  # 8 and 16 wide
    # per layer 4TC against 24C^2, and 2VC once: equal at T = (12 x 24 x 768 + 2 x 50304) / 48 = 6,704
    "attention_dominates": Case("block_size", {"block_size": 6705}, {"block_size": 6704}, "block_size=6704"),
    "warmup_longer_than_run": Case(
        "warmup_iters",
        {"max_iters": 1760, "warmup_iters": 2000},
        {"max_iters": 1760, "warmup_iters": 1759},
        "warmup_iters=35",
    ),
    "decay_longer_than_run": Case(
        "lr_decay_iters", {"max_iters": 100, "lr_decay_iters": 101}, {"max_iters": 100}, "lr_decay_iters=100"
    ),
    "decay_shorter_than_run": Case(
        "lr_decay_iters",
        {"max_iters": 5000, "lr_decay_iters": 4999},
        {"max_iters": 5000, "lr_decay_iters": 5000},
        "lr_decay_iters=5000",
    ),
    "decay_within_warmup": Case(
        "lr_decay_iters",
        {"max_iters": 5000, "lr_decay_iters": 2000},
        {"max_iters": 5000, "lr_decay_iters": 2001},
        "lr_decay_iters=5000",
    ),
    "rate_far_above_usual": Case(
        "learning_rate", {"learning_rate": 0.1}, {"learning_rate": 0.01}, "learning_rate=1e-3"
    ),
    "rate_far_below_sgds": Case(
        "learning_rate", {"optimizer": "sgd"}, {"optimizer": "sgd", "learning_rate": 0.02}, "learning_rate=0.5"
    ),
    "sgd_decays_fast": Case(  # 0.1 x 0.1 / (1 - 0.9) = 0.1
        "weight_decay",
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.0},
        "weight_decay=1e-4",
    ),
    "schedule_free_with_a_schedule": Case(
        "schedule",
        {"optimizer": "schedule_free_adamw"},
        {"optimizer": "schedule_free_adamw", "decay_lr": False},
        "schedule=constant",
    ),
    "option_of_another_optimizer": Case(
        "spam_theta",
        {"spam_theta": 50.0},
        {"spam_theta": 50.0, "optimizer": "adamwprune", "adamwprune_base_optimizer_name": "adamwspam"},
        "optimizer=adamwspam",
    ),
    "option_that_no_moment_needs": Case(
        "beta2",
        {"optimizer": "sgd", "beta2": 0.99, "eps": 1e-6},
        {"beta2": 0.99, "eps": 1e-6},
        "leave beta2 and eps out",
    ),
    "reference_without_scaling": Case(
        "reference_batch_size",
        {"reference_batch_size": 32},
        {"reference_batch_size": 32, "lr_scaling": "linear"},
        "lr_scaling=sqrt",
    ),
    "linear_scaling_with_adam": Case(
        "lr_scaling",
        {"reference_batch_size": 32, "lr_scaling": "linear"},
        {"reference_batch_size": 32, "lr_scaling": "sqrt"},
        "lr_scaling=sqrt",
    ),
    "clipping_off": Case("grad_clip", {"grad_clip": 0}, {"grad_clip": 0.5}, "grad_clip=1.0"),
    # 124,373,760 parameters and 491,520 tokens a step: one token each after 253.04 steps, 20 after 5,060.8
    "few_tokens_per_parameter": Case(
        "max_iters",
        {"max_iters": 253},
        {"max_iters": 254},
        "max_iters=5061",
        facts=data(train=1_000_000_000),
        right_facts=data(train=1_000_000_000),
    ),
    # 1,000 each after 253,039.1 steps
    "many_tokens_per_parameter": Case("max_iters", {"max_iters": 253_040}, {"max_iters": 253_039}, "max_iters=5061"),
    # 97,656 windows, 480 a step: ten epochs are 2,034.5 steps
    "many_epochs": Case("max_iters", {"max_iters": 2036}, {"max_iters": 2035}, "max_iters=2035, or dropout=0.1"),
    "dropout_without_repetition": Case(
        "dropout", {"dropout": 0.1, "max_iters": 203}, {"dropout": 0.1, "max_iters": 204}, "dropout=0.0"
    ),
    "evaluated_only_at_the_ends": Case("eval_interval", {"max_iters": 1999}, {"max_iters": 2000}, "eval_interval=199"),
    # 2,400 sequences are asked for; 2,399 windows are there
    "validation_too_small": Case(
        "eval_iters",
        {},
        {},
        "eval_iters=199",
        facts=data(val=2400 * 1024),
        right_facts=data(val=2400 * 1024 + 1),
    ),
    "snapshot_beyond_the_run": Case(
        "snapshot_interval",
        {"max_iters": 100, "snapshot_interval": 101},
        {"max_iters": 100, "snapshot_interval": 100},
        "snapshot_interval=20",
    ),
    "does_not_fit": Case(
        "batch_size",
        {"batch_size": 240, "gradient_accumulation_steps": 2},
        {"batch_size": 12, "gradient_accumulation_steps": 40},
        "effective_batch_size=480",
        machine=GEFORCE,
        right_machine=GEFORCE,
    ),
    "memory_left_unused": Case(
        "batch_size",
        {"batch_size": 8, "gradient_accumulation_steps": 60},
        {"batch_size": 40, "gradient_accumulation_steps": 12},
        "gradient_accumulation_steps=",
        machine=GEFORCE,
        right_machine=GEFORCE,
    ),
    # a batch forward is a third of a micro-step; 11 evaluations of two splits of 200: 1,466.7 beside 1,000 x 4 micro-steps
    "evaluations_take_long": Case(
        "eval_iters",
        {"max_iters": 1000, "eval_interval": 100, "gradient_accumulation_steps": 4},
        {"max_iters": 1000, "eval_interval": 100, "gradient_accumulation_steps": 5},
        "eval_iters=60",
    ),
    # 97,656 windows, 480 a step: 204 steps an epoch
    "rarely_evaluated": Case(
        "eval_interval",
        {"max_iters": 1000, "eval_interval": 103},
        {"max_iters": 1000, "eval_interval": 102},
        "eval_interval=51",
    ),
    "checkpointing_without_need": Case(
        "activation_checkpointing",
        {"activation_checkpointing": True, "batch_size": 12, "gradient_accumulation_steps": 40},
        {"activation_checkpointing": True, "batch_size": 120, "gradient_accumulation_steps": 4},
        "activation_checkpointing=False",
        machine=GEFORCE,
        right_machine=GEFORCE,
    ),
    "not_compiled_on_a_gpu": Case(
        "compile", {"compile": False}, {"compile": False}, "compile=auto", machine=AMPERE, right_machine=CPU
    ),
    "first_checkpoint_late": Case(
        "checkpoint_minutes",
        {"checkpoint_minutes": 0},
        {"checkpoint_minutes": 30},
        "checkpoint_minutes=10",
        machine=GEFORCE,
        right_machine=GEFORCE,
    ),
    "activation_without_effect": Case(
        "activation",
        {"activation": "relu", "ffn_type": "swiglu"},
        {"activation": "relu"},
        "ffn_type=standard",
    ),
    "rotation_without_rope": Case(
        "rope_theta",
        {"rope_theta": 5e5},
        {"rope_theta": 5e5, "position_encoding": "rope"},
        "position_encoding=rope",
    ),
    "window_as_long_as_the_context": Case(
        "sliding_window", {"sliding_window": 1024}, {"sliding_window": 1023}, "a smaller window, or off"
    ),
    "decay_fraction_without_wsd": Case(
        "decay_fraction", {"decay_fraction": 0.3}, {"decay_fraction": 0.3, "schedule": "wsd"}, "schedule=wsd"
    ),
    "penalty_without_a_kind": Case(
        "penalty_weight",
        {"penalty_weight": 0.01},
        {"penalty_weight": 0.01, "penalty_type": "neg_entropy"},
        "penalty_type=non_max_sum",
    ),
    "penalty_without_a_weight": Case(
        "penalty_type",
        {"penalty_type": "neg_entropy"},
        {"penalty_type": "neg_entropy", "penalty_weight": 1e-3},
        "penalty_weight=0.01",
    ),
    "top_k_without_its_penalty": Case(
        "penalty_top_k",
        {"penalty_type": "neg_entropy", "penalty_weight": 0.1, "penalty_top_k": 50},
        {"penalty_type": "top_k_mass", "penalty_weight": 0.1, "penalty_top_k": 50},
        "penalty_type=top_k_mass",
    ),
    "pruning_after_the_end": Case(
        "pruning_warmup",
        {"pruning_method": "magnitude", "max_iters": 1000},
        {"pruning_method": "magnitude", "max_iters": 1001},
        "pruning_warmup=100",
    ),
    "target_sparsity_not_met": Case(
        "pruning_ramp_end",
        {"pruning_method": "state", "max_iters": 5000, "pruning_ramp_end": 5001},
        {"pruning_method": "state", "max_iters": 5000, "pruning_ramp_end": 5000},
        "pruning_ramp_end=4000",
    ),
    "pruned_at_once": Case(
        "pruning_ramp_end",
        {"pruning_method": "movement", "max_iters": 5000, "pruning_ramp_end": 1000},
        {"pruning_method": "movement", "max_iters": 5000, "pruning_ramp_end": 1001},
        "pruning_ramp_end=4000",
    ),
    "no_steps_after_pruning": Case(
        "pruning_ramp_end",
        {"pruning_method": "magnitude", "max_iters": 5000},
        {"pruning_method": "magnitude", "max_iters": 5000, "pruning_ramp_end": 4999},
        "pruning_ramp_end=4000",
    ),
    "state_pruning_without_its_optimizer": Case(
        "pruning_method",
        {"pruning_method": "state"},
        {"pruning_method": "state", "optimizer": "adamwprune"},
        "optimizer=adamwprune",
    ),
    "pruning_options_without_pruning": Case(
        "target_sparsity",
        {"target_sparsity": 0.7},
        {"target_sparsity": 0.7, "pruning_method": "magnitude"},
        "pruning_method=magnitude",
    ),
    "device_replaced": Case("device", {"device": "cuda"}, {"device": "cuda"}, "device=auto", right_machine=AMPERE),
    "half_precision_without_gain": Case(
        "dtype", {"dtype": "bfloat16"}, {"dtype": "bfloat16"}, "dtype=auto", right_machine=CPU_BF16
    ),
    "full_precision_on_fast_hardware": Case(
        "dtype", {"dtype": "float32"}, {"dtype": "auto"}, "dtype=auto", machine=AMPERE, right_machine=AMPERE
    ),
}


def advice(name: str, keys: dict[str, Any], facts: DataFacts | None, machine: Machine) -> Advice | None:
    config = Config(**keys)
    return ADVICE[name](Situation(config, make_plan(config, data=facts, machine=machine), facts, machine))


def test_every_piece_of_advice_has_a_case() -> None:
    assert set(CASES) == set(ADVICE)


@pytest.mark.parametrize("name", CASES)
def test_the_mistake_draws_the_advice_and_its_neighbour_does_not(name: str) -> None:
    case = CASES[name]
    given = advice(name, case.wrong, case.facts, case.machine)
    assert given is not None
    assert given.key == case.key
    assert case.try_ in given.try_
    assert advice(name, case.right, case.right_facts, case.right_machine) is None


@pytest.mark.parametrize(
    "name",
    [name for name, case in CASES.items() if case.try_.startswith(f"{case.key}=") and case.key in Config.model_fields],
)
def test_following_the_advice_silences_it(name: str) -> None:
    case = CASES[name]
    value = case.try_.partition("=")[2].partition(",")[0]  # a flag's text, as a person would type it
    heeded = {**case.wrong, case.key: value}
    assert advice(name, heeded, case.facts, case.machine) is None


@pytest.mark.parametrize(
    ("machine", "try_"), [(CPU, "dtype=auto"), (CPU_BF16, "dtype=auto"), (AMPERE, "dtype=bfloat16")]
)
def test_float16_is_advised_against_where_something_else_is_as_fast(machine: Machine, try_: str) -> None:
    given = advice("half_precision_without_gain", {"dtype": "float16"}, data(), machine)
    assert given is not None and given.try_ == try_


def test_a_longer_run_is_not_advised_where_it_would_only_repeat_the_text() -> None:
    given = advice("few_tokens_per_parameter", {"max_iters": 253}, data(train=200_000_000), AMPERE)
    assert given is not None and given.try_ == "a smaller model"  # 20 each would be 12 epochs


def test_the_defaults_on_prepared_openwebtext_draw_no_warning() -> None:
    openwebtext = data(train=9_035_582_198, val=4_434_897)
    plan = make_plan(Config(), data=openwebtext, machine=AMPERE)
    assert [piece for piece in plan.advice if piece.level == "warning"] == []


def test_an_evaluation_alone_draws_no_advice_about_its_length() -> None:
    plan = make_plan(Config(max_iters=0, eval_only=True), data=data(), machine=AMPERE)
    assert plan.advice == ()


def test_warnings_come_first() -> None:
    plan = make_plan(Config(max_iters=100), data=None, machine=CPU)
    levels = [piece.level for piece in plan.advice]
    assert levels == sorted(levels, reverse=True) and set(levels) == {"warning", "note"}
