"""``gptmill sample``: text from a trained run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.errors import CheckpointError, UserError


def sample(
    *,
    run: Annotated[Path | None, Parameter(name=["--run", "--out_dir"])] = None,
    prompt: Annotated[str, Parameter(name=["--prompt", "--start"])] = "\n",
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
        Text to go on from.
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
    if temperature < 0 or max_new_tokens < 0 or num_samples < 1:
        raise UserError("sample: temperature and max_new_tokens must be at least 0, num_samples at least 1")
    if (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise UserError("sample: top_k must be at least 1 and top_p in (0, 1]")
    folder = run or newest_run(Path())
    from gptmill.data.tokenizers import load_tokenizer
    from gptmill.track.console import printable

    if not (folder / "plan.json").is_file():
        raise UserError(f"--run {folder}: not a run folder (no plan.json); name one that gptmill train made")
    if not (folder / "tokenizer").is_dir():
        raise UserError(f"--run {folder}: its dataset came without a tokenizer, so ids cannot be turned into text")
    tokenizer = load_tokenizer(folder / "tokenizer")
    start = prompt_ids = [int(i) for i in tokenizer.encode(prompt)]
    if not start:
        if tokenizer.end_of_text is None:
            raise UserError("--prompt: is empty, and this run's tokenizer has no end-of-text token to start from")
        start = [tokenizer.end_of_text]

    import torch

    from gptmill.cli.weights import load_model
    from gptmill.model.generate import generate
    from gptmill.plan.hardware import detect_machine

    kind = detect_machine(device).kind if device == "auto" else device
    if kind.startswith("cuda") and not torch.cuda.is_available():
        kind = "cpu"
    model = load_model(folder, device=kind)
    generator = torch.Generator().manual_seed(seed)
    for number in range(num_samples):
        if number:
            print("-" * 20)
        new_ids = generate(
            model,
            start,
            max_new_tokens,
            generator=generator,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            vocab_size=tokenizer.vocab_size,
        )
        text = tokenizer.decode([*prompt_ids, *new_ids])
        print("\n".join(printable(line) for line in text.expandtabs().split("\n")))  # no escape sequences from a model


def newest_run(here: Path) -> Path:
    """The out* folder whose run was active last."""
    runs = sorted(here.glob("out*/metrics.jsonl"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise CheckpointError("--run: no run folder named out* here; name one, or run gptmill train quick first")
    print(f"newest run: {runs[-1].parent}", file=sys.stderr)
    return runs[-1].parent
