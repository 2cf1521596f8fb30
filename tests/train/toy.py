"""A small module with everything a checkpoint must carry: groups, tied weights, AdamW moments, bf16."""

from __future__ import annotations

import torch
from torch import nn

from gptmill.train.state import TrainState

FACTS = {
    "must_match": {"n_layer": 2, "tokenizer": "byte", "data_sha256": "ab"},
    "bits": {"threads": 1, "torch": "2.13.0", "cpu_capability": "AVX512"},
}


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 11, bias=False)
        self.head.weight = self.embed.weight  # tied
        self.gain = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
        self.scalar = nn.Parameter(torch.tensor(0.5))

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.embed(ids_BT))).square().mean() * self.scalar + self.gain.float().sum()


def toy_state(seed: int = 0, *, fused: bool = True) -> TrainState:
    torch.manual_seed(seed)
    model = Toy()
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    vectors = [weight for weight in model.parameters() if weight.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return TrainState(model, torch.optim.AdamW(groups, lr=1e-2, fused=fused))


def take_steps(state: TrainState, n: int) -> TrainState:
    """Step-keyed batches, as the real loop has: what is learned next depends on ``state.iter`` alone."""
    for _ in range(n):
        generator = torch.Generator().manual_seed(state.iter)
        ids_BT = torch.randint(0, 11, (2, 5), generator=generator)
        state.optimizer.zero_grad()
        state.model(ids_BT).backward()
        state.optimizer.step()
        state.iter += 1
        state.sequences += 2
        state.tokens += 10
    return state
