# nanoGPT's finetuning of OpenAI's GPT-2 XL on Shakespeare, on one GPU of 40 GB or more
#
# 1,557,611,200 parameters; 32,768 tokens per iteration, 655,360 tokens in all.

import time

out_dir = "out-shakespeare"
eval_interval = 5
eval_iters = 40
wandb_log = False
wandb_project = "shakespeare"
wandb_run_name = "ft-" + str(time.time())

dataset = "shakespeare"
init_from = "gpt2-xl"
always_save_checkpoint = False

batch_size = 1
gradient_accumulation_steps = 32
max_iters = 20

learning_rate = 3e-5
decay_lr = False
