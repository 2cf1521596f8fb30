"""The numbers on gradients and weights are those that plain PyTorch computes from the tensors themselves."""

from __future__ import annotations

import copy
import time

import numpy as np
import pytest
import torch

from gptmill.events import StepDone
from gptmill.parallel.launch import Place
from gptmill.parallel.single import Single
from gptmill.train.device import give_back_memory, memory_now
from gptmill.train.health import WeightSample, gradient_health
from gptmill.train.layers import not_finite
from gptmill.train.step import train_step
from gptmill.train.timing import Stopwatch, by_activity
from gptmill.train.watch import Watch
from tests.train.small import Corpus, events, new_state, small_plan


def backward(state, plan):  # type: ignore[no-untyped-def]
    ids_BS = torch.from_numpy(Corpus(plan).take(0, 4).copy())
    state.model(ids_BS[:, :-1], ids_BS[:, 1:]).backward()


def test_gradient_numbers_are_those_of_all_gradients_as_one_vector() -> None:
    plan = small_plan()
    state = new_state(plan)
    backward(state, plan)
    state.model.blocks[0].attn.c_proj.weight.grad.zero_()
    state.model.blocks[1].attn.c_proj.weight.grad.mul_(1e6)
    state.model.norm_f.weight.grad = None
    found = gradient_health(state.model)
    grads = {name: p.grad.double() for name, p in state.model.named_parameters() if p.grad is not None}
    every = torch.cat([grad.flatten() for grad in grads.values()])
    norms = {name: grad.norm().item() for name, grad in grads.items()}
    expected = {
        "global_norm": every.norm().item(),
        "mean_layer_norm": sum(norms.values()) / len(norms),
        "max_layer_norm": max(norms.values()),
        "min_layer_norm": 0.0,
        "grad_mean": every.mean().item(),
        "grad_std": every.std(correction=0).item(),
        "grad_min": every.min().item(),
        "grad_max": every.max().item(),
        "vanishing": 1,
        "exploding": 1,
    }
    layers = found.pop("layers")
    assert layers == pytest.approx(norms, rel=1e-5)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("size", [40, 100_000])
def test_weight_numbers_are_those_of_the_tensors_or_near_them_from_a_sample(size: int) -> None:
    plan = small_plan(n_embd=128)
    state = new_state(plan)
    sample, before = WeightSample(state.model, size), copy.deepcopy(state.model)
    read = sample.read()
    with torch.no_grad():
        for p in state.model.parameters():
            p += 0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
        state.model.wte.weight.copy_(before.wte.weight)
    state.model.norm_f.weight.requires_grad = False
    found = sample.health(read, sample.read())
    assert found["frozen"] == ["wte.weight", "norm_f.weight"]
    tolerance = 1e-4 if size > 20_000 else 0.5  # 40 numbers: their norm has a standard error of 11%
    for (name, new), old in zip(state.model.named_parameters(), before.parameters()):
        layer = found["layers"][name]
        assert layer["norm"] == pytest.approx(new.norm().item(), rel=tolerance)
        assert layer["update_ratio"] == pytest.approx(((new - old).norm() / old.norm()).item(), rel=tolerance)
        assert layer["std"] == pytest.approx(new.std(correction=0).item(), rel=tolerance, abs=1e-6)
        if size > 20_000:
            exact = {"mean": new.mean().item(), "min": new.min().item(), "max": new.max().item()}
            assert {key: layer[key] for key in exact} == pytest.approx(exact, rel=1e-4, abs=1e-6)


def test_a_layer_of_zeros_has_no_update_ratio() -> None:
    state = new_state(small_plan(bias=True))
    sample = WeightSample(state.model, 100)
    read = sample.read()
    assert sample.health(read, read)["layers"]["blocks.0.attn.c_attn.bias"]["update_ratio"] is None


