"""What is known before the first step."""

from __future__ import annotations

import pytest
import torch

from gptmill.cli.startup import startup_info, utilization
from gptmill.config.schema import Config
from tests.track.test_meters import gpt2
from tests.train.small import SMALL, new_state, small_plan


def test_the_logged_config_is_the_settled_one() -> None:
    """The document's logs hold what was asked for, not what was built: a width of None tells nothing."""
    plan = small_plan()
    config = startup_info(plan, Config(**SMALL), new_state(plan))["config"]
    assert set(config) == set(Config.model_fields)
    assert (config["ffn_dim"], config["vocab_size"], config["n_kv_head"], config["dtype"]) == (128, 29, 2, "float32")
    assert config["min_lr"] == plan.min_lr and config["attention_backend"] != "auto"


def test_what_a_gpu_could_do_is_worked_out_from_its_peak() -> None:
    plan = small_plan()
    info = startup_info(gpt2(world_size=8), Config(), new_state(plan))
    assert info["performance"]["hardware_peak_tflops"] == 8 * 312
    # by hand: half of eight A100s, over 854,654,976 FLOP a token
    assert info["performance"]["expected_tokens_per_sec"] == pytest.approx(8 * 182_530, rel=1e-5)
    assert info["hardware"]["num_gpus"] == 8 and info["optimizer"] == {"type": "AdamW", "param_groups": 2}


def test_a_gpu_is_asked_how_busy_it_is_and_one_that_does_not_answer_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 97)
    ask = utilization("cuda:1")
    assert ask is not None and ask() == 97.0

    def fails(device: str) -> int:
        raise RuntimeError("NVML is gone")

    monkeypatch.setattr(torch.cuda, "utilization", fails)
    assert ask() is None and utilization("cuda:1") is None and utilization("cpu") is None
