# GPT-2 124M from scratch on one GPU of 16 to 24 GB
#
# 124,373,760 parameters; 49,152 tokens per iteration, 29,491,200,000 tokens in all.
# The document says 300B tokens: that takes gradient_accumulation_steps = 120 with these 600,000 iterations.

wandb_log = True
wandb_project = "gpt2"
wandb_run_name = "gpt2-124M-single-gpu"

batch_size = 4
block_size = 1024
gradient_accumulation_steps = 12

max_iters = 600000
lr_decay_iters = 600000

eval_interval = 1000
eval_iters = 200
log_interval = 10

weight_decay = 1e-1
