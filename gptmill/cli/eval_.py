"""``gptmill eval``: loss, perplexity and bits per byte of a run on any text."""

from __future__ import annotations

import json as json_format
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from gptmill.cli.device import autocast, find_device, usable_device
from gptmill.cli.models import choose
from gptmill.cli.parts import Import, import_parts
from gptmill.data.facts import dataset_folder
from gptmill.data.layout import is_dataset, split_files
from gptmill.data.texts import text_files
from gptmill.data.tokenizers import Tokenizer, canonical
from gptmill.errors import DataError, UserError
from gptmill.plain import read_plain
from gptmill.units import count

if TYPE_CHECKING:
    import numpy as np

Flag = Annotated[bool, Parameter(negative="")]
LN2 = math.log(2)


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
        name = ", ".join(str(path) for path in input[:3]) + ", ..." * (len(input) > 3)
        texts = _encoded(input, text_key, tokenizer, documents)
    else:
        path = dataset_folder(data_dir, dataset) if dataset is not None else _own_data(Path(chosen.name))
        name, texts = f"{path.name}/{split}", _prepared(path, split, tokenizer, documents)
    import_parts(import_)
    where = usable_device(where, demanded=device not in ("auto", "cpu"))
    model = opened.load(where)

    import numpy as np

    from gptmill.model.scoring import perplexity, score

    lengths = np.array([len(tokenizer.piece(token)) for token in range(tokenizer.vocab_size)])  # [bytes]
    if tokenizer.end_of_text is not None:
        lengths[tokenizer.end_of_text] = 0
    began, nats, tokens, n_bytes, read = time.perf_counter(), 0.0, 0, 0, 0
    with autocast(where, dtype):
        for ids in texts:
            ids = ids if max_tokens is None else ids[: max_tokens - tokens + 1]
            if len(ids) < 2:
                continue
            if (largest := int(ids.max())) >= min(opened.shape.vocab_size, len(lengths)):
                raise DataError(
                    f"{name}: token {largest} is not one of the {len(lengths):,} that the run's tokenizer knows"
                )
            nats += score(model, ids, stride or T, where)
            tokens += len(ids) - 1
            n_bytes += int(lengths[ids[1:]].sum())
            read += 1
    seconds = time.perf_counter() - began
    if not tokens:
        raise DataError(f"{name}: has no token to foresee; name a longer text")
    loss = nats / tokens
    result: dict[str, Any] = {
        "run": chosen.name,
        "step": opened.step,
        "text": name,
        "loss": loss,
        "perplexity": perplexity(loss),
        "bits_per_byte": nats / LN2 / n_bytes if n_bytes else None,
        "tokens": tokens,
        "bytes": n_bytes,
        "documents": read if documents else None,
        "stride": stride or T,
        "block_size": T,
        "tokens_per_second": tokens / seconds,
    }
    print(json_format.dumps(result, allow_nan=False) if json else _page(result))


def _page(found: dict[str, Any]) -> str:
    bits = "" if found["bits_per_byte"] is None else f"\nbits per byte  {found['bits_per_byte']:.4f}"
    ways = f"{found['documents']:,} documents, " if found["documents"] else ""
    shown = "over 1e300" if found["perplexity"] is None else f"{found['perplexity']:.4f}"
    return (
        f"{found['text']}: {ways}{count(found['tokens'])} tokens, {count(found['bytes'])} bytes; step {found['step']} of "
        f"{found['run']}\nloss           {found['loss']:.4f} nats/token\nperplexity     {shown}{bits}\n"
        f"context        {found['block_size']:,} tokens, stride {found['stride']:,}; {found['tokens_per_second']:,.0f} tokens/s"
    )


def _own_data(folder: Path) -> Path:
    """The dataset that the run was trained on."""
    try:
        return Path(str(json_format.loads(read_plain(folder / "plan.json"))["data_path"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            f"--run {folder}: does not say what it was trained on; name a text: --dataset or --input"
        ) from None


def _prepared(path: Path, split: str, tokenizer: Tokenizer, documents: bool) -> Iterator[np.ndarray]:
    """The ids of a dataset's split: all of it, or a document at a time.

    Raises:
        UserError: other tokens than the run's.
    """
    from gptmill.data.shards import open_tokens

    if not is_dataset(path):
        raise UserError(f"{path}: no prepared dataset here; name another with --dataset, or a text with --input")
    files = split_files(path / f"{split}.bin")
    theirs = files.meta.tokenizer if files.meta else files.flavour.tokenizer if files.flavour else None
    if theirs is not None and theirs != canonical(tokenizer.name):
        raise UserError(
            f"{path}: was prepared with {theirs}, the run knows {tokenizer.name}; name its text with --input"
        )
    tokens = open_tokens(path / f"{split}.bin")
    tokens.verify_all()
    import numpy as np

    # shards are one stream, and one window of all of it
    ids = tokens.ids if len(files.files) == 1 else tokens.windows(len(tokens))[np.array([0])][0]
    if not documents:
        yield ids
        return
    assert tokenizer.end_of_text is not None
    first = np.array([tokenizer.end_of_text], dtype=ids.dtype)
    begin = 0
    for end in [*np.flatnonzero(ids == tokenizer.end_of_text).tolist(), len(ids) - 1]:
        yield np.concatenate((first, ids[begin : end + 1]))
        begin = end + 1


def _encoded(paths: list[Path], text_key: str, tokenizer: Tokenizer, documents: bool) -> Iterator[np.ndarray]:
    """The ids of texts: of all, with what prepare puts between two, or of a document at a time, after an end of text."""
    import numpy as np

    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    whole: list[np.ndarray] = []
    one: list[np.ndarray] = []
    for piece in text_files(paths, text_key=text_key).pieces():
        text = piece.text + "\n" * (piece.last and not end and not documents and not piece.text.endswith("\n"))
        one.append(np.asarray(tokenizer.encode(text), dtype=np.int64))
        if piece.last:
            document = np.concatenate([*one, np.array(end, dtype=np.int64)])
            one = []
            if documents:
                yield np.concatenate([np.array(end, dtype=np.int64), document])
            else:
                whole.append(document)
    if whole:
        yield np.concatenate(whole)[: -1 if end else None]  # nothing follows the last
