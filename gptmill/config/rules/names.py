"""Text keys with a syntax: models, files, folders, datasets, tokenizers."""

from __future__ import annotations

import os
import re

from gptmill.config.rules.broken import Broken
from gptmill.config.schema import Config
from gptmill.config.wording import nearest, one_line

# What every file system takes, a suffix such as -2 and the files of a run included [bytes].
LONGEST_NAME = 240
LONGEST_PATH = 1000

GPT2_SIZES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
HUB_NAME = r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
FOREIGN = re.compile(r"\.(pt|pth|ckpt|bin|safetensors|gguf|onnx)$", re.IGNORECASE)


def names_model(init_from: str) -> bool:
    """Whether it can be the name of a model to begin with: one of GPT-2's, a folder that is there, or one on the Hub."""
    folder = os.path.expanduser(init_from)
    on_hub = (
        re.fullmatch(HUB_NAME, init_from, re.ASCII) and not FOREIGN.search(init_from) and not os.path.isfile(folder)
    )
    return init_from not in ("scratch", "resume") and (init_from in GPT2_SIZES or os.path.isdir(folder) or bool(on_hub))


def start_is_known(c: Config) -> Broken | None:
    words = ("scratch", "resume", *GPT2_SIZES)
    if c.init_from in words or names_model(c.init_from):
        return None
    if os.path.isfile(os.path.expanduser(c.init_from)) or FOREIGN.search(c.init_from):
        says = f"a file; `gptmill import {one_line(c.init_from)} --out DIR` makes it a folder: then init_from=DIR"
        return Broken(("init_from",), says)
    says = f"must be {', '.join(words)}, the folder of a model, or OWNER/NAME on the Hub"
    return Broken(("init_from",), f"{says}{nearest(c.init_from, words)}")


def checkpoint_is_a_folder(c: Config) -> Broken | None:
    if FOREIGN.search(c.checkpoint_file or "") is None:
        return None
    says = "a file of another program; `gptmill import FILE --out DIR` makes it a run folder: then init_from=DIR"
    return Broken(("checkpoint_file",), says)


def dataset_stays_inside(c: Config) -> Broken | None:
    parts = c.dataset.split("/")
    safe = all(
        re.fullmatch(r"[\w.+ -]{1,200}", p) and p not in (".", "..") and not p.startswith((" ", "-")) for p in parts
    )
    if safe:
        return None
    says = "must be a folder name under data_dir, without '..' or a leading '/'; set data_dir for another place"
    return Broken(("dataset",), says)


def folders_are_named(c: Config) -> Broken | None:
    empty = [key for key in ("data_dir", "out_dir") if not getattr(c, key).strip()]
    return Broken((empty[0],), "empty; name a folder, or '.' for this one") if empty else None


def wandb_names_are_not_empty(c: Config) -> Broken | None:
    for key in ("wandb_project", "wandb_run_name", "wandb_entity"):
        if (name := getattr(c, key)) is not None and not name.strip():
            return Broken((key,), f"empty; give a name, or leave {key} out")
    return None


def paths_are_short(c: Config) -> Broken | None:
    for key in ("data_dir", "dataset", "out_dir"):
        path = os.fsencode(getattr(c, key))
        if len(path) > LONGEST_PATH or any(len(name) > LONGEST_NAME for name in path.split(b"/")):
            says = f"too long: at most {LONGEST_NAME} bytes a name and {LONGEST_PATH:,} in all; try a shorter one"
            return Broken((key,), says)
    return None


def tokenizer_is_known(c: Config) -> Broken | None:
    if c.tokenizer in (None, "char", "byte", "gpt2", "gpt4", "gpt4o", "cl100k", "o200k"):
        return None
    size = re.fullmatch(r"bpe-(\d{1,9})", c.tokenizer or "", re.ASCII)
    if size and 257 <= int(size[1]) <= 65536:
        return None
    says = "must be char, byte, gpt2, gpt4, gpt4o, or bpe-N with N from 257 to 65536"
    return Broken(("tokenizer",), f"{says}; try bpe-4096")
