# LLaMA's architecture at 18 x 2,304, on 4 to 8 GPUs of 80 GB
#
# 1,294,159,104 parameters (the document: 1.36B, which is its compute budget in 10^21 FLOP); 262,144 tokens per
# iteration, 6,553,600,000 tokens in all. The document counts the 16 micro-steps on each of 4 GPUs, 1,048,576 tokens;
# they are summed over all devices, so its 25B tokens would take 64.

preset = "llama"

out_dir = "out-llama-1.36b"
eval_interval = 1000
log_interval = 10
eval_iters = 200
eval_only = False
always_save_checkpoint = True
init_from = "scratch"
wandb_log = False
wandb_project = "llama-1.36b"
wandb_run_name = "run-1"
log_style = "full"
save_log_to_json = True
log_save_interval = 100
gradient_log_interval = 50

dataset = "slimpajama_6b_llama"
gradient_accumulation_steps = 16
batch_size = 8
block_size = 2048
vocab_size = 32000  # of the LLaMA tokenizer; --vocab_size=None takes that of your data

n_layer = 18
n_head = 18
n_embd = 2304
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
