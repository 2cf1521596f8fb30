"""``gptmill sample``: text from a trained run."""

from __future__ import annotations

import glob
import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.say import say
from gptmill.errors import CheckpointError, UserError
from gptmill.plan.hardware import detect_machine


def sample(
    *,
    run: Annotated[Path | None, Parameter(name=["--run", "--out_dir"])] = None,
    prompt: Annotated[str, Parameter(name=["--prompt", "--start"])] = "",
    max_new_tokens: int = 200,
    num_samples: int = 1,
    temperature: float = 0.8,
    top_k: int | None = 200,
    top_p: float | None = None,
    seed: int = 1337,
    device: str = "auto",
) -> None:
    """Generate text with a run's best checkpoint.

    Parameters
    ----------
    run
        Run folder; without it, the newest run folder named out* here.
    prompt
        Text to go on from; FILE:PATH takes it from a file. Without it, the start of a document.
    max_new_tokens
        Tokens to generate per sample.
    num_samples
        How many samples.
    temperature
        Below 1 plays safe, above 1 takes risks, 0 always takes the likeliest token.
    top_k
        Draw only from the k likeliest tokens.
    top_p
        Draw only from the likeliest tokens that together reach this probability.
    seed
        The same seed gives the same text.
    device
        auto, cpu, cuda, cuda:N, mps.
    """
    check_request(temperature, max_new_tokens, num_samples, seed, top_k, top_p)
    folder = run or newest_run(Path())
    hint_at_newer(folder)
    from gptmill.data.tokenizers import load_tokenizer
    from gptmill.track.console import printable

    if not (folder / "plan.json").is_file():
        raise UserError(f"--run {folder}: not a run folder (no plan.json); name one that gptmill train made")
    if not (folder / "tokenizer").is_dir():
        raise UserError(f"--run {folder}: its dataset came without a tokenizer, so ids cannot be turned into text")
    tokenizer = load_tokenizer(folder / "tokenizer")
    prompt_ids = [int(i) for i in tokenizer.encode(read_prompt(prompt))]
    # a document starts after the end of another; where the tokenizer has no such id, a line break stands for it
    start = prompt_ids or (
        [int(i) for i in tokenizer.encode("\n")] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    )
    machine = detect_machine(device)

    import torch

    from gptmill.cli.weights import load_model
    from gptmill.model.generate import generate

    kind = device if device != "auto" else machine.kind
    if machine.kind == "cuda" and not torch.cuda.is_available():
        if device != "auto":
            raise UserError(f"--device={device}: torch {torch.__version__} cannot use CUDA here; try --device=auto")
        kind = "cpu"
    model = load_model(folder, device=kind)
    for number in range(num_samples):
        if number:
            print("-" * 20)
        new_ids = generate(
            model,
            [start],
            max_new_tokens,
            seed=seed,
            first=number,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            vocab_size=tokenizer.vocab_size,
        )
        text = tokenizer.decode([*prompt_ids, *(token for (token,) in new_ids if token is not None)])
        print("\n".join(printable(line) for line in text.expandtabs().split("\n")))  # no escape sequences from a model


def check_request(
    temperature: float, max_new_tokens: int, num_samples: int, seed: int, top_k: int | None, top_p: float | None
) -> None:
    """Raise UserError for numbers that no sampling can use."""
    if not 0 <= temperature < math.inf or max_new_tokens < 0 or num_samples < 1 or not 0 <= seed < 2**63:
        raise UserError(
            "sample: temperature, max_new_tokens and seed must be at least 0 and finite, num_samples at least 1"
        )
    if (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise UserError("sample: top_k must be at least 1 and top_p in (0, 1]")


def read_prompt(prompt: str) -> str:
    """The prompt itself, or the text of the file that FILE:PATH names."""
    if not prompt.startswith("FILE:"):
        return prompt
    path = Path(prompt.removeprefix("FILE:"))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prompt {prompt}: cannot read it as UTF-8 text: {error}") from None


def hint_at_newer(folder: Path) -> None:
    """Say so when a later run of the same config went to X-2, X-3, ...: the one named may not be the one meant."""
    mine = folder / "metrics.jsonl"
    others = folder.parent.glob(f"{glob.escape(folder.name)}-*/metrics.jsonl")
    newer = sorted(path for path in others if mine.exists() and path.stat().st_mtime > mine.stat().st_mtime)
    if newer:
        say(f"{folder} is not the newest: {', '.join(str(path.parent) for path in newer)}")


def newest_run(here: Path) -> Path:
    """The out* folder whose run was active last."""
    runs = sorted(here.glob("out*/metrics.jsonl"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise CheckpointError("--run: no run folder named out* here; name one, or run gptmill train quick first")
    say(f"newest run: {runs[-1].parent}")
    return runs[-1].parent
