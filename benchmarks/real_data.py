"""Real text through the real command: make test-data DATA=DIR.

DIR holds any of: gpt2-bpe/{encoder.json,vocab.bpe}, tinyshakespeare/input.txt, wikitext-2/{train,valid}.txt. What is not
there is named and left out. Exits 1 when something that could be run is wrong.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SHAKESPEARE = (301_966, 36_059)  # training and validation tokens of GPT-2, from nanoGPT's data/shakespeare/readme.md
ROWS, EPOCHS = 400, 3
IDS, END_OF_TEXT = 500_000, 50256
CONTEXT = 128


def gptmill(folder: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "gptmill", *words, "--json"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"gptmill {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def hugging_face(*words: str) -> bytes:
    done = subprocess.run([sys.executable, "-m", "benchmarks.hugging_face", *words], capture_output=True)
    if done.returncode:
        raise SystemExit(f"transformers' {words[0]}: exit {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return done.stdout


def put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def shakespeare(data: Path, work: Path, bpe: str) -> bool:
    put(data / "tinyshakespeare/input.txt", work / "data/shakespeare/input.txt")
    report = gptmill(work, "prepare", "--dataset", "shakespeare", "--tokenizer", bpe)
    found = report["train_tokens"], report["val_tokens"]
    print(f"tiny Shakespeare: {found[0]:,} + {found[1]:,} tokens of GPT-2, {SHAKESPEARE} expected")
    return found == SHAKESPEARE


def wikitext(data: Path, work: Path, bpe: str) -> bool:
    for name in ("train.txt", "valid.txt"):
        put(data / "wikitext-2" / name, work / "data/wikitext" / name)
    whole = gptmill(work, "prepare", "--dataset", "wikitext", "--tokenizer", bpe)
    print(f"WikiText-2: {whole['train_tokens']:,} + {whole['val_tokens']:,} tokens")
    gptmill(work, "prepare", "--dataset", "wikitext", "--tokenizer", bpe, "--max_samples", str(ROWS))
    run = ("train-lm", "--model_preset", "tiny", "--dataset", "wikitext", "--max_samples", str(ROWS))
    gptmill(work, *run, "--epochs", str(EPOCHS), "--batch_size", "8", "--warmup_steps", "2", "--lr", "1e-3",
            "--eval_iters", "2", "--block_size", "128", "--out_dir", "run")  # fmt: skip
    lines = [json.loads(line) for line in (work / "run/metrics.jsonl").read_text().splitlines()]
    losses = [line["val_loss"] for line in lines if line.get("val_loss") is not None]
    print("perplexity per epoch:", ", ".join(f"{math.exp(loss):,.0f}" for loss in losses))
    return len(losses) > EPOCHS - 1 and all(later < before for before, later in itertools.pairwise(losses))


def ids(data: Path, work: Path, bpe: str) -> bool:
    """Documents with an end of text after each, by us and by transformers' tokenizer."""
    lines = (data / "wikitext-2/train.txt").read_bytes().decode().splitlines(keepends=True)
    documents = ["".join(lines[n : n + 50]) for n in range(0, len(lines), 50)]
    (work / "documents.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    gptmill(work, "prepare", "--input", "documents.jsonl", "--tokenizer", bpe, "--val_samples", "1")
    (work / "joined.txt").write_bytes("".join(f"{text}<|endoftext|>" for text in documents[1:]).encode())
    theirs = np.frombuffer(hugging_face("ids", bpe, str(work / "joined.txt")), np.int32)[:IDS]
    ours = np.fromfile(work / "data/documents/train.bin", np.uint16)[:IDS]
    same = int((ours == theirs).sum()) if len(ours) == len(theirs) == IDS else 0
    ends = int((theirs == END_OF_TEXT).sum())
    print(f"GPT-2's ids: {same:,} of {IDS:,} are Hugging Face's, {ends} ends of text among them")
    return same == IDS and ends > 0


def perplexities(data: Path, work: Path, bpe: str) -> bool:
    """Of a small model on all of WikiText-2's validation text, by us and by a script of transformers' on the exported files."""
    for name in ("train.txt", "valid.txt"):
        put(data / "wikitext-2" / name, work / "data/wikitext" / name)
    gptmill(work, "prepare", "--dataset", "wikitext", "--tokenizer", bpe)
    sizes = (
        "--n_layer=2",
        "--n_head=2",
        "--n_embd=32",
        f"--block_size={CONTEXT}",
        "--bias=True",
        "--activation=gelu_tanh",
    )
    steps = ("--batch_size=4", "--gradient_accumulation_steps=1", "--max_iters=60", "--warmup_iters=5", "--learning_rate=3e-3",
             "--eval_interval=60", "--eval_iters=2", "--device=cpu", "--compile=False")  # fmt: skip
    gptmill(work, "train", *sizes, *steps, "--dataset=wikitext", "--out_dir=small")
    gptmill(work, "export", "--run", "small", "--out", "hf")
    good = True
    for stride in (CONTEXT, CONTEXT // 2):
        ours = gptmill(work, "eval", "--run", "small", "--device=cpu", "--stride", str(stride))
        loss, tokens = hugging_face(
            "loss", str(work / "hf"), str(work / "data/wikitext/valid.txt"), str(stride)
        ).split()
        both = f"{ours['perplexity']:.4f}", f"{math.exp(float(loss)):.4f}"
        print(f"perplexity at stride {stride} over {ours['tokens']:,} tokens: {both[0]}, {both[1]} by transformers")
        same = f"{ours['perplexity']:.4g}" == f"{math.exp(float(loss)):.4g}"  # four digits
        good &= same and ours["tokens"] == int(tokens)
    return good


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] else "data").resolve()
    bpe = data / "gpt2-bpe"
    good = True
    for title, needs, check in (
        ("tiny Shakespeare", ["tinyshakespeare/input.txt"], shakespeare),
        ("WikiText-2", ["wikitext-2/train.txt", "wikitext-2/valid.txt"], wikitext),
        ("GPT-2's ids", ["wikitext-2/train.txt"], ids),
        ("perplexity", ["wikitext-2/train.txt", "wikitext-2/valid.txt"], perplexities),
    ):
        missing = [
            name for name in ["gpt2-bpe/encoder.json", "gpt2-bpe/vocab.bpe", *needs] if not (data / name).exists()
        ]
        if missing:
            print(f"{title}: not run, {data} has no {', '.join(missing)}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            good &= check(data, Path(folder), str(bpe))
    sys.exit(not good)


if __name__ == "__main__":
    main()
