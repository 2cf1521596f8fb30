"""Tiny Shakespeare by characters, as well as two CPU cores learn it in two minutes: small, rotary positions, Muon"""
# 756,864 parameters with the 65 characters of shakespeare_char. What was tried, and lost: docs/log.md, 2026-11-22.

dataset = "shakespeare_char"
out_dir = "out-shakespeare-char-cpu"

position_encoding = "rope"
activation = "relu"  # a third of GELU's cost here; wider layers make up for it
n_layer = 3
n_head = 4
n_embd = 144
block_size = 128

batch_size = 16
gradient_accumulation_steps = 1
max_iters = 1300
optimizer = "muon"
learning_rate = 5e-3
schedule = "wsd"  # falls fast at first: 1.88 comes early, and the rest gains from it, too
decay_fraction = 0.85
min_lr = 0.0
warmup_iters = 15
beta2 = 0.99

eval_interval = 50
eval_iters = 8
log_interval = 10
always_save_checkpoint = False
