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

SHAKESPEARE = (301_966, 36_059)  # training and validation tokens of GPT-2, from nanoGPT's data/shakespeare/readme.md
ROWS, EPOCHS = 400, 3


def gptmill(folder: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "gptmill", *words, "--json"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"gptmill {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


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


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] else "data").resolve()
    bpe = data / "gpt2-bpe"
    good = True
    for title, needs, check in (
        ("tiny Shakespeare", ["tinyshakespeare/input.txt"], shakespeare),
        ("WikiText-2", ["wikitext-2/train.txt", "wikitext-2/valid.txt"], wikitext),
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
