# nanoGPT's GPT-2 124M on 8 GPUs of 40 GB, to a validation loss of about 2.85
#
# 124,373,760 parameters; 491,520 tokens per iteration, 294,912,000,000 tokens in all.
#     torchrun --standalone --nproc_per_node=8 train.py config/train_gpt2.py

wandb_log = True
wandb_project = "owt"
wandb_run_name = "gpt2-124M"

batch_size = 12
block_size = 1024
gradient_accumulation_steps = 5 * 8

max_iters = 600000
lr_decay_iters = 600000

eval_interval = 1000
eval_iters = 200
log_interval = 10

weight_decay = 1e-1
