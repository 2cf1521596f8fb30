"""Every update rule equals one that we did not write, over 50 updates in float64: PyTorch's class, or the paper's equations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gptmill.model.gpt import build
from gptmill.optim.averaging import averaged
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.plan.types import Plan
from tests.train.small import small_plan

UPDATES = 50
SETTINGS: dict[str, Any] = {"weight_decay": 0.2, "learning_rate": 1e-2, "grad_clip": 0.0}
Reference = Callable[[dict[str, Tensor], Plan, list[tuple[float, list[Tensor]]]], None]
SPIKES: list[int] = []  # updates at which the reference saw one


def rate(t: int) -> float:
    """A rate that moves, as a schedule's does."""
    return 1e-2 * (1 + math.sin(t))


def gradients(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Noise around a direction that turns, with an outlier now and then; some rows are without any for a while."""
    generator = torch.Generator().manual_seed(3)
    for t in range(UPDATES):
        grads = [torch.randn(p.shape, generator=generator, dtype=torch.float64) + math.cos(t / 9) for p in parameters]
        if t % 13 == 5:
            grads[1].view(-1)[3] = 1e4
        if t in (27, 40):
            grads = [100 * grad for grad in grads]
        grads[0][2:5] *= t > 30  # an embedding row that is not read
        yield grads


def trained(plan: Plan) -> dict[str, Tensor]:
    """A model's parameters after UPDATES of those gradients, in float64; where the rule averages them, the average."""
    model = build(plan.shape, seed=0).double()
    parameters, norms = list(model.parameters()), list[float]()
    optimizer = OPTIMIZERS[plan.optimizer](model, plan)
    for t, grads in enumerate(gradients(parameters)):
        for parameter, grad in zip(parameters, grads):
            parameter.grad = grad.clone()
        for group in optimizer.param_groups:
            group["lr"] = rate(t)
        getattr(optimizer, "before_clip", lambda _: None)(norms)
        norms.append(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]).item())
        optimizer.step()
    with averaged(optimizer):
        return {name: p.detach().clone() for name, p in model.named_parameters()}


def expected(plan: Plan, reference: Reference) -> dict[str, Tensor]:
    """The same by a reference, which is given all parameters and each update's rate and gradients."""
    model = build(plan.shape, seed=0).double()
    named = {name: p.detach() for name, p in model.named_parameters()}
    reference(named, plan, [(rate(t), grads) for t, grads in enumerate(gradients(list(named.values())))])
    return named


def decay_of(w: Tensor, plan: Plan) -> float:
    return plan.weight_decay if w.dim() >= 2 else 0.0


def by_pytorch(kind: Any, **options: Any) -> Reference:
    """A parameter at a time, each with an optimizer of its own."""

    def run(named: dict[str, Tensor], plan: Plan, updates: list[tuple[float, list[Tensor]]]) -> None:
        for i, w in enumerate(named.values()):
            decay = 0.0 if kind is torch.optim.Adam else decay_of(w, plan)
            optimizer = kind([w], weight_decay=decay, **options)
            for lr, grads in updates:
                w.grad, optimizer.param_groups[0]["lr"] = grads[i], lr
                optimizer.step()

    return run


