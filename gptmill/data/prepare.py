"""Text in, token shards out: two passes in bounded memory, the same bytes every time.

The first pass (``survey.py``) measures and fingerprints the text, the second (``encode.py``) encodes it.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill.data.layout import is_dataset
from gptmill.data.meta import Meta, dtype_for, read_meta
from gptmill.data.room import room_for_the_least
from gptmill.data.sources import FirstAreValidation, FirstDocuments, Source
from gptmill.data.staging import publish, staging
from gptmill.data.survey import Splitter, Survey, survey
from gptmill.data.tokenizers import Tokenizer, make_tokenizer, what_it_reads
from gptmill.errors import DataError, UserError

if TYPE_CHECKING:
    from gptmill.data.encode import Progress
    from gptmill.data.overlap import Overlap


@dataclass(frozen=True)
class PrepareReport:
    """What was made; the first six are the keys of ``prepare --json``.

    Args:
        sha256: fingerprint of the tokens, as in meta.json.
        counted_tokens: training tokens that count as targets where prompts are only read; None = all.
        reused: the folder held this very dataset already.
        skipped: files left out; nulls: rows left out because they hold no text.
        replaced: places that were not UTF-8 and became U+FFFD.
        val_windows: of 64 validation tokens, sampled; val_windows_in_train: those that are training text too.
        remark: what a person should know of the tokens, or None.
    """

    train_tokens: int
    val_tokens: int
    vocab_size: int
    dtype: str
    sha256: str
    seconds: float
    counted_tokens: int | None
    path: str
    tokenizer: str
    source: str
    reused: bool
    documents: int
    characters: int
    skipped: int
    nulls: int
    replaced: int
    val_windows: int
    val_windows_in_train: int
    remark: str | None

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
) -> PrepareReport:
    """Encode a text into ``out/{train,val}.bin`` with meta.json and the tokenizer beside them.

    Args:
        tokenizer_name: char, byte, bpe-N, gpt2, cl100k, o200k, or a folder with a saved tokenizer.
        val_fraction: share of validation; without effect where the source or val_samples says what is validation.
        progress: called with (characters done, characters in all).
        max_samples: only so many training documents, the first ones.
        val_samples: the first so many documents are validation.

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
        if not is_dataset(out):  # else it may be this very one, and need no room
            room_for_the_least(aside, source.description, source.text_bytes)
        found = survey(source, reads)
        if not found.characters:
            raise DataError(f"{source.description}: holds no text")
        if source.completions and found.documents < 2:
            raise DataError(f"{source.description}: one example; one to train on and one to validate are the least")
        options = {
            **chosen,
            "replaced": source.replaced,
            "tokenizer_sha256": _fingerprint(known, aside) if known else None,
        }
        name = known.name if known else tokenizer_name
        meta = _same_dataset(out, found, name, options)
        reused = meta is not None and not overwrite and _is_whole(out)
        if not reused:
            if meta is None and not overwrite and is_dataset(out):
                raise UserError(
                    f"{out}: holds another dataset already; --overwrite replaces it, --name NAME keeps both"
                )
            tokenizer = known or _learned(tokenizer_name, reads, found, val_fraction)
            meta = _written(source, aside, tokenizer, found, val_fraction, options, progress)
            publish(aside)
    assert meta is not None
    same = _overlap(out)
    return PrepareReport(
        train_tokens=meta.train.tokens,
        val_tokens=meta.val.tokens,
        vocab_size=meta.vocab_size,
        dtype=meta.dtype,
        sha256=meta.sha256,
        seconds=time.perf_counter() - began,
        counted_tokens=meta.train.counted,
        path=str(out),
        tokenizer=meta.tokenizer,
        source=meta.source,
        reused=reused,
        documents=found.documents,
        characters=found.characters,
        skipped=source.skipped,
        nulls=source.nulls,
        replaced=source.replaced,
        val_windows=same.windows,
        val_windows_in_train=same.found,
        remark=same.notice(),
    )


def _chosen(
    source: Source, val_fraction: float, max_samples: int | None, val_samples: int | None
) -> tuple[Source, dict[str, Any]]:
    """The documents asked for, and how they are asked for, as meta.json keeps it."""
    chosen: dict[str, Any] = {"val_fraction": None if source.own_split or val_samples else val_fraction}
    if source.completions:
        chosen["completions"] = True
    if val_samples is not None:
        source = FirstAreValidation(source, val_samples)
        chosen["val_samples"] = val_samples
    if max_samples is not None:
        if not source.one_text:  # there, rows are counted where they are read
            source = FirstDocuments(source, max_samples, val_fraction)
        chosen["max_samples"] = max_samples
    return source, chosen


def _written(
    source: Source,
    aside: Path,
    tokenizer: Tokenizer,
    found: Survey,
    val_fraction: float,
    options: dict[str, Any],
    progress: Progress | None,
) -> Meta:
    """Every member of the dataset into the staging folder."""
    from gptmill.data.encode import write_splits

    (aside / "tokenizer").mkdir()
    tokenizer.save(aside / "tokenizer")
    splits = write_splits(source, aside, tokenizer, found, val_fraction, progress)
    dtype = dtype_for(tokenizer.vocab_size)
    meta = Meta(tokenizer.name, tokenizer.vocab_size, dtype, *splits, source.description, found.sha256, options)
    (aside / "meta.json").write_text(meta.dumps(), encoding="utf-8")
    return meta


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


def _overlap(out: Path) -> Overlap:
    from gptmill.data.overlap import overlap
    from gptmill.data.shards import open_tokens

    return overlap(open_tokens(out / "train.bin"), open_tokens(out / "val.bin"))


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
