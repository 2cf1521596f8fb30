"""``gptmill eval``: loss, perplexity and bits per byte of a run on any text."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from gptmill.cli.device import find_device, usable_device
from gptmill.cli.evaluating.measure import measure
from gptmill.cli.evaluating.texts import of_dataset, of_files, own_dataset
from gptmill.cli.models import choose
from gptmill.cli.own_parts import Import, import_parts
from gptmill.data.facts import dataset_folder
from gptmill.errors import UserError
from gptmill.units import count

Flag = Annotated[bool, Parameter(negative="")]


def eval_(
    *,
    run: Annotated[str | None, Parameter(name=["--run", "--out_dir"])] = None,
    init_from: str | None = None,
    dataset: str | None = None,
    input: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    split: Literal["val", "train"] = "val",
    data_dir: str = "data",
    stride: int | None = None,
    documents: Flag = False,
    max_tokens: int | None = None,
    text_key: str = "text",
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    json: Flag = False,
    import_: Import = None,
) -> None:
    """Measure a run's best checkpoint: every token of a text is foreseen once.

    Parameters
    ----------
    run
        Run folder; the newest here unless said otherwise.
    init_from
        A model that is no run, as train takes it: gpt2, a folder, OWNER/NAME on the Hub.
    dataset
        A prepared dataset under data_dir; without it and without --input, the one that the run was trained on.
    input
        Text files and folders, as prepare takes them, in place of a dataset.
    split
        Which part of the dataset.
    data_dir
        Where datasets are.
    stride
        Tokens from one window to the next; the context unless said otherwise. Less gives each token more text before it,
        and takes longer.
    documents
        No document sees the one before it.
    max_tokens
        Stop after so many.
    text_key
        The key of a .jsonl line, and the column of a .parquet file, that hold the text.
    device
        auto, cpu, cuda, cuda:N, mps.
    dtype
        Of matrix products; auto = float32.
    json
        Print one JSON object on stdout.
    import_
        A Python module with parts of your own that the run was trained with.
    """
    if run is not None and init_from is not None:
        raise UserError("eval: --run and --init_from: two models to measure; leave one out")
    if dataset is not None and input is not None:
        raise UserError("eval: give --dataset or --input, not both")
    if max_tokens is not None and max_tokens < 1:
        raise UserError(f"--max_tokens {max_tokens}: must be at least 1; leave it out for all")
    where = find_device(device, demanded=device != "auto")
    chosen = choose(run, init_from)
    tokenizer, opened = chosen.tokenizer, chosen.open()
    T = opened.shape.block_size
    if stride is not None and not 0 < stride <= T:
        raise UserError(f"--stride {stride}: must be from 1 to the model's context, {T}; try {max(1, T // 2)}")
    if documents and not input and tokenizer.end_of_text is None:
        raise UserError(
            f"--documents: {tokenizer.name} tokens have no mark between documents; name them: --input FILE..."
        )
    if input:
        text = of_files(input, text_key, tokenizer, documents)
    else:
        path = dataset_folder(data_dir, dataset) if dataset is not None else own_dataset(chosen.name)
        text = of_dataset(path, split, tokenizer, documents)
    import_parts(import_)
    where = usable_device(where, demanded=device not in ("auto", "cpu"))
    model = opened.load(where)

    from gptmill.model.scoring import perplexity

    found = measure(model, text, tokenizer, stride=stride or T, device=where, dtype=dtype, max_tokens=max_tokens)
    result = {
        "run": chosen.name,
        "step": opened.step,
        "text": text.name,
        "loss": found.loss,
        "perplexity": perplexity(found.loss),
        "bits_per_byte": found.bits_per_byte,
        "tokens": found.tokens,
        "read_tokens": found.read,
        "bytes": found.n_bytes,
        "documents": found.parts if documents else None,
        "stride": stride or T,
        "block_size": T,
        "tokens_per_second": found.read / found.seconds,
    }
    print(json_format.dumps(result, allow_nan=False) if json else _page(result))


def _page(found: dict[str, Any]) -> str:
    bits = "" if found["bits_per_byte"] is None else f"\nbits per byte  {found['bits_per_byte']:.4f}"
    ways = f"{found['documents']:,} documents, " if found["documents"] else ""
    only = f" that count of {count(found['read_tokens'])}" if found["tokens"] < found["read_tokens"] else ""
    shown = "over 1e300" if found["perplexity"] is None else f"{found['perplexity']:.4f}"
    return (
        f"{found['text']}: {ways}{count(found['tokens'])} tokens{only}, {count(found['bytes'])} bytes; step {found['step']} of "
        f"{found['run']}\nloss           {found['loss']:.4f} nats/token\nperplexity     {shown}{bits}\n"
        f"context        {found['block_size']:,} tokens, stride {found['stride']:,}; {found['tokens_per_second']:,.0f} tokens/s"
    )
