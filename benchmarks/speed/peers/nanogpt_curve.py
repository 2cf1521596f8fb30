"""nanoGPT's model and optimizer over given batches: ``nanogpt_curve.py CHECKPOINT BATCHES.npy '{"learning_rate": ...}'``.

In the folder of a checkout. Prints the loss of every step, as its train.py computes it, as JSON.
"""

import json
import sys

import numpy as np
import torch
from model import GPT, GPTConfig

checkpoint = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
batches_NBS = torch.from_numpy(np.load(sys.argv[2]))
asked = json.loads(sys.argv[3])
model = GPT(GPTConfig(**checkpoint["model_args"]))
model.load_state_dict(checkpoint["model"])
model.train()
betas = (asked["beta1"], asked["beta2"])
optimizer = model.configure_optimizers(asked["weight_decay"], asked["learning_rate"], betas, "cpu")
losses = []
for step, batch_BS in enumerate(batches_NBS):
    for group in optimizer.param_groups:  # the warmup of its get_lr
        group["lr"] = asked["learning_rate"] * min(1.0, (step + 1) / (asked["warmup_iters"] + 1))
    with torch.autocast("cpu", torch.bfloat16, enabled=asked["bfloat16"]):
        _, loss = model(batch_BS[:, :-1].contiguous(), batch_BS[:, 1:].contiguous())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), asked["grad_clip"])
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    losses.append(loss.item())
print("losses:", json.dumps(losses))
