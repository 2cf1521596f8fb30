"""meta.json: what a dataset folder promises about its token files. Readable without numpy, so that a plan starts at once.

data/<name>/train.bin  val.bin     raw little-endian uint16 or uint32 ids, nothing else
train.mask  val.mask               where prompts are only read: a byte for each id, 1 = it counts as a target
            meta.json              this header
            tokenizer/             all that is needed to encode and decode
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gptmill.errors import DataError
from gptmill.plain import read_plain

FORMAT = "gptmill-tokens"
VERSION = 1
BLOCK_BYTES = 64 * 2**20  # a block is what one SHA-256 covers and what a first touch has to read
ITEM_BYTES = {"uint16": 2, "uint32": 4}
MASK_DTYPE = "uint8"
SPLITS = ("train", "val")
LARGEST_META = 64 * 2**20  # [bytes]; the hashes of 40 TB of tokens fit


def dtype_for(vocab_size: int) -> str:
    """The narrowest dtype that holds every id below vocab_size: nanoGPT's uint16 wraps silently above 65,536."""
    return "uint16" if vocab_size <= 2**16 else "uint32"


@dataclass(frozen=True)
class SplitMeta:
    """One .bin file. ``sha256`` has one hex digest per block, the last block may be short.

    Args:
        counted: ids that count as targets; None = all, and there is no .mask.
        mask_sha256: of the .mask, as ``sha256``.
    """

    tokens: int
    max_id: int
    sha256: tuple[str, ...]
    counted: int | None = None
    mask_sha256: tuple[str, ...] = ()


@dataclass(frozen=True)
class Meta:
    """The header of one dataset.

    Args:
        source: where the text came from, for people.
        source_sha256: fingerprint of the text and how it was cut into documents; decides whether a dataset is reused.
        options: how the text was prepared (val_fraction, errors, ...), for reuse and for people.
    """

    tokenizer: str
    vocab_size: int
    dtype: str
    train: SplitMeta
    val: SplitMeta
    source: str
    source_sha256: str
    options: dict[str, Any] = field(default_factory=dict)
    block_bytes: int = BLOCK_BYTES

    @property
    def sha256(self) -> str:
        """Fingerprint of the tokens: covers every number the reader relies on, so a damaged header shows as well."""
        lines = [f"{FORMAT} {VERSION} {self.dtype} {self.vocab_size} {self.block_bytes}"]
        for name in SPLITS:
            split: SplitMeta = getattr(self, name)
            lines += [f"{name} {split.tokens} {split.max_id}", *split.sha256]
            if split.counted is not None:
                lines += [f"{name} mask {split.counted}", *split.mask_sha256]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def dumps(self) -> str:
        """The text of meta.json."""
        body = {"format": FORMAT, "version": VERSION, "sha256": self.sha256, **asdict(self)}
        for name in SPLITS:
            if body[name]["counted"] is None:
                del body[name]["counted"], body[name]["mask_sha256"]
        return json.dumps(body, indent=1, ensure_ascii=True) + "\n"


def read_meta(folder: Path) -> Meta | None:
    """The header of a dataset folder, or None when there is no meta.json (nanoGPT's bare files).

    Raises:
        DataError: naming the file and the first field that cannot be trusted.
    """
    path = folder / "meta.json"
    try:
        raw = read_plain(path, LARGEST_META)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    try:
        return _parse(json.loads(raw))
    except (ValueError, RecursionError) as error:
        says = "nested too deeply" if isinstance(error, RecursionError) else str(error).split("\n")[0]
        if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
            says = "damaged or cut off: it is not JSON"
        raise DataError(
            f"{path}: not a usable dataset header ({says}); put it back from a copy, or prepare the dataset again with --overwrite"
        ) from None


def _parse(body: Any) -> Meta:
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ValueError(f"no format={FORMAT!r}")
    if body.get("version") != VERSION:
        raise ValueError(f"version {body.get('version')!r:.40}, this program reads {VERSION}")
    dtype = _typed(body, "dtype", str)
    if dtype not in ITEM_BYTES:
        raise ValueError(f"dtype {dtype!r:.40} is neither uint16 nor uint32")
    vocab_size = _number(body, "vocab_size", least=1, most=2 ** (8 * ITEM_BYTES[dtype]))
    block_bytes = _number(body, "block_bytes", least=4, most=2**40)
    if block_bytes % 4:
        raise ValueError(f"block_bytes={block_bytes} does not hold whole ids")
    meta = Meta(
        tokenizer=_typed(body, "tokenizer", str),
        vocab_size=vocab_size,
        dtype=dtype,
        train=_split(body, "train", ITEM_BYTES[dtype], vocab_size, block_bytes),
        val=_split(body, "val", ITEM_BYTES[dtype], vocab_size, block_bytes),
        source=_typed(body, "source", str),
        source_sha256=_typed(body, "source_sha256", str),
        options=_typed(body, "options", dict),
        block_bytes=block_bytes,
    )
    if body.get("sha256") != meta.sha256:
        raise ValueError("its sha256 does not match its own fields: the file is damaged or was edited")
    return meta


def _typed(body: dict[str, Any], key: str, kind: type) -> Any:
    value = body.get(key)
    if type(value) is not kind:  # bool is an int to isinstance
        raise ValueError(f"{key} is missing or not a {kind.__name__}")
    return value


def _number(body: dict[str, Any], key: str, least: int, most: int) -> int:
    value: int = _typed(body, key, int)
    if not least <= value <= most:
        raise ValueError(f"{key} is outside {least}..{most}")
    return value


def _split(body: dict[str, Any], name: str, item_bytes: int, vocab_size: int, block_bytes: int) -> SplitMeta:
    split = _typed(body, name, dict)
    tokens = _number(split, "tokens", least=0, most=2**60)
    max_id = _number(split, "max_id", least=0, most=vocab_size - 1)
    found = SplitMeta(tokens, max_id, _hashes(split, "sha256", name, tokens * item_bytes, block_bytes))
    if "counted" not in split:
        return found
    counted = _number(split, "counted", least=0, most=tokens)
    return replace(found, counted=counted, mask_sha256=_hashes(split, "mask_sha256", name, tokens, block_bytes))


def _hashes(split: dict[str, Any], key: str, name: str, n_bytes: int, block_bytes: int) -> tuple[str, ...]:
    hashes = _typed(split, key, list)
    n_blocks = -(-n_bytes // block_bytes)
    if len(hashes) != n_blocks or not all(type(h) is str and len(h) == 64 for h in hashes):
        raise ValueError(f"{name}.{key} needs {n_blocks} SHA-256 digests")
    return tuple(hashes)
