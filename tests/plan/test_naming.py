from __future__ import annotations

import pytest

from gptmill.config.load import load
from gptmill.plan.hardware import detect_machine
from gptmill.plan.naming import architecture_name
from gptmill.plan.outlook import outlook
from gptmill.plan.plan import make_plan, plan_json
from tests.model.shapes import every_combination


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("--preset=llama", "12L-12H-768D-RoPE-RMS-SwiGLU-PreNorm"),
        ("--preset=gpt2", "12L-12H-768D-AbsPos-LN-NB-GELU-PreNorm"),
        ("--preset=gpt2 --norm_position=post", "12L-12H-768D-AbsPos-LN-NB-GELU-PostNorm"),
        ("--preset=tiny --position_encoding=none --activation=leaky_relu", "4L-4H-256D-NoPos-LN-NB-LeakyReLU-PreNorm"),
        (
            "--preset=llama,gpt2-xl --n_kv_head=5 --qk_norm --sliding_window=256",
            "48L-25H-1600D-RoPE-RMS-SwiGLU-PreNorm-5KV-QKNorm-SW256",
        ),
    ],
)
def test_an_architecture_is_named_by_its_parts(flags: str, name: str) -> None:
    plan = make_plan(load(flags.split()).config, data=None, machine=detect_machine("cpu"))
    assert plan_json(plan, outlook(plan))["architecture"] == name


def test_different_architectures_have_different_names() -> None:
    """Biases of linear layers and tying apart, which the name leaves out."""
    shapes = {s for s in every_combination() if s.bias and s.weight_tying}
    assert len({architecture_name(shape) for shape in shapes}) == len(shapes)
