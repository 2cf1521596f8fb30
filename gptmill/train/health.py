"""Numbers on the gradients and the weights, layer by layer. A layer here is one parameter tensor, under its name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from gptmill.train.sharing import here, is_split, norms_of, over_all

# Norms at which a layer's gradient counts as vanishing: float32 resolves 1.2e-7 of 1; and as exploding: far above the
# norm of 1 to which the gradients of a whole GPT are clipped.
VANISHING, EXPLODING = 1e-7, 1e2
STRIDE = 2654435761  # Knuth's multiplicative hash: spreads the sampled numbers over rows and columns alike


def layer_norms(model: nn.Module) -> dict[str, float]:
    """L2 norm of every layer's gradient; layers without a gradient are left out."""
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if not grads:
        return {}
    return dict(zip(grads, norms_of(grads.values()).tolist()))


def gradient_health(model: nn.Module) -> dict[str, Any]:
    """What the gradients look like now: global_norm and its spread over layers, mean/std/min/max of all numbers."""
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if not grads:
        return {}
    norms, shares = norms_of(grads.values()), [here(grad) for grad in grads.values()]
    least = torch.stack([g.min() if g.numel() else g.new_tensor(math.inf) for g in shares])
    most = torch.stack([g.max() if g.numel() else g.new_tensor(-math.inf) for g in shares])
    sums = torch.stack([g.sum() for g in shares])
    if is_split(model):
        over_all(sums)
        over_all(least, distributed.ReduceOp.MIN)
        over_all(most, distributed.ReduceOp.MAX)
    read = torch.cat([norms, sums, least, most]).tolist()  # one wait for the device
    n = len(grads)
    layers, totals, lowest, highest = dict(zip(grads, read[:n])), read[n : 2 * n], read[2 * n : 3 * n], read[3 * n :]
    count = sum(grad.numel() for grad in grads.values())
    mean, square = math.fsum(totals) / count, math.fsum(norm * norm for norm in layers.values())
    return {
        "global_norm": math.sqrt(square),
        "mean_layer_norm": math.fsum(layers.values()) / n,
        "max_layer_norm": max(layers.values()),
        "min_layer_norm": min(layers.values()),
        "grad_mean": mean,
        "grad_std": math.sqrt(max(0.0, square / count - mean * mean)),
        "grad_min": min(lowest),
        "grad_max": max(highest),
        "vanishing": sum(norm <= VANISHING for norm in layers.values()),
        "exploding": sum(norm >= EXPLODING for norm in layers.values()),
        "layers": layers,
    }


class WeightSample:
    """The same few numbers of every layer, read whenever asked: what one step did to them stands for the layer.

    Args:
        size: numbers looked at in each layer, by each process of those that share it; a layer that has no more is looked
            at whole.
    """

    def __init__(self, model: nn.Module, size: int) -> None:
        self._parameters = dict(model.named_parameters())
        shares = {name: here(p) for name, p in self._parameters.items()}
        self._places = {
            name: torch.from_numpy(np.arange(size, dtype=np.int64) * STRIDE % p.numel()).to(p.device)
            for name, p in shares.items()
            if p.numel() > size
        }
        sizes = [min(size, p.numel()) for p in shares.values()]
        self._cuts: list[np.ndarray] = []  # where each process's layers begin, when several share them
        if is_split(model):
            each = _gathered(sizes)
            self._cuts = [np.cumsum(of_one)[:-1] for of_one in each]
            sizes = [sum(of_layer) for of_layer in zip(*each)]
        self._starts = np.cumsum([0, *sizes[:-1]])
        self._sizes = np.array(sizes)

    @torch.no_grad()
    def read(self) -> np.ndarray:
        """All sampled numbers, one layer after the other, as float32."""
        parts = []
        for name, weight in self._parameters.items():
            flat: Tensor = here(weight.detach()).view(-1)
            parts.append(flat.index_select(0, self._places[name]) if name in self._places else flat)
        mine: np.ndarray = torch.cat(parts).float().cpu().numpy()
        if not self._cuts:
            return mine
        each = [np.split(of_one, cuts) for of_one, cuts in zip(_gathered(mine), self._cuts)]
        return np.concatenate([part for of_layer in zip(*each) for part in of_layer])

    def unmoved(self, before: np.ndarray, after: np.ndarray) -> list[str]:
        """Layers of which no sampled number changed."""
        moved = np.maximum.reduceat(before != after, self._starts)
        return [name for name, any_ in zip(self._parameters, moved) if not any_]

    def health(self, before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
        """Norm, update-to-weight ratio, mean, std, min and max of each layer after an update, and those it left alone.

        ``norm`` is that of the whole layer, estimated from the sample; a ratio to a norm of 0 is None.
        """
        old, new = before.astype(np.float64), after.astype(np.float64)
        mean = self._per_layer(np.add, new) / self._sizes
        square, change = self._per_layer(np.add, new**2), self._per_layer(np.add, (new - old) ** 2)
        square_before = self._per_layer(np.add, old**2)
        std = np.sqrt(np.maximum(0.0, square / self._sizes - mean**2))
        low, high = self._per_layer(np.minimum, new), self._per_layer(np.maximum, new)
        layers = {
            name: {
                "norm": float(math.sqrt(square[i] * p.numel() / self._sizes[i])),
                "update_ratio": float(math.sqrt(change[i] / square_before[i])) if square_before[i] else None,
                "mean": float(mean[i]),
                "std": float(std[i]),
                "min": float(low[i]),
                "max": float(high[i]),
            }
            for i, (name, p) in enumerate(self._parameters.items())
        }
        frozen = {name for name, p in self._parameters.items() if not p.requires_grad}
        frozen |= set(self.unmoved(before, after))
        return {"layers": layers, "frozen": [name for name in layers if name in frozen]}

    def _per_layer(self, fold: np.ufunc, numbers: np.ndarray) -> np.ndarray:
        return fold.reduceat(numbers, self._starts)


def _gathered(mine: Any) -> list[Any]:
    """What each process has, in the order of ranks."""
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, mine)
    return found
