# GPT-2's architecture at 18 x 2,432, on 4 to 8 GPUs of 80 GB
#
# 1,404,968,832 parameters (the document: 1.36B); 262,144 tokens per iteration, 6,553,600,000 tokens in all.
# The document has 18 heads, which do not divide 2,432: 19 heads of 128 do. It counts the 16 micro-steps on each of
# 4 GPUs, 1,048,576 tokens; they are summed over all devices, so its 25B tokens would take 64.

preset = "gpt2"

out_dir = "out-gpt2-1.36b"
eval_interval = 1000
log_interval = 10
eval_iters = 200
eval_only = False
always_save_checkpoint = True
init_from = "scratch"
wandb_log = False
wandb_project = "gpt2-1.36b"
wandb_run_name = "run-1"
log_style = "full"
save_log_to_json = True
log_save_interval = 100
gradient_log_interval = 50

dataset = "slimpajama_6b_gpt2"
gradient_accumulation_steps = 16
batch_size = 8
block_size = 2048

n_layer = 18
n_head = 19
n_embd = 2432
dropout = 0.0
bias = False

learning_rate = 3e-4
max_iters = 25000
weight_decay = 1e-1
beta1 = 0.9
beta2 = 0.95
grad_clip = 1.0
decay_lr = True
warmup_iters = 2000
lr_decay_iters = 25000
min_lr = 3e-5

dtype = "bfloat16"
compile = True
use_zero1 = False
use_fsdp = False
