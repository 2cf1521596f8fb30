"""The least that plain PyTorch takes, written by hand for this: ``plain.py '{"n_layer": 4, ..., "device": "cpu"}'``.

bfloat16 by autocast, fused AdamW, no clipping, no evaluation, no checkpoint, no watching: what a loop of thirty lines reaches.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

asked = json.loads(sys.argv[1])
C, H, T, B, V = (asked[key] for key in ("n_embd", "n_head", "block_size", "batch_size", "vocab_size"))
device = asked["device"]
torch.manual_seed(1337)
ids = torch.from_numpy(np.fromfile("data/bench/train.bin", dtype=np.uint16).astype(np.int64))
hidden_TT = torch.triu(torch.ones(T, T, dtype=torch.bool, device=device), 1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(C, bias=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(C, 3 * C, bias=False), nn.Linear(C, C, bias=False)
        self.up, self.down = nn.Linear(C, 4 * C, bias=False), nn.Linear(4 * C, C, bias=False)

    def forward(self, x_BTC):
        q, k, v = (p.view(-1, T, H, C // H).transpose(1, 2) for p in self.qkv(self.norms[0](x_BTC)).split(C, dim=2))
        if device == "cpu":
            scores_BHTT = (q @ k.transpose(2, 3)) * (C // H) ** -0.5
            y = scores_BHTT.masked_fill(hidden_TT, float("-inf")).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTC = x_BTC + self.out(y.transpose(1, 2).reshape(-1, T, C))
        return x_BTC + self.down(F.gelu(self.up(self.norms[1](x_BTC))))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(V, C), nn.Embedding(T, C)
        self.blocks = nn.Sequential(*(Block() for _ in range(asked["n_layer"])))
        self.norm = nn.LayerNorm(C, bias=False)

    def forward(self, x_BT, y_BT):
        x_BTC = self.blocks(self.tokens(x_BT) + self.places.weight)
        return F.cross_entropy(F.linear(self.norm(x_BTC), self.tokens.weight).view(-1, V), y_BT.flatten())


model = Plain().to(device)
for weight in model.parameters():
    if weight.dim() > 1:
        nn.init.normal_(weight, std=0.02)
run = torch.compile(model) if asked["compile"] else model
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
places_T = torch.arange(T + 1)
for step in range(asked["max_iters"]):
    began = time.perf_counter()
    batch_BS = ids[torch.randint(len(ids) - T, (B, 1)) + places_T].to(device)
    with torch.autocast(device, torch.bfloat16):
        loss = run(batch_BS[:, :-1], batch_BS[:, 1:])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    shown = loss.item()
    print(f"iter {step}: loss {shown:.4f}, time {1000 * (time.perf_counter() - began):.3f}ms", flush=True)
