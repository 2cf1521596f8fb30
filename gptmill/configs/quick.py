"""A small GPT on the Python standard library's source: about two minutes on two CPU cores. `make` trains this."""

dataset = "python_stdlib"
out_dir = "out-quick"

n_layer = 4
n_head = 4
n_embd = 192
block_size = 128

batch_size = 16
gradient_accumulation_steps = 1
max_iters = 2000
learning_rate = 2e-3
warmup_iters = 100
beta2 = 0.99

eval_interval = 250
eval_iters = 10
log_interval = 10
