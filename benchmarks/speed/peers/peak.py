"""The fastest that this machine shows, ``peak.py cpu``: matrix products by precision [FLOP/s], whose MFU is 100%, and a copy [bytes/s]."""

import json
import sys
import time

import torch

device = sys.argv[1]
found = {}
for dtype in (torch.float32, torch.bfloat16):
    best = 0.0
    for size in (1024, 2048, 4096) if device == "cpu" else (4096, 8192, 16384):
        a = torch.randn(size, size, device=device).to(dtype)
        b = torch.randn(size, size, device=device).to(dtype)
        for _ in range(6):  # the first ones choose a kernel and allocate
            began = time.perf_counter()
            a @ b
            if device != "cpu":
                torch.cuda.synchronize()
            best = max(best, 2 * size**3 / (time.perf_counter() - began))
    found[str(dtype).removeprefix("torch.")] = best
a = torch.zeros(2**28, dtype=torch.uint8, device=device)
b = torch.empty_like(a)
found["bandwidth"] = 0.0
for _ in range(6):
    began = time.perf_counter()
    b.copy_(a)
    if device != "cpu":
        torch.cuda.synchronize()
    found["bandwidth"] = max(found["bandwidth"], 2 * a.numel() / (time.perf_counter() - began))  # read and written
print(json.dumps(found))
