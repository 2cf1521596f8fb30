"""litgpt's pretraining of a model of GPT-2's size: ``litgpt.py '{"n_layer": 4, ...}'``. It always compiles."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import litgpt.pretrain
import numpy as np
import torch
from litgpt import Config
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data import DataModule
from litgpt.pretrain import setup

litgpt.pretrain.save_checkpoint = lambda *_: None  # nobody saves in this race
asked = json.loads(sys.argv[1])
T, B = asked["block_size"], asked["batch_size"]
ids = np.memmap("data/bench/train.bin", dtype=np.uint16, mode="r")


class Windows(torch.utils.data.Dataset):
    def __len__(self):
        return (len(ids) - 1) // T

    def __getitem__(self, index):
        return torch.from_numpy(ids[index * T : (index + 1) * T + 1].astype(np.int64))


@dataclass
class Bench(DataModule):
    def connect(self, tokenizer=None, batch_size=1, max_seq_length=None):
        pass

    def train_dataloader(self):
        return torch.utils.data.DataLoader(Windows(), batch_size=B, shuffle=True, drop_last=True)

    val_dataloader = train_dataloader


config = Config(
    name="bench", block_size=T, n_layer=asked["n_layer"], n_head=asked["n_head"], n_embd=asked["n_embd"],
    vocab_size=asked["vocab_size"], padded_vocab_size=asked["vocab_size"], rotary_percentage=0.0, parallel_residual=False,
    bias=False, norm_class_name="LayerNorm", mlp_class_name="GptNeoxMLP", intermediate_size=4 * asked["n_embd"],
)  # fmt: skip
setup(
    model_name="bench", model_config=config, out_dir=Path("out-litgpt"), precision="bf16-mixed", data=Bench(), devices=1,
    logger_name="csv", seed=1337, optimizer={"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3, "betas": [0.9, 0.95]}},
    train=TrainArgs(
        save_interval=None, log_interval=1, global_batch_size=B, micro_batch_size=B, max_tokens=asked["max_iters"] * B * T,
        max_norm=1.0, min_lr=1e-4, lr_warmup_steps=10, tie_embeddings=True, max_seq_length=T,
    ),
    eval=EvalArgs(interval=100000, max_iters=1, final_validation=False),
)  # fmt: skip