def spam(named: dict[str, Tensor], plan: Plan, updates: list[tuple[float, list[Tensor]]]) -> None:
    """Algorithm 1 of arXiv:2501.06842 in AdamW, and the documented spikes; one number at a time where it matters."""
    weights = list(named.values())
    m, v, most = ([torch.zeros_like(w) for w in weights] for _ in range(3))
    every, warmup, spikes = plan.spam_interval, plan.spam_warmup_steps, plan.spam_variant == "spikes"
    b1, b2, norms = plan.beta1, plan.beta2, list[float]()
    for t, (lr, grads) in enumerate(updates, start=1):
        g = [grad.clone() for grad in grads]
        if plan.spam_enable_clip and t % every >= 20:
            for gi, vi in zip(g, v):
                far = (gi**2 > plan.spam_theta * vi) & (vi > 0)
                gi[far] = gi[far].sign() * (plan.spam_theta * vi[far]).sqrt()
        norm = math.sqrt(sum(gi.square().sum().item() for gi in g))
        before = norms[-100:]
        if spikes and len(before) >= 10 and (norm - np.mean(before)) / np.std(before) > 2.0:
            SPIKES.append(t)
            m, v = [0.5 * mi for mi in m], [0.9 * vi for vi in v]
        norms.append(norm)
        k = t % every
        if k == 0:
            m, v = [0 * mi for mi in m], [0 * vi for vi in v]
        scale = 1.0
        if t >= every and k < warmup:
            paper = 1 - 0.99 * (1 + math.cos(math.pi * k / (warmup + 1))) / 2
            scale = max(1e-3, (1 - math.cos(math.pi * k / warmup)) / 2) if spikes else paper
        for i, w in enumerate(weights):
            m[i], v[i] = b1 * m[i] + (1 - b1) * g[i], b2 * v[i] + (1 - b2) * g[i] ** 2
            most[i] = torch.maximum(most[i], v[i])
            square = (most[i] if spikes else v[i]) / (1 - b2**t)
            step = m[i] / (1 - b1**t) / (square.sqrt() + plan.eps)
            w -= lr * scale * (step + decay_of(w, plan) * w)


def muon_apart(named: dict[str, Tensor], plan: Plan, updates: list[tuple[float, list[Tensor]]]) -> None:
    """PyTorch's Muon on leaves of their own for each of queries, keys, values, gate and up; its AdamW on all else."""
    C, F = plan.shape.n_embd, plan.shape.ffn_dim
    apart = {"c_attn": [C, plan.shape.kv_dim, plan.shape.kv_dim]}
    if plan.shape.ffn_type == "swiglu":
        apart["c_fc"] = [F, F]
    for i, (name, w) in enumerate(named.items()):
        if "blocks" not in name or w.dim() < 2:
            kind: Any = torch.optim.AdamW([w], betas=(plan.beta1, plan.beta2), weight_decay=decay_of(w, plan))
            for lr, grads in updates:
                w.grad, kind.param_groups[0]["lr"] = grads[i], lr
                kind.step()
            continue
        rows = apart.get(name.split(".")[-2], [len(w)])
        parts = [part.clone() for part in w.split(rows)]
        kind = torch.optim.Muon(parts, momentum=0.95, weight_decay=0.2, adjust_lr_fn="match_rms_adamw")
        for lr, grads in updates:
            kind.param_groups[0]["lr"] = 2 * lr
            for part, grad in zip(parts, grads[i].split(rows)):
                part.grad = grad
            kind.step()
        w.copy_(torch.cat(parts))


def schedule_free(named: dict[str, Tensor], plan: Plan, updates: list[tuple[float, list[Tensor]]]) -> None:
    """Algorithm 1 of arXiv:2405.15682, all three sequences kept; what remains is x.

    The gradients are given, so nothing here depends on y but weight decay.
    """
    b1, b2 = plan.beta1, plan.beta2
    for i, w in enumerate(named.values()):
        x, z, v, total = w.clone(), w.clone(), torch.zeros_like(w), 0.0
        for t, (lr, grads) in enumerate(updates, start=1):
            y, g = (1 - b1) * z + b1 * x, grads[i]
            v = b2 * v + (1 - b2) * g**2
            gamma = lr * math.sqrt(1 - b2**t)
            z = z - gamma * g / (v.sqrt() + plan.eps) - gamma * decay_of(w, plan) * y
            total += gamma**2
            x = (1 - gamma**2 / total) * x + gamma**2 / total * z
        w.copy_(x)


