from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from gptmill.config.schema import Config
from gptmill.errors import ConfigError, DataError
from gptmill.plan.outlook import outlook
from gptmill.plan.plan import make_plan, plan_json
from gptmill.plan.types import DataFacts, Plan
from tests.plan.facts import AMPERE, CPU, data

CONTRACT = set(
    """params params_non_embedding flops_per_token tokens_per_iter max_iters total_tokens epochs batch_size
gradient_accumulation_steps world_size effective_batch_size warmup_iters learning_rate min_lr memory device_memory fits
host_memory tokens_per_second mfu basis seconds cost_usd advice""".split()  # noqa: SIM905 - sixty quotes help nobody
)


def plan(**keys: Any) -> Plan:
    return make_plan(Config(**keys), data=data(), machine=CPU)


def test_the_defaults_plan_without_any_data() -> None:
    settled = make_plan(Config(), data=None, machine=CPU)
    assert settled.params == 124_373_760
    assert (settled.tokens_per_iter, settled.total_tokens) == (491_520, 294_912_000_000)
    assert (settled.epochs, settled.lr_decay_iters, settled.min_lr) == (None, 600_000, 6e-5)


def test_one_gpu_at_a_tenth_of_the_batch_reads_29_billion_tokens() -> None:
    settled = plan(batch_size=4, gradient_accumulation_steps=12)
    assert (settled.tokens_per_iter, settled.total_tokens) == (49_152, 29_491_200_000)


def test_eight_devices_do_the_same_step_with_fewer_micro_steps() -> None:
    one, eight = (make_plan(Config(), data=data(), machine=AMPERE, world_size=n) for n in (1, 8))
    assert eight.tokens_per_iter == one.tokens_per_iter == 491_520
    assert (one.micro_steps, eight.micro_steps) == (40, 5)


def test_epochs_in_the_plan_count_windows_and_not_tokens() -> None:
    settled = make_plan(
        Config(epochs=3, block_size=64, batch_size=5, gradient_accumulation_steps=2),
        data=data(train=64 * 100 + 60, val=100),
        machine=CPU,
    )
    assert (settled.max_iters, settled.epochs) == (30, 3.0)


@pytest.mark.parametrize(
    ("ids", "asked", "settled"),
    [
        (50257, None, 50304),
        (1025, None, 1088),
        (1024, None, 1024),
        (65, None, 65),
        (65, 128, 128),
        (50257, 50257, 50257),
        (None, None, 50304),
        (None, 300, 300),
    ],
)
def test_the_vocabulary_is_the_tokenizers_aligned_when_large(ids: int | None, asked: int | None, settled: int) -> None:
    made = make_plan(Config(vocab_size=asked), data=data(vocab_size=ids), machine=CPU)
    assert made.shape.vocab_size == settled


@pytest.mark.parametrize(
    ("tokenizer", "settled"), [("bpe-2048", 2048), ("bpe-300", 300), ("byte", 257), ("gpt2", 50304), ("char", 50304)]
)
def test_before_the_data_is_prepared_the_tokenizers_name_gives_the_vocabulary(tokenizer: str, settled: int) -> None:
    assert make_plan(Config(tokenizer=tokenizer), data=None, machine=CPU).shape.vocab_size == settled


def test_a_vocabulary_smaller_than_the_datas_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"vocab_size=50256: openwebtext has ids up to 50256; try vocab_size=50304"):
        plan(vocab_size=50256)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"n_embd": 2432, "n_head": 18}, "n_head=18.*try n_head=16 or 19"),
        ({"n_embd": 99, "n_head": 3, "position_encoding": "rope"}, "position_encoding=rope.* n_embd=102"),
        ({"n_embd": 10**400, "n_head": 1}, "n_embd is too large"),
        ({"learning_rate": 1e-4, "min_lr": 2e-4}, "min_lr=0.0002 is above learning_rate=0.0001; try min_lr=1e-05"),
    ],
)
def test_a_config_made_in_python_obeys_the_rules_that_files_do(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**keys)


