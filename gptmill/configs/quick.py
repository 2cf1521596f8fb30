"""A small GPT on the Python standard library's source: some two minutes on two CPU cores. `make` trains this."""

dataset = "python_stdlib"
out_dir = "out-quick"

preset = "llama"  # at this length rotary positions are worth more than any other setting: docs/log.md
weight_tying = True
n_layer = 3
n_head = 4
n_embd = 192
block_size = 128

batch_size = 8
gradient_accumulation_steps = 1
max_iters = 1800
learning_rate = 3e-3
warmup_iters = 100
beta2 = 0.99

eval_interval = 200
eval_iters = 20
log_interval = 10