ADAM = {"betas": (0.9, 0.95), "eps": 1e-8, "foreach": False, "fused": False}
PRUNE = {**ADAM, "betas": (0.8, 0.99)}
OWN: dict[str, Any] = {"adamwprune_beta1": 0.8, "adamwprune_beta2": 0.99, "adamwprune_weight_decay": 0.2}


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"optimizer": "sgd"}, by_pytorch(torch.optim.SGD, momentum=0.9, foreach=False)),
        ({"optimizer": "sgd", "momentum": 0.0}, by_pytorch(torch.optim.SGD, momentum=0.0, foreach=False)),
        ({"optimizer": "adam"}, by_pytorch(torch.optim.Adam, **ADAM)),
        ({"optimizer": "adamw"}, by_pytorch(torch.optim.AdamW, **ADAM)),
        ({"optimizer": "adamwadv"}, by_pytorch(torch.optim.AdamW, amsgrad=True, **ADAM)),
        ({"optimizer": "adamwprune", **OWN}, by_pytorch(torch.optim.AdamW, **PRUNE)),
        (
            {"optimizer": "adamwprune", "adamwprune_amsgrad": True, **OWN},
            by_pytorch(torch.optim.AdamW, amsgrad=True, **PRUNE),
        ),
        (
            {"optimizer": "adamwprune", "adamwprune_base_optimizer_name": "adamwadv", **OWN},
            by_pytorch(torch.optim.AdamW, amsgrad=True, **PRUNE),
        ),
        (
            {"optimizer": "adamwprune", "adamwprune_base_optimizer_name": "adam", **OWN},
            by_pytorch(torch.optim.Adam, **PRUNE),
        ),
        (
            {"optimizer": "adamwspam", "spam_interval": 0, "spam_enable_clip": False},
            by_pytorch(torch.optim.AdamW, **ADAM),
        ),
    ],
    ids=lambda given: "-".join(str(value) for value in given.values()) if isinstance(given, dict) else "",
)
def test_an_update_rule_equals_pytorchs(settings: dict[str, Any], reference: Reference) -> None:
    plan = small_plan(**{**SETTINGS, **settings})
    same(trained(plan), expected(plan, reference))


@pytest.mark.parametrize(
    "settings",
    [
        {"spam_variant": "paper", "spam_theta": 20.0},
        {"spam_variant": "spikes", "spam_theta": 20.0, "spam_enable_clip": True},
        {"spam_variant": "spikes"},
    ],
    ids=["paper", "spikes and clip", "spikes"],
)
def test_spam_equals_the_papers_equations(settings: dict[str, Any]) -> None:
    SPIKES.clear()
    plan = small_plan(**SETTINGS, optimizer="adamwspam", spam_interval=24, spam_warmup_steps=6, **settings)
    same(trained(plan), expected(plan, spam))
    assert bool(SPIKES) == (settings["spam_variant"] == "spikes")


@pytest.mark.parametrize("parts", [{"n_kv_head": 1}, {"ffn_type": "swiglu", "weight_tying": False}], ids=str)
def test_muon_orthogonalizes_every_matrix_apart_and_leaves_the_rest_to_adamw(parts: dict[str, Any]) -> None:
    plan = small_plan(**SETTINGS, optimizer="muon", muon_learning_rate=2e-2, **parts)
    same(trained(plan), expected(plan, muon_apart))


def test_schedule_free_equals_the_papers_equations() -> None:
    plan = small_plan(**SETTINGS, optimizer="schedule_free_adamw")
    # the sum of rate^2 is kept in float32, as all of a checkpoint is
    same(trained(plan), expected(plan, schedule_free), rtol=1e-6, atol=1e-8)


def same(mine: dict[str, Tensor], theirs: dict[str, Tensor], **tolerance: float) -> None:
    assert mine.keys() == theirs.keys()
    for name in mine:
        torch.testing.assert_close(mine[name], theirs[name], **(tolerance or {"rtol": 1e-9, "atol": 1e-12}), msg=name)
