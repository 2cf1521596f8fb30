"""Hand-written mistakes a person makes in configs and flags; each names what its one line must contain."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Mistake(NamedTuple):
    """Args: says: words that must appear, one tuple per expected line, in order."""

    argv: str
    says: list[tuple[str, ...]]
    files: Mapping[str, str | bytes] = MappingProxyType({})


MISTAKES = [
    # typos in keys
    Mistake("--n_layers=6", [("--n_layers", "unknown key", "'n_layer'")]),
    Mistake("--batchsize 8", [("--batchsize", "'batch_size'")]),
    Mistake("--learning-rte=1e-3", [("--learning-rte", "'learning_rate'")]),
    Mistake("--max_iter=10", [("--max_iter", "'max_iters'")]),
    Mistake("--zzz", [("--zzz", "unknown key")]),
    Mistake("--no-zzz", [("--no-zzz", "unknown key")]),
    Mistake("--Batch_Size=4", [("--Batch_Size", "'batch_size'")]),
    Mistake("c.py", [("c.py:2", "n_layres", "'n_layer'")], {"c.py": "n_head = 4\nn_layres = 6\n"}),
    Mistake("c.yaml", [("c.yaml:2", "blocksize", "'block_size'")], {"c.yaml": "n_head: 4\nblocksize: 64\n"}),
    Mistake("c.yaml", [("c.yaml:1", "unknown key")], {"c.yaml": "'': 1\n"}),
    # typos in values
    Mistake("--normalization=rmsnrm", [("--normalization", "rmsnrm", "'rmsnorm'")]),
    Mistake("--optimizer=adamww", [("--optimizer", "adamww", "'adamw'")]),
    Mistake("--spam_variant=spike", [("--spam_variant", "'spikes'")]),
    Mistake("--adamwprune_base_optimizer_name=sgd", [("--adamwprune_base_optimizer_name", "adamwadv")]),
    Mistake("--schedule=cosin", [("--schedule", "'cosine'")]),
    Mistake("--dtype=bfloat", [("--dtype", "bfloat", "bfloat16")]),
    Mistake("--device=gpu", [("--device", "gpu", "cuda")]),
    Mistake("--device=cuda:x", [("--device", "cuda:x")]),
    Mistake("--preset=lama", [("--preset", "lama", "'llama'")]),
    Mistake("--preset=gpt2,lama", [("--preset", "lama", "'llama'")]),
    Mistake("--init_from=resum", [("--init_from", "'resume'")]),
    Mistake("--tokenizer=bpe", [("--tokenizer", "bpe-N")]),
    Mistake("--tokenizer=bpe-256", [("--tokenizer", "257")]),
    Mistake("--compile=maybe", [("--compile", "maybe", "True, False or auto")]),
    # types
    Mistake("--n_layer=six", [("--n_layer", "six", "whole number")]),
    Mistake("--n_layer=2.5", [("--n_layer", "2.5", "whole number")]),
    Mistake("--n_layer=", [("--n_layer", "whole number")]),
    Mistake("--learning_rate=1e-3x", [("--learning_rate", "1e-3x", "a number")]),
    Mistake("--learning_rate=nan", [("--learning_rate", "nan", "a number")]),
    Mistake("--learning_rate=inf", [("--learning_rate", "inf", "a number")]),
    Mistake("--batch_size=True", [("--batch_size", "True", "whole number")]),
    Mistake("--batch_size=[4]", [("--batch_size", "whole number")]),
    Mistake("--bias=2", [("--bias", "2", "True or False")]),
    Mistake("--resume=maybe", [("--resume", "maybe", "True or False")]),
    Mistake("c.py", [("c.py:1", "n_layer", "True", "whole number")], {"c.py": "n_layer = True\n"}),
    Mistake("c.py", [("c.py:1", "dataset", "text")], {"c.py": "dataset = 5\n"}),
    Mistake("c.py", [("c.py:1", "n_head", "whole number")], {"c.py": "n_head = (1, 2)\n"}),
    Mistake("c.yaml", [("c.yaml:1", "lr", "a number")], {"c.yaml": "lr: fast\n"}),
    Mistake("c.yaml", [("c.yaml:1", "n_layer", "12:30")], {"c.yaml": "n_layer: 12:30\n"}),
    # ranges
    Mistake("--n_layer=0", [("--n_layer", "at least 1")]),
    Mistake("--n_layer=-3", [("--n_layer", "-3", "at least 1")]),
    Mistake("--n_layer -3", [("--n_layer", "-3", "at least 1")]),
    Mistake("--block_size=1", [("--block_size", "at least 2")]),
    Mistake("--dropout=1.0", [("--dropout", "below 1")]),
    Mistake("--dropout=-0.1", [("--dropout", "at least 0")]),
    Mistake("--beta2=1", [("--beta2", "below 1")]),
    Mistake("--min_lr_ratio=1.5", [("--min_lr_ratio", "at most 1")]),
    Mistake("--epochs=0", [("--epochs", "above 0")]),
    Mistake("--n_layer=1000000000", [("--n_layer", "too large", "10,000")]),
    Mistake("--n_embd=1" + "0" * 50, [("--n_embd", "too large")]),
    Mistake("--seed=-1", [("--seed", "at least 0")]),
    # keys against each other
    Mistake("--n_head=7", [("--n_head", "n_embd=768", "n_head=6 or 8")]),
    Mistake("--n_embd=100", [("--n_embd", "n_head=12", "n_head=10 or 20")]),
    Mistake("c.py --n_head=5", [("--n_head and c.py:1", "n_embd=64", "n_head=4 or 8")], {"c.py": "n_embd = 64\n"}),
    Mistake("--preset=llama --n_head=256", [("preset llama", "--n_head", "rope", "3 wide")]),
    Mistake("--min_lr=1e-3", [("--min_lr", "learning_rate=0.0006", "min_lr=6e-05")]),
    Mistake("--device=cpu --dtype=float16", [("--dtype", "--device", "bfloat16")]),
    Mistake("--max_iters=10 --epochs=2", [("--max_iters", "--epochs", "only one of")]),
    Mistake("c.py", [("c.py:1", "c.py:2", "only one of")], {"c.py": "epochs = 1\nmax_tokens = 5\n"}),
    Mistake("--min_lr=0 --min_lr_ratio=0", [("--min_lr", "--min_lr_ratio", "only one of")]),
    Mistake(
        "--gradient_accumulation=4 --effective_batch_size=64",
        [("--gradient_accumulation", "--effective_batch_size", "only one of")],
    ),
    Mistake("--lr=1e-3 --learning_rate=2e-3", [("--lr", "--learning_rate", "set twice")]),
    Mistake("c.yaml", [("c.yaml:1", "c.yaml:2", "set twice")], {"c.yaml": "warmup: 5\nwarmup_iters: 6\n"}),
    # paths and names
    Mistake("nowhere.py", [("nowhere.py", "no such config file")]),
    Mistake("qick", [("qick", "'quick'")], {"configs/quick.py": "n_layer = 1\n"}),
    Mistake("config/nowhere.yaml", [("config/nowhere.yaml", "no such config file")]),
    Mistake("--config=nowhere.yaml", [("nowhere.yaml", "no such config file")]),
    Mistake("d", [("d", "a folder")], {"d/x.txt": ""}),
    Mistake("d.py", [("d.py", "cannot be read")], {"d.py/x.txt": ""}),
    Mistake("c.toml", [("c.toml", "not a config file", ".yaml")], {"c.toml": "n_layer = 1\n"}),
    Mistake("batch_size=8", [("batch_size=8", "--batch_size=8")]),
    Mistake("--dataset=../../etc", [("--dataset", "../../etc", "data_dir")]),
    Mistake("--dataset=/etc", [("--dataset", "/etc", "data_dir")]),
    Mistake("--out_dir=", [("--out_dir", "empty")]),
    # flags that are not flags
    Mistake("-n 6", [("-n", "--key=value")]),
    Mistake("--", [("--", "not a flag")]),
    Mistake("--=4", [("--", "not a flag")]),
    Mistake("--n_layer", [("--n_layer", "needs a value")]),
    Mistake("--n_layer --bias", [("--n_layer", "needs a value")]),
    Mistake("--no-compile=True", [("--no-compile", "takes no value")]),
    Mistake("--no-n_layer", [("--no-n_layer", "no switch", "--n_layer=VALUE")]),
    Mistake("--config", [("--config", "needs a value")]),
    # files that cannot be read
    Mistake("c.py", [("c.py:2", "not valid Python")], {"c.py": "n_layer = 1\nn_head = = 4\n"}),
    Mistake("c.py", [("c.py:1", "wide", "not assigned")], {"c.py": "n_embd = wide * 2\nn_head = n_embd\n"}),
    Mistake("c.py", [("c.py:1", "import")], {"c.py": "import torch\n"}),
    Mistake("c.py", [("c.py:1", "division by zero")], {"c.py": "n_head = 1 / 0\n"}),
    Mistake("c.py", [("c.py:2", "UTF-8")], {"c.py": b"n_layer = 1\n# caf\xe9\n"}),
    Mistake("c.py", [("c.py:1", "NUL")], {"c.py": b"n_layer = 1\0\n"}),
    Mistake("c.yaml", [("c.yaml:2", "set twice", "c.yaml:1")], {"c.yaml": "n_layer: 1\nn_layer: 2\n"}),
    Mistake("c.yaml", [("c.yaml:2", "set twice", "c.yaml:1")], {"c.yaml": "n-layer: 1\nn_layer: 1\n"}),
    Mistake("c.yaml", [("c.yaml:2", "nested")], {"c.yaml": "model:\n  n_layer: 1\n"}),
    Mistake("c.yaml", [("c.yaml:1", "nested or listed")], {"c.yaml": "betas: [0.9, 0.95]\n"}),
    Mistake("c.yaml", [("c.yaml:1", "nested or listed")], {"c.yaml": "- n_layer: 1\n"}),
    Mistake("c.yaml", [("c.yaml:1", "flat")], {"c.yaml": "n_layer\n"}),
    Mistake("c.yaml", [("c.yaml:2", "not valid YAML")], {"c.yaml": "n_layer: 1\n\tn_head: 2\n"}),
    Mistake("c.yaml", [("c.yaml:2", "second document")], {"c.yaml": "n_layer: 1\n---\nn_head: 1\n"}),
    # what this version cannot do
    Mistake("--strategy=zero", [("--strategy=zero", "zero1")]),
    Mistake("--use_zero1 --use_fsdp", [("--use_zero1 and --use_fsdp", "keep one")]),
    Mistake("--use_fsdp --dtype=float16", [("--dtype", "bfloat16")]),
    Mistake("--strategy=fsdp --generate_interval=5", [("--generate_interval", "generate_interval=0")]),
    Mistake("--pruning_method=magnitute", [("--pruning_method", "one of none", "'magnitude'")]),
    Mistake("--pruning_method=state --strategy=zero1", [("--pruning_method", "Adam's moments", "strategy=ddp")]),
    Mistake("--pruning_method=magnitude --use_fsdp", [("--pruning_method", "whole weights", "zero1")]),
    Mistake("--target_sparsity=1", [("--target_sparsity", "below 1")]),
    Mistake("--penalty_weight .01", [("--penalty_weight", "not in this version")]),
    Mistake("--init_from=gpt2-medium", [("--init_from", "pretrained", "not in this version")]),
    Mistake("--preset=llame", [("--preset", "llame", "unknown", "llama")]),
    Mistake("llama", [("llama", "is a preset", "--preset=llama")]),
    Mistake("--n_head=12 --n_kv_head=5", [("--n_kv_head", "--n_head", "does not divide", "4 or 6")]),
    Mistake("--sliding_window=-1", [("--sliding_window", "at least 0")]),
    Mistake("--decay_fraction=0", [("--decay_fraction", "above 0")]),
    Mistake("--wandb_log=offline", [("--wandb_log", "offline", "True or False")]),
    Mistake("--early_stop_patience=0", [("--early_stop_patience", "at least 1")]),
    Mistake("--eval_interval=epochs", [("--eval_interval", "epochs", "'epoch'")]),
    Mistake("--top_p=0", [("--top_p", "above 0")]),
    Mistake("--temperature=-1", [("--temperature", "at least 0")]),
    Mistake("--checkpoint_file=old/ckpt.pt", [("--checkpoint_file", "ckpt.pt", "importing", "not in this version")]),
    Mistake("c.py", [("c.py:1", "learning_rate", "a number")], {"c.py": "learning_rate = True\n"}),
    # several at once
    Mistake(
        "--n_head=0 --n_embd=100", [("--n_head", "at least 1")]
    ),  # 12 heads would not fit, but 12 was not asked for
    Mistake(
        "c.py --n_layer=0 --dropot=1 nowhere",
        [("nowhere",), ("c.py:1", "bachsize"), ("--dropot", "'dropout'"), ("--n_layer", "at least 1")],
        {"c.py": "bachsize = 1\n"},
    ),
    Mistake(
        "c.py --n_head=0 --n_embd=100 --device=gpu --min_lr=1",
        [("c.py:1", "lambda"), ("--n_head", "at least 1"), ("--device",)],
        {"c.py": "n_layer = lambda: 1\n"},
    ),
]
