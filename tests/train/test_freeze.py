"""Frozen weights keep their bits, cost no gradient and no optimizer state; the others learn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gptmill.cli.parts import new_state
from gptmill.config.load import load
from gptmill.errors import ConfigError
from gptmill.model.gpt import GPT
from gptmill.plan.frozen import weight_sizes
from gptmill.plan.memory import memory_of
from gptmill.plan.plan import make_plan
from gptmill.plan.types import Machine, Plan
from tests.cli.run import SMALL, gptmill, prepare_tiny
from tests.model.shapes import every_combination

CPU = Machine(kind="cpu", name="any", cores=1, memory=2**40, bf16=False)


def planned(*flags: str) -> Plan:
    return make_plan(
        load(["--n_layer=2", "--n_head=2", "--n_embd=16", "--block_size=16", *flags]).config, data=None, machine=CPU
    )


def test_names_and_sizes_are_those_of_the_model() -> None:
    for shape in every_combination():
        with torch.device("meta"):
            assert weight_sizes(shape) == {name: p.numel() for name, p in GPT(shape).named_parameters()}


@pytest.mark.parametrize(
    ("freeze", "trained"),
    [
        ("wte,position,blocks.*", {"norm_f.weight"}),
        ("wte, position, norm_f, blocks.0", {f"blocks.1.{part}.weight" for part in
         ("norm_1", "attn.c_attn", "attn.c_proj", "norm_2", "mlp.c_fc", "mlp.c_proj")}),
        ("wte.weight,position.wpe.weight,norm_f,blocks.?.mlp,blocks.[01].norm_*,blocks.*.c_attn,blocks.1", {"blocks.0.attn.c_proj.weight"}),
    ],
)  # fmt: skip
def test_a_name_covers_what_is_inside_and_a_pattern_what_it_matches(freeze: str, trained: set[str]) -> None:
    plan = planned(f"--freeze={freeze}")
    state = new_state(plan)
    assert {name for name, p in state.model.named_parameters() if p.requires_grad} == trained
    updated = [p for group in state.optimizer.param_groups for p in group["params"]]
    assert sum(p.numel() for p in updated) == plan.params - plan.frozen_params
    assert plan.frozen_params == sum(p.numel() for p in state.model.parameters() if not p.requires_grad)


def test_the_bill_has_moments_and_gradients_of_what_is_trained_only() -> None:
    whole, part = planned(), planned("--freeze=wte,position")
    assert part.frozen_params == (50304 + 16) * 16
    assert memory_of(part).optimizer == 8 * (part.params - part.frozen_params)
    assert memory_of(whole).gradients - memory_of(part).gradients > 0
    assert memory_of(part).weights == memory_of(whole).weights


@pytest.mark.parametrize(
    ("freeze", "says"),
    [("wtf", "did you mean 'wte'"), ("blocks.7", "no weight is called blocks.7"), ("*", "nothing to train")],
)
def test_a_name_that_covers_nothing_or_everything_is_one_line(freeze: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(f"--freeze={freeze}")
    assert len(caught.value.problems) == 1 and says in str(caught.value)


def test_frozen_weights_keep_their_bits_through_training_and_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    prepare_tiny(tmp_path)
    words = [*SMALL, "--freeze=wte,blocks.0", "--gradient_log_interval=1"]
    straight = gptmill(tmp_path, "train", *words, "--out_dir=straight", "--json")
    assert "no gradient" not in straight.err and "frozen" not in straight.err
    assert gptmill(tmp_path, "train", *words, "--out_dir=half", "--max_iters=10").code == 0
    resumed = gptmill(tmp_path, "train", "--resume", "--out_dir=half", "--max_iters=20", "--json")
    assert resumed.json()["weights_sha256"] == straight.json()["weights_sha256"]
    before, after = (load_file(tmp_path / f"half/checkpoints/step_000000{step}/model.safetensors") for step in (10, 20))
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(("wte", "blocks.0."))}
    moments = load_file(tmp_path / "half/checkpoints/step_00000020/optimizer.safetensors")
    assert moments and not any(name.startswith(("wte", "blocks.0.")) for name in moments)
