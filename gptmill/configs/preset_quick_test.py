# A 6 x 384 GPT on Shakespeare to see that everything works, on one GPU or a patient CPU
#
# 30,036,864 parameters; 16,384 tokens per iteration, 81,920,000 tokens in all.

preset = "gpt2"

out_dir = "out-shakespeare"
eval_interval = 250
log_interval = 10
eval_iters = 200
always_save_checkpoint = False
log_style = "full"
save_log_to_json = True
log_save_interval = 50
gradient_log_interval = 25

dataset = "shakespeare"
gradient_accumulation_steps = 1
batch_size = 64
block_size = 256

n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.2

learning_rate = 1e-3
max_iters = 5000
lr_decay_iters = 5000
min_lr = 1e-4
beta2 = 0.99
warmup_iters = 100

compile = False
