"""Tiny Shakespeare by characters, as well as two CPU cores learn it in under two minutes: small, rotary positions, Muon"""
# 757,080 parameters with the 65 characters of shakespeare_char. What was tried, and lost: docs/log.md, 2026-11-22.

dataset = "shakespeare_char"
out_dir = "out-shakespeare-char-cpu"

position_encoding = "rope"
qk_norm = True  # 1.97 after 100 steps, where it is 2.14 without
activation = "relu"  # a third of GELU's cost here; wider layers make up for it
n_layer = 3
n_head = 4
n_embd = 144
block_size = 128

batch_size = 16
gradient_accumulation_steps = 1
max_iters = 950
optimizer = "muon"
muon_momentum = 0.9  # a short run forgets sooner
learning_rate = 5e-3
weight_decay = 0.25
schedule = "linear"
min_lr = 0.0
warmup_iters = 5
beta2 = 0.99

eval_interval = 50
eval_iters = 8
log_interval = 10
always_save_checkpoint = False
