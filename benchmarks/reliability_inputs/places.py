"""Every place at which a command reads a file of someone else's, and the command that reads it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.reliability_inputs.workshop import SMALL
from gptmill.durable import canonical_json

RESUME = ["train", "--resume", "--out_dir=half", "--max_iters=5"]
SAMPLE = ["sample", "--run", "half", "--max_new_tokens=2"]
TRAIN = ["train", *SMALL, "--max_iters=1", "--out_dir=new"]
Lay = Callable[[Path], None]


@dataclass(frozen=True)
class Place:
    """Args: path: where it lies, in a folder that make_run filled; before, after: prepare the folder around it."""

    name: str
    path: str
    words: list[str]
    before: Callable[[Path], object] = field(default=lambda _: None)
    after: Callable[[Path], object] = field(default=lambda _: None)

    def set(self, folder: Path, lay: Lay) -> None:
        """Put a payload there, in place of what is there."""
        self.before(folder)
        path = folder / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        lay(path)
        self.after(folder)


def places(folder: Path) -> list[Place]:
    """Args: folder: one that make_run filled, to see what a checkpoint consists of."""
    checkpoint = sorted((folder / "half" / "checkpoints").iterdir())[-1]
    short = checkpoint.relative_to(folder)
    members = [f"{short}/{file.name}" for file in sorted(checkpoint.iterdir()) if file.name != "manifest.json"]
    forged = [
        Place(f"{kind} of {Path(member).name}, in the manifest", member, words, alone, forge)
        for member in members
        for kind, words in (("resume", RESUME), ("sample", SAMPLE))
    ]
    return [
        Place("train config .py", "mine.py", ["train", "mine.py", *TRAIN[1:]]),
        Place("train config .yaml", "mine.yaml", ["train", "mine.yaml", *TRAIN[1:]]),
        Place("train config .config", "mine.config", ["train", "mine.config", *TRAIN[1:]]),
        Place("plan config .py", "mine.py", ["plan", "mine.py"]),
        Place("schedule config .yaml", "mine.yaml", ["schedule", "mine.yaml"]),
        Place("sample config .py", "mine.py", [*SAMPLE, "mine.py"]),
        Place("a checkpoint named with .pt", "mine.pt", [*TRAIN, "--checkpoint_file=mine.pt"]),
        Place("a checkpoint named as a folder", "mine", [*TRAIN, "--checkpoint_file=mine"]),
        Place("init_from", "mine", [*TRAIN, "--init_from=mine"]),
        Place("resume config.json", "half/config.json", RESUME),
        Place("resume metrics.jsonl", "half/metrics.jsonl", RESUME),
        Place("resume plan.json", "half/plan.json", RESUME),
        Place("resume .lock", "half/.lock", RESUME),
        Place("resume manifest", f"{short}/manifest.json", RESUME),
        Place("sample plan.json", "half/plan.json", SAMPLE),
        Place("sample tokenizer.json", "half/tokenizer/tokenizer.json", SAMPLE),
        Place("sample manifest", f"{short}/manifest.json", SAMPLE),
        Place("sample best", "half/best", SAMPLE),
        Place("verify manifest", f"{short}/manifest.json", ["verify", "--run", "half"]),
        *forged,
        Place("report metrics.jsonl", "half/metrics.jsonl", ["report", "--run", "half"]),
        Place("report config.json", "half/config.json", ["report", "--run", "half"]),
        Place("report tokenizer.json", "half/tokenizer/tokenizer.json", ["report", "--run", "half"]),
        Place("compare run_1.json", "run_1.json", ["compare", "half", "run_1.json"]),
        Place("train meta.json", "data/tiny/meta.json", TRAIN),
        Place("train train.bin", "data/tiny/train.bin", TRAIN),
        Place("train tokenizer.json", "data/tiny/tokenizer/tokenizer.json", TRAIN),
        Place("train bare train.bin", "data/tiny/train.bin", [*TRAIN, "--vocab_size=65536"], bare),
        Place("train meta.pkl", "data/tiny/meta.pkl", TRAIN, bare),
        Place("train llm.c shard", "data/tiny/x_train_000001.bin", TRAIN, no_data),
        Place("prepare .txt", "mine.txt", ["prepare", "--input", "mine.txt", "--tokenizer", "char"]),
        Place("prepare .jsonl", "mine.jsonl", ["prepare", "--input", "mine.jsonl", "--tokenizer", "byte"]),
        Place("prepare .parquet", "mine.parquet", ["prepare", "--input", "mine.parquet", "--tokenizer", "byte"]),
        Place("prepare folder", "mine/a.txt", ["prepare", "--input", "mine", "--tokenizer", "byte"]),
        Place("prepare tokenizer", "toks/tokenizer.json", ["prepare", "--input", "tiny.txt", "--tokenizer", "toks", "--name", "n"]),
        Place("prepare GPT-2 files", "toks/encoder.json", ["prepare", "--input", "tiny.txt", "--tokenizer", "toks", "--name", "n"]),
        Place("prepare shakespeare", "data/shakespeare_char/input.txt", ["prepare", "--dataset", "shakespeare_char"]),
        Place("prompt file", "mine.txt", [*SAMPLE, "--prompt", "FILE:mine.txt"]),
    ]  # fmt: skip


def alone(folder: Path) -> None:
    """Leave only the newest checkpoint, so that nothing can be fallen back to."""
    for older in sorted((folder / "half" / "checkpoints").iterdir())[:-1]:
        shutil.rmtree(older)


def forge(folder: Path) -> None:
    """Rewrite the newest manifest, as its author could: sizes and hashes are those of what lies there now."""
    checkpoint = sorted((folder / "half" / "checkpoints").iterdir())[-1]
    path = checkpoint / "manifest.json"
    body = json.loads(path.read_bytes())
    del body["digest"]
    for name in body["files"]:
        member = checkpoint / name
        if member.is_file() and member.stat().st_size < 2**30:
            data = member.read_bytes()
            body["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_bytes(canonical_json({**body, "digest": hashlib.sha256(canonical_json(body)).hexdigest()}))


def bare(folder: Path) -> None:
    """nanoGPT's layout: token files without a header."""
    (folder / "data" / "tiny" / "meta.json").unlink()
    shutil.rmtree(folder / "data" / "tiny" / "tokenizer")


def no_data(folder: Path) -> None:
    """llm.c's layout, of which only a validation shard is good."""
    bare(folder)
    tiny = folder / "data" / "tiny"
    (tiny / "train.bin").unlink()
    header = [20240520, 1, 64, *[0] * 253]
    import numpy as np

    (tiny / "val.bin").unlink()
    (tiny / "x_val_000000.bin").write_bytes(np.array(header, "<i4").tobytes() + bytes(128))
