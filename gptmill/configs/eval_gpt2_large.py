# Evaluate OpenAI's GPT-2 large as it was published, on one GPU
#
# 774,030,080 parameters. Nothing is trained: 500 batches of 8 sequences from each split.

batch_size = 8
eval_iters = 500
eval_only = True
wandb_log = False
init_from = "gpt2-large"
