from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gptmill.config.schema import Config
from gptmill.errors import GptmillError
from gptmill.plan.outlook import outlook
from gptmill.plan.plan import make_plan, plan_json
from tests.plan.facts import AMPERE, CPU, CPU_BF16, MPS, TURING, data

COUNTS = [
    "n_layer",
    "n_head",
    "n_embd",
    "n_kv_head",
    "sliding_window",
    "ffn_dim",
    "batch_size",
    "gradient_accumulation_steps",
    "effective_batch_size",
    "max_iters",
    "max_tokens",
    "vocab_size",
    "warmup_iters",
    "lr_decay_iters",
    "eval_interval",
    "eval_iters",
    "snapshot_interval",
]
# small, usual and absurd
WHOLE = st.one_of(st.integers(1, 70), st.sampled_from([64, 768, 1024, 50257, 2**31, 10**19, 10**400]))
REAL = st.one_of(st.floats(0, 1), st.floats(1e-300, 1e300), st.sampled_from([5e-324, 1.7e308]))
KEYS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(COUNTS, WHOLE),
    "block_size": WHOLE.map(lambda n: n + 1),
    "epochs": REAL.filter(lambda x: x > 0),
    "learning_rate": REAL,
    "min_lr": REAL,
    "min_lr_ratio": st.floats(0, 1),
    "decay_lr": st.booleans(),
    "position_encoding": st.sampled_from(["learned_absolute", "rope", "none"]),
    "ffn_type": st.sampled_from(["standard", "swiglu"]),
    "schedule": st.sampled_from(["cosine", "linear", "constant", "wsd"]),
    "dtype": st.sampled_from(["auto", "float32", "bfloat16", "float16"]),
    "device": st.sampled_from(["auto", "cpu", "cuda", "cuda:3", "mps"]),
}
DATA = st.one_of(
    st.none(),
    st.builds(data, st.integers(0, 10**13), st.integers(0, 10**10), st.one_of(st.none(), st.integers(1, 10**6))),
)


@settings(max_examples=400, deadline=None)
@given(
    keys=st.sets(st.sampled_from(sorted(KEYS)), max_size=6).flatmap(
        lambda chosen: st.fixed_dictionaries({name: KEYS[name] for name in chosen})
    ),
    facts=DATA,
    machine=st.sampled_from([CPU, CPU_BF16, TURING, AMPERE, MPS]),
    world_size=st.integers(1, 9),
)
def test_every_valid_config_is_planned_or_refused_in_single_lines(
    keys: dict[str, Any], facts: Any, machine: Any, world_size: int
) -> None:
    try:
        plan = make_plan(Config(**keys), data=facts, machine=machine, world_size=world_size)
    except GptmillError as refused:
        assert refused.problems
        assert all("\n" not in problem for problem in refused.problems)
        return
    json.dumps(plan_json(plan, outlook(plan)), allow_nan=False)
    assert plan.tokens_per_iter == plan.effective_batch_size * plan.shape.block_size
    assert plan.micro_steps * world_size * plan.batch_size >= plan.effective_batch_size
    assert plan.total_tokens == plan.max_iters * plan.tokens_per_iter
    assert plan.min_lr <= plan.learning_rate or plan.schedule == "constant"
    assert plan.device.split(":")[0] == machine.kind