def test_looks_come_at_their_intervals_and_show_gradients_before_clipping() -> None:
    plan = small_plan(gradient_log_interval=3, weight_monitor_interval=4, grad_clip=0.01, eval_interval=100)
    steps = [event for event in events(plan, new_state(plan)) if isinstance(event, StepDone)]
    assert [event.iter for event in steps if event.gradients] == [3, 6, 9, 12]
    assert [event.iter for event in steps if event.weights] == [4, 8, 12]
    for event in steps:
        if event.gradients:
            assert event.gradients["global_norm"] == pytest.approx(event.grad_norm, rel=1e-5)
            assert event.grad_norm > plan.grad_clip
        if event.weights:
            assert not event.weights["frozen"]


def test_looking_changes_no_bit_of_the_weights() -> None:
    found = []
    for watched in (True, False):
        plan = small_plan(
            gradient_monitor=watched, gradient_log_interval=1, weight_monitor=watched, weight_monitor_interval=1
        )
        state = new_state(plan)
        list(events(plan, state))
        found.append(list(state.model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*found))


def test_the_times_of_a_step_add_up_to_it_and_a_slow_corpus_shows_as_data() -> None:
    plan = small_plan(gradient_accumulation_steps=2)
    state, corpus = new_state(plan), Corpus(plan)

    def slow(first: int, count: int) -> np.ndarray:
        time.sleep(0.05)
        return corpus.take(first, count)

    done = train_step(state, plan, Single(Place()), state.model, slow, Watch(plan, state))
    assert sum(done.times.values()) == pytest.approx(done.seconds, rel=0.1)
    assert 0.1 <= done.times["data"] < 0.15 and done.times["compute"] > 0


class FakeEvent:
    """A CUDA event on a device whose clock is ``now`` [ms]; asking it before the device got there is an error."""

    now = 0.0
    reached = 0.0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at = FakeEvent.now

    def elapsed_time(self, end: FakeEvent) -> float:
        assert max(self.at, end.at) <= FakeEvent.reached, "this would wait for the device"
        return end.at - self.at


def test_on_cuda_only_events_behind_the_steps_own_synchronization_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    watch = Stopwatch("cuda:0")

    def lap(milliseconds: float, activity: str) -> None:
        FakeEvent.now += milliseconds
        watch.lap(activity)

    for expected_update in (0.0, 4.0):  # the first step's update is told with the second step
        watch.start()
        lap(3, "data")
        lap(7, "forward")
        lap(13, "backward")
        lap(2, "data")
        lap(7, "forward")
        lap(13, "backward")
        lap(0.5, "communication")
        lap(1, "clip")
        FakeEvent.reached = FakeEvent.now
        watch.synchronized()
        lap(4, "update")
        milliseconds = {name: seconds * 1e3 for name, seconds in watch.read().items()}
        expected = {"data": 5.0, "forward": 14.0, "backward": 26.0, "communication": 0.5, "clip": 1.0}
        assert milliseconds == pytest.approx({**expected, "update": expected_update})
        told = {"data": 5.0, "compute": 40.0, "communication": 0.5, "optimizer": 1.0 + expected_update}
        assert by_activity(milliseconds) == pytest.approx(told)
        FakeEvent.now += 100  # recorders, evaluations: no part of any step


def test_memory_of_this_process_follows_what_it_holds() -> None:
    give_back_memory("cpu")  # what other tests have freed
    before = memory_now("cpu")["host_gb"]
    held = np.ones(125_000_000)  # 1 GB, beside which what other tests leave to be freed is little
    assert memory_now("cpu")["host_gb"] - before == pytest.approx(held.nbytes / 1e9, abs=0.15)


@pytest.mark.parametrize("value", [1e30, -1e30, float("inf"), float("nan")])
def test_only_weights_that_are_no_numbers_are_called_so(value: float) -> None:
    model = new_state(small_plan()).model
    with torch.no_grad():
        weight = model.get_parameter("blocks.1.mlp.c_fc.weight")
        weight[3, 5] = value
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    layer, _ = not_finite(model)
    assert layer == (None if weight.isfinite().all() else "blocks.1.mlp.c_fc.weight")
