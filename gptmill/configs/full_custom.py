# Every part chosen by hand at 12 x 768, a file to copy and change, on 1 to 8 GPUs
#
# 123,587,328 parameters; 491,520 tokens per iteration, 294,912,000,000 tokens in all.
# flash_attn_2 ended the document's program with an error; here it means PyTorch's fused attention, the same kernel.

preset = "custom"
normalization = "rmsnorm"
activation = "gelu"
attention_backend = "flash_attn_2"
position_encoding = "rope"
norm_position = "pre"
ffn_type = "standard"
weight_tying = True
rope_theta = 10000.0

out_dir = "out-custom"
eval_interval = 2000
log_interval = 10
eval_iters = 200
eval_only = False
always_save_checkpoint = True
init_from = "scratch"
log_style = "full"
save_log_to_json = True
log_save_interval = 100
gradient_log_interval = 50

dataset = "shakespeare"
gradient_accumulation_steps = 40
batch_size = 12
block_size = 1024

n_layer = 12
n_head = 12
n_embd = 768
dropout = 0.0
bias = False

learning_rate = 6e-4
max_iters = 600000
weight_decay = 1e-1
beta1 = 0.9
beta2 = 0.95
grad_clip = 1.0
decay_lr = True
warmup_iters = 2000
lr_decay_iters = 600000
min_lr = 6e-5

dtype = "bfloat16"
compile = True
use_zero1 = False
use_fsdp = False
