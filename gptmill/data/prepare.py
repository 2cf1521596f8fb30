"""Text in, token shards out: two passes in bounded memory, the same bytes every time.

The first pass (``survey.py``) measures and fingerprints the text, the second encodes it, a few megabytes at a time.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill import units
from gptmill.data.layout import is_dataset
from gptmill.data.meta import ITEM_BYTES, Meta, dtype_for, read_meta
from gptmill.data.sources import FirstAreValidation, FirstDocuments, Source
from gptmill.data.staging import publish, staging
from gptmill.data.survey import Fingerprint, Splitter, Survey, survey
from gptmill.data.tokenizers import Tokenizer, make_tokenizer, what_it_reads
from gptmill.errors import DataError, UserError

if TYPE_CHECKING:
    from gptmill.data.encoder import Batch

BATCH_CHARS = 2**20  # text encoded at once, by one process
FEW_CHARS = 12 * 2**20  # encoded by this process alone: others need most of a second to start
SPARE = 1.1  # room on disk for files larger than the first batch lets expect
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PrepareReport:
    """What was made; the first six are the keys of ``prepare --json``.

    Args:
        sha256: fingerprint of the tokens, as in meta.json.
        reused: the folder held this very dataset already.
        skipped: files left out; nulls: rows left out because they hold no text.
        replaced: places that were not UTF-8 and became U+FFFD.
    """

    train_tokens: int
    val_tokens: int
    vocab_size: int
    dtype: str
    sha256: str
    seconds: float
    path: str
    tokenizer: str
    source: str
    reused: bool
    documents: int
    characters: int
    skipped: int
    nulls: int
    replaced: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def prepare(
    source: Source,
    out: Path,
    tokenizer_name: str,
    val_fraction: float = 0.1,
    overwrite: bool = False,
    progress: Progress | None = None,
    *,
    max_samples: int | None = None,
    val_samples: int | None = None,
    workers: int | None = None,
) -> PrepareReport:
    """Encode a text into ``out/{train,val}.bin`` with meta.json and the tokenizer beside them.

    Args:
        tokenizer_name: char, byte, bpe-N, gpt2, cl100k, o200k, or a folder with a saved tokenizer.
        val_fraction: share of validation; without effect where the source or val_samples says what is validation.
        progress: called with (characters done, characters in all).
        max_samples: only so many training documents, the first ones.
        val_samples: the first so many documents are validation.
        workers: processes that encode; None = one for each core, where there is enough text for them.

    Raises:
        UserError: the request makes no sense, or ``out`` holds another dataset and overwrite is off.
        DataError: the text is not text, or too short; nothing is left behind.
    """
    began = time.perf_counter()
    if not 0 < val_fraction < 1:
        raise UserError(f"val_fraction={val_fraction}: must be between 0 and 1 (exclusive); try 0.1")
    reads = what_it_reads(tokenizer_name)
    source, chosen = _chosen(source, val_fraction, max_samples, val_samples)
    known = make_tokenizer(tokenizer_name) if reads == "nothing" else None
    with staging(out) as aside:
        found = survey(source, reads)
        if not found.characters:
            raise DataError(f"{source.description}: holds no text")
        options = {
            **chosen,
            "replaced": source.replaced,
            "tokenizer_sha256": _fingerprint(known, aside) if known else None,
        }
        name = known.name if known else tokenizer_name
        meta = _same_dataset(out, found, name, options)
        reused = meta is not None and _is_whole(out) and not overwrite
        if not reused:
            if meta is None and not overwrite and is_dataset(out):
                raise UserError(
                    f"{out}: holds another dataset already; --overwrite replaces it, --name NAME keeps both"
                )
            tokenizer = known or _learned(tokenizer_name, reads, found, val_fraction)
            if workers is None:
                from gptmill.data.encoder import cores

                workers = cores() if found.characters > FEW_CHARS else 1
            meta = _write(source, aside, tokenizer, found, val_fraction, options, workers, progress)
            publish(aside)
    assert meta is not None
    return PrepareReport(
        train_tokens=meta.train.tokens,
        val_tokens=meta.val.tokens,
        vocab_size=meta.vocab_size,
        dtype=meta.dtype,
        sha256=meta.sha256,
        seconds=time.perf_counter() - began,
        path=str(out),
        tokenizer=meta.tokenizer,
        source=meta.source,
        reused=reused,
        documents=found.documents,
        characters=found.characters,
        skipped=source.skipped,
        nulls=source.nulls,
        replaced=source.replaced,
    )


def _chosen(
    source: Source, val_fraction: float, max_samples: int | None, val_samples: int | None
) -> tuple[Source, dict[str, Any]]:
    """The documents asked for, and how they are asked for, as meta.json keeps it."""
    chosen: dict[str, Any] = {"val_fraction": None if source.own_split or val_samples else val_fraction}
    if val_samples is not None:
        source = FirstAreValidation(source, val_samples)
        chosen["val_samples"] = val_samples
    if max_samples is not None:
        if not source.one_text:  # there, rows are counted where they are read
            source = FirstDocuments(source, max_samples, val_fraction)
        chosen["max_samples"] = max_samples
    return source, chosen


def _write(
    source: Source,
    aside: Path,
    tokenizer: Tokenizer,
    found: Survey,
    val_fraction: float,
    options: dict[str, Any],
    workers: int,
    progress: Progress | None,
) -> Meta:
    """The second pass: every member of the dataset into the staging folder."""
    from gptmill.data.encoder import encoded
    from gptmill.data.shards import SplitWriter

    (aside / "tokenizer").mkdir()
    tokenizer.save(aside / "tokenizer")
    dtype = dtype_for(tokenizer.vocab_size)
    seen = Fingerprint()
    done = 0
    with (
        SplitWriter(aside / "train.bin", dtype, tokenizer.vocab_size) as train,
        SplitWriter(aside / "val.bin", dtype, tokenizer.vocab_size) as val,
    ):
        batches = _batches(source, Splitter(found, val_fraction), seen, found, tokenizer.end_of_text is None)
        for batch, train_ids, val_ids in encoded(batches, tokenizer, aside / "tokenizer", workers):
            if not done:
                per_character = (len(train_ids) + len(val_ids)) * ITEM_BYTES[dtype] / max(1, batch.characters)
                _check_room(aside, per_character * found.characters)
            train.append(train_ids)
            val.append(val_ids)
            done += batch.characters
            if progress:
                progress(min(done, found.characters), found.characters)
        splits = train.finish(), val.finish()
    if seen.hexdigest() != found.sha256:
        raise DataError(f"{source.description}: changed while it was being read; prepare again when it is at rest")
    if not all(split.tokens for split in splits):
        raise DataError(f"{source.description}: too short to have a training and a validation part; add text")
    meta = Meta(tokenizer.name, tokenizer.vocab_size, dtype, *splits, source.description, found.sha256, options)
    (aside / "meta.json").write_text(meta.dumps(), encoding="utf-8")
    return meta


def _check_room(aside: Path, expected: float) -> None:
    """Raises UserError before hours of work end at a full disk."""
    free = shutil.disk_usage(aside).free
    if expected * SPARE > free:
        raise UserError(
            f"{aside.parent}: the token files will need about {units.size(expected)} and {units.size(free)} are free; "
            f"free space or choose --data_dir"
        )


def _batches(
    source: Source, splitter: Splitter, seen: Fingerprint, found: Survey, break_lines: bool
) -> Iterator[Batch]:
    """The text in order, about BATCH_CHARS characters at a time.

    Args:
        break_lines: the tokenizer has no end-of-text, so a line break keeps documents apart.
    """
    from gptmill.data.encoder import ENDS, VALIDATION, Batch

    apart = found.documents > 1 and not source.one_text
    batch, size = Batch(), 0
    for piece in source.pieces():
        seen.add(piece)
        for split, text in splitter.parts(piece):
            ends = apart and piece.last
            if ends and break_lines and not text.endswith("\n"):
                text += "\n"
            batch.texts.append(text)
            batch.marks.append(VALIDATION * (split == "val") + ENDS * (ends and not break_lines))
            size += len(text)
        if size >= BATCH_CHARS:
            yield batch
            batch, size = Batch(), 0
    if batch.texts:
        yield batch


def _learned(name: str, reads: str, found: Survey, val_fraction: float) -> Tokenizer:
    """char sees every character, as nanoGPT's; a BPE vocabulary is learned from training text only."""
    if reads == "all":
        return make_tokenizer(name, [found.alphabet])
    splitter = Splitter(found, val_fraction)
    return make_tokenizer(
        name, [text for piece in found.sample for split, text in splitter.parts(piece) if split == "train"]
    )


def _same_dataset(out: Path, found: Survey, name: str, options: dict[str, Any]) -> Meta | None:
    """The header in ``out`` if it describes what is being asked for, or None."""
    try:
        meta = read_meta(out)
    except DataError:
        return None
    same = meta and (meta.source_sha256, meta.tokenizer, meta.options) == (found.sha256, name, options)
    return meta if same else None


def _is_whole(out: Path) -> bool:
    """False after an exchange that was cut short; then the same dataset may be written again without asking."""
    from gptmill.data.shards import open_tokens
    from gptmill.data.tokenizers import load_tokenizer

    try:
        for name in ("train.bin", "val.bin"):
            open_tokens(out / name).verify_all()
        load_tokenizer(out / "tokenizer")
    except DataError:
        return False
    return True


def _fingerprint(tokenizer: Tokenizer, aside: Path) -> str:
    folder = aside / "fingerprint"
    folder.mkdir()
    tokenizer.save(folder)
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        path.unlink()
    folder.rmdir()
    return digest.hexdigest()