def test_a_penalty_on_more_tokens_than_there_are_is_refused_and_its_advice_is_accepted() -> None:
    keys = {"penalty_type": "top_k_mass", "penalty_weight": 0.1, "vocab_size": 512}
    for k, says in ((512, "the vocabulary has 512 tokens"), (511, None)):
        config = Config(**keys, penalty_top_k=k)
        if says is None:
            assert make_plan(config, data=None, machine=CPU).penalty_top_k == k
        else:
            with pytest.raises(ConfigError, match=f"penalty_top_k={k}: {says}.*try penalty_top_k=5"):
                make_plan(config, data=None, machine=CPU)


def test_what_the_shape_errors_suggest_is_accepted() -> None:
    for keys in ({"n_embd": 2432, "n_head": 19}, {"n_embd": 2448, "n_head": 18}):
        plan(**keys)
    plan(n_embd=102, n_head=3, position_encoding="rope")


def test_every_problem_of_every_kind_is_raised_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        make_plan(
            Config(n_head=7, effective_batch_size=50, min_lr=1.0, vocab_size=10, block_size=64),
            data=data(train=20, val=10),
            machine=CPU,
            world_size=64,
        )
    keys = [problem.split("=")[0] for problem in refused.value.problems]
    assert keys[:4] == ["n_embd", "min_lr", "vocab_size", "effective_batch_size"]
    assert len(keys) == 6
    assert all("\n" not in problem for problem in refused.value.problems)


def test_a_problem_from_a_file_begins_with_its_place_and_one_from_a_flag_with_the_key() -> None:
    origins = {"n_embd": "my.py:3", "effective_batch_size": "--effective_batch_size", "block_size": "default"}
    with pytest.raises(ConfigError) as refused:
        make_plan(Config(n_head=7, effective_batch_size=50), data=data(), machine=CPU, world_size=64, origins=origins)
    assert [problem.split("=")[0] for problem in refused.value.problems] == ["my.py:3: n_embd", "effective_batch_size"]


def test_a_split_shorter_than_one_window_is_a_data_error() -> None:
    with pytest.raises(
        DataError, match=r"train.bin has 20 tokens, needs at least block_size\+1 = 33; try block_size=19"
    ):
        make_plan(Config(block_size=32), data=data(train=20), machine=CPU)


def test_a_split_of_exactly_one_window_is_enough_and_one_token_less_is_not() -> None:
    with pytest.raises(DataError, match=r"val\.bin has 32 tokens"):
        make_plan(Config(block_size=32), data=data(train=33, val=32), machine=CPU)
    assert make_plan(Config(block_size=32), data=data(train=33, val=33), machine=CPU).train_tokens == 33


def test_an_epoch_without_data_is_a_data_error() -> None:
    with pytest.raises(DataError, match=r"epochs=1: .*gptmill prepare --dataset openwebtext"):
        make_plan(Config(epochs=1), data=None, machine=CPU)


def test_an_asked_device_index_is_kept_and_auto_becomes_the_machines() -> None:
    assert make_plan(Config(device="cuda:1"), data=data(), machine=AMPERE).device == "cuda:1"
    assert make_plan(Config(), data=data(), machine=AMPERE).device == "cuda"
    assert make_plan(Config(device="cuda"), data=data(), machine=CPU).device == "cpu"


def test_the_same_wishes_give_an_equal_plan() -> None:
    assert plan(epochs=2) == plan(epochs=2)


@pytest.mark.parametrize("facts", [None, data()])
def test_the_json_has_every_key_of_the_contract_and_survives_a_strict_parser(facts: DataFacts | None) -> None:
    settled = make_plan(Config(learning_rate=0), data=facts, machine=CPU)
    text = json.dumps(plan_json(settled, outlook(settled)), allow_nan=False)
    found = json.loads(text)
    assert set(found) >= CONTRACT
    assert set(found["memory"]) == {"weights", "gradients", "optimizer", "activations", "logits", "overhead", "peak"}
    assert all(set(piece) == {"level", "key", "says", "because", "try"} for piece in found["advice"])
    assert found["basis"] == "assumed"


def test_planning_imports_neither_torch_nor_numpy() -> None:
    program = (
        "import sys; import gptmill.plan.plan, gptmill.plan.hardware as h; h.detect_machine('cpu');"
        "print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
