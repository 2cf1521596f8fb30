"""``gptmill prepare``: text, or a dataset known by name, becomes token shards."""

from __future__ import annotations

import json as jsonlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gptmill import units
from gptmill.cli.bar import Bar
from gptmill.cli.say import say
from gptmill.data.corpora import CORPORA
from gptmill.data.examples import Examples
from gptmill.data.facts import dataset_folder, folder_name
from gptmill.data.inputs import text_files
from gptmill.data.prepare import PrepareReport
from gptmill.data.prepare import prepare as prepare_text
from gptmill.data.remote.place import Place
from gptmill.data.sources import Source
from gptmill.data.tokenizers import what_it_reads
from gptmill.errors import UserError
from gptmill.registry import nearest

TOKENIZER = "bpe-4096"  # needs no network, fits a laptop's model


def prepare(
    *,
    dataset: str | None = None,
    input: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    name: str | None = None,
    tokenizer: str | None = None,
    data_dir: str = "data",
    val_fraction: float | None = None,
    val_samples: int | None = None,
    max_samples: int | None = None,
    errors: Literal["strict", "replace"] = "strict",
    text_key: str = "text",
    completions: bool = False,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Turn text into token shards: DATA_DIR/NAME/{train,val}.bin with meta.json and the tokenizer beside them.

    Parameters
    ----------
    dataset
        A dataset known by name: python_stdlib, shakespeare, shakespeare_char, wikitext, wikitext-103, openwebtext,
        fineweb-edu, slimpajama_6b, slimpajama_627b. What is missing is downloaded; a download that stops goes on.
    input
        Files and folders: .jsonl has one document a line, .parquet one a row, every other file is one document.
    name
        Folder under data_dir to write; the dataset's name, or that of the first input.
    tokenizer
        char, byte, bpe-N (a vocabulary of N learned from this text), gpt2, cl100k (gpt4), o200k (gpt4o), or a folder:
        a run, a saved tokenizer, or a model in Hugging Face's layout.
    data_dir
        Where datasets are.
    val_fraction
        Share of the text kept for validation; 0.1 unless the dataset says otherwise.
    val_samples
        The first so many documents are validation, instead of a share of them.
    max_samples
        Take the first so many training documents only; of WikiText, rows.
    errors
        What to do with bytes that are not UTF-8: stop, or replace them and count.
    text_key
        The key of a .jsonl line, and the column of a .parquet file, that hold the text.
    completions
        Lines of a .jsonl are examples, {"prompt": ..., "response": ...} or {"messages": [...]}; only what the model is to
        write counts in the loss.
    overwrite
        Replace a dataset of that name that was made from something else.
    json
        Print the report as one JSON object.
    """
    if (dataset is None) == (input is None):
        raise UserError("prepare: give either --dataset NAME or --input FILE_OR_DIR...; try --dataset python_stdlib")
    for flag, count in (("val_samples", val_samples), ("max_samples", max_samples)):
        if count is not None and count < 1:
            raise UserError(f"--{flag} {count}: must be at least 1; leave it out for the default")
    if completions and dataset is not None:
        raise UserError("--completions: says how --input is to be read; leave it or --dataset out")
    name = name or (folder_name(dataset, max_samples) if dataset else _name_of((input or [Path()])[0]))
    if name.startswith("."):
        raise UserError(f"--name {name}: a dataset's name cannot start with a dot")
    request = Request(dataset_folder(data_dir, name), tokenizer, val_fraction, val_samples, max_samples)
    if dataset is not None:
        report = _prepare_corpus(dataset, data_dir, request, overwrite)
    else:
        files = text_files(input or [], errors, text_key, Examples if completions else None)
        report = _prepare(files, request, TOKENIZER, 0.1, overwrite)
    if json:
        print(jsonlib.dumps(report.to_json()))
    else:
        print(_sentence(report))


@dataclass(frozen=True)
class Request:
    """What was asked for; None leaves it to the dataset."""

    out: Path
    tokenizer: str | None = None
    val_fraction: float | None = None
    val_samples: int | None = None
    max_samples: int | None = None


def prepare_known(dataset: str, data_dir: str, tokenizer: str | None, max_samples: int | None = None) -> PrepareReport:
    """Prepare a dataset known by name, showing progress; reuses it when it is there. ``tokenizer``: None = its own."""
    out = dataset_folder(data_dir, folder_name(dataset, max_samples))
    return _prepare_corpus(dataset, data_dir, Request(out, tokenizer, max_samples=max_samples), overwrite=False)


def _prepare_corpus(dataset: str, data_dir: str, request: Request, overwrite: bool) -> PrepareReport:
    if dataset not in CORPORA:
        raise UserError(
            f"--dataset {dataset}: this version knows {', '.join(CORPORA)}{nearest(dataset, CORPORA)}; "
            f"for text of your own: gptmill prepare --input FILE_OR_DIR --name {dataset}"
        )
    corpus = CORPORA[dataset]
    if corpus.val_fraction is None and (request.val_fraction, request.val_samples) != (None, None):
        flag = "val_fraction" if request.val_samples is None else "val_samples"
        raise UserError(f"--{flag}: {dataset} has a validation text of its own; leave --{flag} out")
    originals = dataset_folder(data_dir, dataset)  # also for a part of it: fetched once
    what_it_reads(request.tokenizer or corpus.tokenizer)  # a wrong name shows before a download
    try:
        with Bar() as bar:
            source = corpus.open(Place(originals, bar.download), request.max_samples)
    except KeyboardInterrupt:
        say(f"interrupted: what was downloaded is kept in {originals}/.download, the same command goes on from there")
        raise
    return _prepare(source, request, corpus.tokenizer, corpus.val_fraction or 0.1, overwrite)


def _prepare(source: Source, request: Request, tokenizer: str, val_fraction: float, overwrite: bool) -> PrepareReport:
    fraction = val_fraction if request.val_fraction is None else request.val_fraction
    try:
        with Bar() as bar:
            report = prepare_text(
                source,
                request.out,
                request.tokenizer or tokenizer,
                fraction,
                overwrite,
                bar.encode,
                max_samples=request.max_samples,
                val_samples=request.val_samples,
            )
    except KeyboardInterrupt:
        say(f"interrupted: {request.out} is as it was before, nothing half-made is left there")
        raise
    say(f"{report.path}: {report.remark}" if report.remark else None)
    return report


def _name_of(path: Path) -> str:
    return Path(os.path.realpath(path)).stem or "text"  # which a link to itself has too


def _sentence(report: PrepareReport) -> str:
    did = "is there already" if report.reused else f"prepared in {units.duration(report.seconds)}"
    left_out = f", {report.skipped} files left out" if report.skipped else ""
    nulls = f", {report.nulls} rows without text left out" if report.nulls else ""
    share = (report.counted_tokens or 0) / max(1, report.train_tokens)
    counted = "" if report.counted_tokens is None else f" ({share:.0%} count, prompts are only read)"
    replaced = f", {report.replaced} places were not UTF-8" if report.replaced else ""
    return (
        f"{report.path} {did}: {units.count(report.train_tokens)} training and {units.count(report.val_tokens)} validation "
        f"tokens{counted}, {report.tokenizer} with a vocabulary of {report.vocab_size:,}, from {report.source}"
        f"{left_out}{nulls}{replaced}"
    )
