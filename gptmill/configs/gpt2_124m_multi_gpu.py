# GPT-2 124M from scratch on 8 GPUs of 40 GB
#
# 124,373,760 parameters; 491,520 tokens per iteration, 294,912,000,000 tokens in all.
# Accumulation is summed over all devices, so 40 stays 40 on any number of GPUs that divides it (10 micro-steps each
# on 4). The document's `5 * 4` for 4 GPUs would halve the batch.

wandb_log = True
wandb_project = "gpt2"
wandb_run_name = "gpt2-124M-multi-gpu"

batch_size = 12
block_size = 1024
gradient_accumulation_steps = 5 * 8

max_iters = 600000
lr_decay_iters = 600000

eval_interval = 1000
eval_iters = 200
log_interval = 10

weight_decay = 1e-1
