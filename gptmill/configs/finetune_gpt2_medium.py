# Finetune OpenAI's GPT-2 medium on one GPU of 24 GB
#
# 354,823,168 parameters (the document says 345M); 32,768 tokens per iteration, 655,360 tokens in all: an example of
# 20 iterations, to be raised with max_iters.

import time

out_dir = "out-finetune-gpt2-medium"
eval_interval = 5
eval_iters = 40
wandb_log = False
wandb_project = "gpt2-finetune"
wandb_run_name = "ft-gpt2-medium-" + str(time.time())

init_from = "gpt2-medium"
always_save_checkpoint = False  # keep what improves: finetuning soon overfits

batch_size = 2
gradient_accumulation_steps = 16
max_iters = 20

learning_rate = 3e-5
decay_lr = False
