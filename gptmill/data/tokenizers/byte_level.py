"""Byte-level byte-pair encoding as Hugging Face's ``tokenizers`` runs it, where it is not in GPT-2's form.

That of Llama 3, Qwen, GPT-NeoX and of most vocabularies learned with that library: other cuts between words, ids in another
order, further tokens. The library's own file is kept and asked, so that the ids are the ones the model was trained with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptmill.data.tokenizers.base import TOKENIZERS, Tokenizer, join, look_up, valid
from gptmill.data.tokenizers.bpe import LARGEST_VOCABULARY, printable_bytes
from gptmill.errors import UserError
from gptmill.plain import read_plain

if TYPE_CHECKING:
    import numpy as np

KIND, FILE = "byte_level", "huggingface.json"
CUTS = ("ByteLevel", "Split", "Digits", "Punctuation")  # pre-tokenizers that lose nothing of a text
KEEPS = (None, "NFC")  # normalizers after which a text is still that text


class ByteLevelTokenizer:
    """Args: raw: a tokenizer.json of that library's. end: the token that ends a text, if one does.

    Raises:
        ValueError: it is no byte-level byte-pair encoding, or one that adds to a text or takes from it.
    """

    def __init__(self, raw: str, end: str | None) -> None:
        from tokenizers import Tokenizer as Theirs

        _check(json.loads(raw))
        try:
            self._theirs = Theirs.from_str(raw)
        except Exception as error:  # the library's own kind of error is Exception
            raise ValueError(f"the tokenizers library does not read it: {error}") from None
        self._theirs.no_truncation()
        self._theirs.no_padding()
        self._theirs.encode_special_tokens = True  # in text they are ordinary characters, as everywhere here
        ids, added = self._theirs.get_vocab(with_added_tokens=True), self._theirs.get_added_tokens_decoder()
        self.vocab_size = max(ids.values()) + 1
        if self.vocab_size > LARGEST_VOCABULARY:
            raise ValueError(f"it has an id of {self.vocab_size - 1:,}")
        self.end_of_text: int | None = ids.get(end) if end is not None else None
        byte_of = {char: byte for byte, char in printable_bytes().items()}
        if not byte_of.keys() <= ids.keys():
            raise ValueError("some bytes have no id")
        self._pieces = [b""] * self.vocab_size
        for token, number in ids.items():
            known = number not in added and all(char in byte_of for char in token)
            self._pieces[number] = bytes(byte_of[char] for char in token) if known else token.encode()
        self._raw, self._end = raw, end
        self.name = f"{KIND}-{hashlib.sha256(json.dumps([raw, end]).encode()).hexdigest()[:8]}"

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._theirs.encode(valid(text), add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        import numpy as np

        found = self._theirs.encode_batch_fast([valid(text) for text in texts], add_special_tokens=False)
        return [np.array(one.ids, dtype=np.int64) for one in found]

    def decode(self, ids: Iterable[int]) -> str:
        return join(self._pieces, ids)

    def piece(self, token: int) -> bytes:
        return look_up(self._pieces, token)

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(self._raw, encoding="utf-8")
        digest = hashlib.sha256(self._raw.encode()).hexdigest()
        body = {"kind": KIND, "name": self.name, "end_of_text": self._end, "sha256": digest}
        (folder / "tokenizer.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")

    def theirs(self) -> tuple[str, str | None]:
        """The library's file, and the token that ends a text."""
        return self._raw, self._end


def _check(body: Any) -> None:
    """Raise ValueError for what is of another kind, or would be with text cut into pieces."""
    model = body.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        raise ValueError("its model is not BPE")
    if model.get("dropout") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise ValueError("its BPE drops merges or marks words")
    if (changed := (body.get("normalizer") or {}).get("type")) not in KEEPS:
        raise ValueError(f"its normalizer {changed} changes text")
    cuts = _parts(body.get("pre_tokenizer"), "pretokenizers")
    if strange := [cut.get("type") for cut in cuts if cut.get("type") not in CUTS or cut.get("behavior") == "Removed"]:
        raise ValueError(f"its pre-tokenizer {strange[0]} is not one of bytes")
    levels = [cut for cut in cuts if cut["type"] == "ByteLevel"]
    if not levels or any(level.get("add_prefix_space") for level in levels):
        raise ValueError("it puts a space before a text" if levels else "its pre-tokenizer is not one of bytes")
    if [part.get("type") for part in _parts(body.get("decoder"), "decoders")] != ["ByteLevel"]:
        raise ValueError("its decoder is not one of bytes")


def _parts(part: Any, several: str) -> list[dict[str, Any]]:
    if part is None:
        return []
    return list(part[several]) if part.get("type") == "Sequence" else [part]


@TOKENIZERS.register(KIND)
class ByteLevelKind:
    reads = "nothing"

    @staticmethod
    def check(argument: str) -> None:
        raise UserError(f"tokenizer={KIND}: belongs to a model; name the folder of one: --tokenizer FOLDER")

    @staticmethod
    def trained(argument: str, texts: Iterable[str]) -> Tokenizer:
        raise AssertionError("check refuses it")

    @staticmethod
    def loaded(folder: Path, body: dict[str, object]) -> Tokenizer:
        raw, end = read_plain(folder / FILE), body["end_of_text"]
        if hashlib.sha256(raw).hexdigest() != body["sha256"]:
            raise ValueError(f"{FILE} is damaged: its SHA-256 is not the recorded one")
        return ByteLevelTokenizer(raw.decode(), end if isinstance(end, str) else None)
