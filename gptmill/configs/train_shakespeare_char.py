# nanoGPT's small character-level Shakespeare, minutes on one GPU
#
# 16,384 tokens per iteration, 81,920,000 tokens in all. 10,745,088 parameters with the 65 characters of
# shakespeare_char, 30,036,864 before it is prepared.
# On a CPU, for a few minutes: --eval_iters=20 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128
# --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0

out_dir = "out-shakespeare-char"
eval_interval = 250  # often: this little text is soon learned by heart
eval_iters = 200
log_interval = 10
always_save_checkpoint = False

wandb_log = False
wandb_project = "shakespeare-char"
wandb_run_name = "mini-gpt"

dataset = "shakespeare_char"
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
beta2 = 0.99  # a longer average: there are few tokens in an iteration
warmup_iters = 100
