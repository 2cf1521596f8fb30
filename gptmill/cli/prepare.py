"""``gptmill prepare``: text, or a dataset known by name, becomes token shards."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gptmill import units
from gptmill.data.corpora import CORPORA
from gptmill.data.facts import dataset_folder
from gptmill.data.prepare import PrepareReport
from gptmill.data.prepare import prepare as prepare_text
from gptmill.data.texts import TextFiles, text_files
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
    errors: Literal["strict", "replace"] = "strict",
    text_key: str = "text",
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Turn text into token shards: DATA_DIR/NAME/{train,val}.bin with meta.json and the tokenizer beside them.

    Parameters
    ----------
    dataset
        A dataset known by name: python_stdlib.
    input
        Files and folders: .jsonl has one document a line, .parquet one a row, every other file is one document.
    name
        Folder under data_dir to write; the dataset's name, or that of the first input.
    tokenizer
        char, byte, bpe-N (a vocabulary of N learned from this text), gpt2, or a folder with a saved tokenizer.
    data_dir
        Where datasets are.
    val_fraction
        Share of the text kept for validation; 0.1 unless the dataset says otherwise.
    errors
        What to do with bytes that are not UTF-8: stop, or replace them and count.
    text_key
        The key of a .jsonl line, and the column of a .parquet file, that hold the text.
    overwrite
        Replace a dataset of that name that was made from something else.
    json
        Print the report as one JSON object.
    """
    if (dataset is None) == (input is None):
        raise UserError("prepare: give either --dataset NAME or --input FILE_OR_DIR...; try --dataset python_stdlib")
    name = name or dataset or _name_of((input or [Path()])[0])
    if name.startswith("."):
        raise UserError(f"--name {name}: a dataset's name cannot start with a dot")
    out = dataset_folder(data_dir, name)
    if dataset is not None:
        report = _prepare_corpus(dataset, out, tokenizer, val_fraction, overwrite)
    else:
        report = _prepare_input(text_files(input or [], errors, text_key), out, tokenizer, val_fraction, overwrite)
    if json:
        print(jsonlib.dumps(report.to_json()))
    else:
        print(_sentence(report))


def prepare_known(dataset: str, data_dir: str, tokenizer: str | None) -> PrepareReport:
    """Prepare a dataset known by name, showing progress; reuses it when it is there. ``tokenizer``: None = its own."""
    return _prepare_corpus(dataset, dataset_folder(data_dir, dataset), tokenizer, None, overwrite=False)


def _prepare_corpus(
    dataset: str, out: Path, tokenizer: str | None, val_fraction: float | None, overwrite: bool
) -> PrepareReport:
    if dataset not in CORPORA:
        raise UserError(
            f"--dataset {dataset}: this version knows {', '.join(CORPORA)}{nearest(dataset, CORPORA)}; "
            f"for text of your own: gptmill prepare --input FILE_OR_DIR --name {dataset}"
        )
    corpus = CORPORA[dataset]
    fraction = corpus.val_fraction if val_fraction is None else val_fraction
    with _Progress() as progress:
        return prepare_text(corpus.open(), out, tokenizer or corpus.tokenizer, fraction, overwrite, progress)


def _prepare_input(
    source: TextFiles, out: Path, tokenizer: str | None, val_fraction: float | None, overwrite: bool
) -> PrepareReport:
    fraction = 0.1 if val_fraction is None else val_fraction
    with _Progress() as progress:
        return prepare_text(source, out, tokenizer or TOKENIZER, fraction, overwrite, progress)


class _Progress:
    """A bar on stderr while a person is watching; silent otherwise."""

    def __enter__(self) -> _Progress:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(file=sys.stderr), disable=not sys.stderr.isatty(), transient=True)
        self._bar.start()
        self._task = self._bar.add_task("encoding", total=None)
        return self

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def __exit__(self, *failure: object) -> None:
        self._bar.stop()


def _name_of(path: Path) -> str:
    return path.resolve().stem or "text"


def _sentence(report: PrepareReport) -> str:
    did = "is there already" if report.reused else f"prepared in {units.duration(report.seconds)}"
    left_out = f", {report.skipped} files left out" if report.skipped else ""
    nulls = f", {report.nulls} rows without text left out" if report.nulls else ""
    replaced = f", {report.replaced} places were not UTF-8" if report.replaced else ""
    return (
        f"{report.path} {did}: {units.count(report.train_tokens)} training and {units.count(report.val_tokens)} validation "
        f"tokens, {report.tokenizer} with a vocabulary of {report.vocab_size:,}, from {report.source}"
        f"{left_out}{nulls}{replaced}"
    )
