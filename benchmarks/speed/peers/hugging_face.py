"""Hugging Face's Trainer on its own GPT-2: ``hugging_face.py '{"n_layer": 4, ..., "device": "cpu", "bf16": true}'``."""

import json
import os
import sys
import time

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import numpy as np
import torch
import transformers

asked = json.loads(sys.argv[1])
T, ids = asked["block_size"], np.memmap("data/bench/train.bin", dtype=np.uint16, mode="r")


class Windows(torch.utils.data.Dataset):
    def __len__(self):
        return len(ids) // T

    def __getitem__(self, index):
        window_T = torch.from_numpy(ids[index * T : (index + 1) * T].astype(np.int64))
        return {"input_ids": window_T, "labels": window_T}


class Clock(transformers.TrainerCallback):
    began = 0.0

    def on_step_begin(self, args, state, control, **_):
        self.began = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.loss = logs["loss"]
            print(f"iter {state.global_step}: loss {self.loss:.4f}, time {self.milliseconds:.3f}ms", flush=True)

    def on_step_end(self, args, state, control, **_):
        if args.device.type == "cuda":
            torch.cuda.synchronize()
        self.milliseconds = 1000 * (time.perf_counter() - self.began)


config = transformers.GPT2Config(
    n_layer=asked["n_layer"], n_head=asked["n_head"], n_embd=asked["n_embd"], n_positions=T,
    vocab_size=asked["vocab_size"], activation_function="gelu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
)  # fmt: skip
arguments = transformers.TrainingArguments(
    output_dir="out-hf", max_steps=asked["max_iters"], per_device_train_batch_size=asked["batch_size"],
    learning_rate=1e-3, warmup_steps=10, weight_decay=0.1, adam_beta2=0.95, max_grad_norm=1.0, logging_steps=1,
    save_strategy="no", report_to=[], disable_tqdm=True, bf16=asked["bf16"], use_cpu=asked["device"] == "cpu",
    torch_compile=asked["compile"], optim="adamw_torch_fused",
)  # fmt: skip
trainer = transformers.Trainer(
    model=transformers.GPT2LMHeadModel(config), args=arguments, train_dataset=Windows(), callbacks=[Clock()]
)
trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
trainer.train()
