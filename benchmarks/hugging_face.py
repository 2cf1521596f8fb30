"""What transformers makes of a text, without a line of gptmill's: its ids, and a model's loss on it.

python -m benchmarks.hugging_face ids FOLDER TEXT           # ids of a tokenizer, as raw int32 on stdout
python -m benchmarks.hugging_face loss FOLDER TEXT STRIDE   # nats per token of a model with its tokenizer, and the tokens
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import transformers


def ids_of(folder: Path, text: str) -> list[int]:
    """GPT-2's two files, or whatever AutoTokenizer finds; <|endoftext|> is the special token."""
    if (folder / "vocab.bpe").exists():
        found = transformers.GPT2TokenizerFast(vocab=str(folder / "encoder.json"), merges=str(folder / "vocab.bpe"))
    else:
        found = transformers.AutoTokenizer.from_pretrained(folder)
    return found(text, verbose=False)["input_ids"]


def loss_of(folder: Path, text: str, stride: int) -> tuple[float, int]:
    """Slide a window over the text; count only what no earlier window counted.

    Source: https://huggingface.co/docs/transformers/perplexity. A window here reads one token more, the target of its last.
    """
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ids_N = torch.tensor(ids_of(folder, text))
    width, total, counted = model.config.max_position_embeddings, 0.0, 0
    for begin in range(0, len(ids_N) - 1, stride):
        end = min(begin + width, len(ids_N) - 1)
        new = end - counted
        if new <= 0:
            break
        with torch.no_grad():
            logits_TV = model(ids_N[None, begin:end]).logits[0]
        targets_T = ids_N[begin + 1 : end + 1]
        total += torch.nn.functional.cross_entropy(logits_TV[-new:], targets_T[-new:], reduction="sum").item()
        counted = end
    return total / counted, counted


def main() -> None:
    what, folder, path = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    text = path.read_bytes().decode()
    if what == "ids":
        sys.stdout.buffer.write(np.array(ids_of(folder, text), np.int32).tobytes())
    else:
        print(*loss_of(folder, text, int(sys.argv[4])))


if __name__ == "__main__":
    main()
