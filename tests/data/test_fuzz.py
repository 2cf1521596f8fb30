"""Two thousand and more hostile files. Each either works, and then gives exactly what its bytes say, or is refused as one
GptmillError that names the file; in bounded memory and time, whatever a header claims.

What a file should give is worked out here with struct, bytes.decode and json, without the code under test.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import shutil
import struct
import time
import tracemalloc
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptmill.data.batches import fixed_batches
from gptmill.data.facts import facts_notice, read_facts
from gptmill.data.inputs import text_files
from gptmill.data.meta import read_meta
from gptmill.data.prepare import prepare
from gptmill.data.shards import open_tokens
from gptmill.errors import GptmillError
from tests.data.toys import bare, blocks, in_one_folder, llmc_file

MORE = int(os.environ.get("GPTMILL_FUZZ", "1"))  # times as many, in benchmarks/reliability_inputs
CASES = {
    kind: n * MORE for kind, n in {"llm.c": 640, "meta.json": 240, "text": 320, "jsonl": 320, "parquet": 480}.items()
}
MOST_BYTES = 16 * 2**20  # of Python and numpy memory in one case; the longest input has 1 MiB
MOST_RSS = 256 * 2**20  # that the whole process grows by over all cases of a kind; this counts Arrow's memory too
MOST_SECONDS = 2.0  # of CPU in one case, with tracemalloc, which slows a run of spaces ten times
Result = TypeVar("Result")
END_OF_TEXT = 256  # of the byte tokenizer


def test_there_are_two_thousand_cases():
    assert sum(CASES.values()) >= 2000


class Bench:
    """Runs cases and holds the bounds over them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.cases = self.worked = 0
        self._rss = _rss()

    def outcome(self, names: str, do: Callable[[], Result]) -> Result | None:
        """What ``do`` gives, or None when it raises the one error it may."""
        tracemalloc.start()
        began = time.process_time()
        try:
            result = do()
        except GptmillError as error:
            assert error.exit_code in (2, 3) and "(None)" not in str(error), error
            assert names in str(error) and all(0 < len(line) < 2000 and "\n" not in line for line in error.problems)
            return None
        finally:
            seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.cases += 1
            assert seconds < MOST_SECONDS and peak < MOST_BYTES, (seconds, peak)
        self.worked += 1
        return result

    def close(self, counted: Callable[[int, str], None]) -> None:
        counted(self.cases, "token headers and texts, worked or refused")
        assert self.cases >= CASES[self.kind]
        assert self.worked > self.cases // 20 and self.cases - self.worked > self.cases // 20, (
            "one-sided: proves little"
        )
        assert _rss() - self._rss < MOST_RSS


def _rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def runs(kind: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(in_one_folder, max_examples=CASES[kind])


def mutated(rng: random.Random, raw: bytes, tail: int = 0) -> bytes:
    """Bits flipped, bytes cut off, put in or added; half of the flips fall on the last ``tail`` bytes."""
    data = bytearray(raw)
    for _ in range(rng.choice([0, 1, 1, 2, 8])):
        if data:
            start = max(0, len(data) - tail) if tail and rng.random() < 0.5 else 0
            data[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)
    change, place = rng.randrange(8), rng.randrange(rng.choice([len(data), min(len(data), 16)]) + 1)
    if change == 0:
        del data[place:]
    elif change == 1:
        data += rng.randbytes(rng.choice([1, 2, 4, 100]))
    elif change == 2:
        data[place:place] = rng.randbytes(rng.choice([1, 2, 4]))
    return bytes(data)


# ---- token files

odd_int32 = st.sampled_from([0, 1, 2, 7, -1, -(2**31), 2**31 - 1, 2**30, 20240520, 20240521, 20240522, 20240801])


@st.composite
def llmc_bytes(draw: st.DrawFn) -> bytes:
    """A file that llm.c could have written, with up to three fields of its header replaced, then mutated."""
    magic, version, letter = draw(st.sampled_from([(20240520, 1, "H"), (20240520, 1, "H"), (20240801, 7, "I")]))
    ids = draw(st.lists(st.integers(0, 50_256) | st.integers(0, 65_535), max_size=40))
    header = [magic, version, len(ids), *[0] * 253]
    for place in draw(st.lists(st.sampled_from([0, 1, 2, 2, 3, 255]), max_size=2)):
        header[place] = draw(odd_int32 | st.integers(-(2**31), 2**31 - 1))
    raw = struct.pack("<256i", *header) + struct.pack(f"<{len(ids)}{letter}", *ids)
    return mutated(random.Random(draw(st.integers(0, 2**32))), raw, len(raw)) if draw(st.booleans()) else raw


def as_llmc(raw: bytes) -> tuple[str, list[int]] | None:
    """What llm.c's rules say of a file: tokenizer and ids, or None."""
    kinds = {20240520: ("gpt2", 1, "H", 2), 20240801: ("llama-3", 7, "I", 4)}
    if len(raw) < 1024:
        return None
    magic, version, count = struct.unpack("<3i", raw[:12])
    name, its_version, letter, width = kinds.get(magic, ("", None, "", 0))
    if version != its_version or count <= 0 or len(raw) != 1024 + count * width:
        return None
    return name, list(struct.unpack(f"<{count}{letter}", raw[1024:]))


def as_nanogpt(raw: bytes) -> list[int] | None:
    """The same file read as nanoGPT does, which has no header; None when that cannot be."""
    known = [struct.pack("<i", magic) for magic in (20240520, 20240801, 20240522)]
    if not raw or len(raw) % 2 or raw[:4] in known:
        return None
    return list(struct.unpack(f"<{len(raw) // 2}H", raw))


def test_llmc_headers(tmp_path, counted):
    bench = Bench("llm.c")

    @runs("llm.c")
    @given(raw=llmc_bytes(), sharded=st.booleans())
    def case(raw: bytes, sharded: bool) -> None:
        folder = tmp_path / "d"
        shutil.rmtree(folder, ignore_errors=True)
        first = [5, 6, 7] if sharded else []
        if sharded:
            llmc_file(folder / "x_train_000001.bin", first)
        llmc_file(folder / ("x_val_000000.bin" if sharded else "val.bin"), [1, 2, 3])
        path = folder / ("x_train_000002.bin" if sharded else "train.bin")
        path.write_bytes(raw)

        found = as_llmc(raw)
        expected = found[1] if found else None if sharded else as_nanogpt(raw)
        if sharded and found and found[0] != "gpt2":
            expected = None
        ids = bench.outcome(path.name, lambda: _all_ids(folder / "train.bin"))
        assert ids == (None if expected is None else first + expected)
        try:
            facts = read_facts(str(tmp_path), "d")
            assert found and found[0] == "gpt2" and (facts.train_tokens, facts.val_tokens) == (len(ids or []), 3)
            assert facts_notice(facts)
        except GptmillError as error:
            assert str(folder) in str(error) and not (found and found[0] == "gpt2")
        if expected is not None and len(first + expected) > 1:
            high = max(first + expected)
            assert (_trains_on(folder, 50_304) is None) == (high >= 50_304)

    case()
    bench.close(counted)


def _all_ids(path: Path) -> list[int]:
    tokens = open_tokens(path)
    return tokens.windows(1)[np.arange(len(tokens))].ravel().tolist()


def _trains_on(folder: Path, vocab_size: int) -> np.ndarray | None:
    try:
        return fixed_batches(open_tokens(folder / "train.bin", vocab_size), 1, seed=1, n=2000)
    except GptmillError as error:
        assert ".bin: token id" in str(error)
        return None


def test_meta_json_and_the_files_it_promises(tmp_path, counted):
    bench = Bench("meta.json")
    ids, val = [n * 7 % 257 for n in range(100)], [3, 1, 2]
    huge = st.sampled_from(
        ["0", "-1", str(2**60), str(2**60 + 1), "1e400", "9" * 5000, "[" * 3000, '"x"', "null", "true"]
    )

    @runs("meta.json")
    @given(
        seed=st.integers(0, 2**32), value=huge, what=st.sampled_from(["meta", "number", "train.bin", "both", "none"])
    )
    def case(seed: int, value: str, what: str) -> None:
        folder, rng = tmp_path / "d", random.Random(seed)
        shutil.rmtree(folder, ignore_errors=True)
        blocks(folder, ids, val, 257, 64, "uint16")
        meta, data = (folder / "meta.json").read_bytes(), (folder / "train.bin").read_bytes()
        if what in ("meta", "both"):
            meta = mutated(rng, meta)
        elif what == "number":
            numbers = [b'"tokens": 100', b'"vocab_size": 257', b'"block_bytes": 64', b'"max_id": 256', b'"version": 1']
            key = rng.choice(numbers)
            meta = meta.replace(key, key.split(b":")[0] + b": " + value.encode())
        if what in ("train.bin", "both"):
            data = mutated(rng, data)
        (folder / "meta.json").write_bytes(meta)
        (folder / "train.bin").write_bytes(data)

        def read() -> list[int]:
            tokens = open_tokens(folder / "train.bin")
            tokens.verify_all()
            read_facts(str(tmp_path), "d")
            return _all_ids(folder / "train.bin")

        assert bench.outcome(str(folder), read) in (None, ids)  # hashes: damage is never read as something else
        if what == "none":
            assert read() == ids and read_meta(folder)

    case()
    bench.close(counted)


def test_a_header_that_claims_four_gigabytes_of_a_file_with_holes_costs_no_memory(tmp_path):
    path = llmc_file(tmp_path / "train.bin", [], count=2**31 - 1)
    with path.open("r+b") as file:
        file.truncate(1024 + 2 * (2**31 - 1))
    before = _rss()
    tokens = open_tokens(path)
    assert len(tokens) == 2**31 - 1 and tokens.windows(3)[np.array([0, 2**31 - 4])].tolist() == [[0] * 3] * 2
    assert _rss() - before < 32 * 2**20


# ---- texts

snippets = st.one_of(
    st.text(max_size=12).map(lambda text: text.encode("utf-8", "surrogatepass")),  # lone surrogates as well
    st.binary(max_size=6),
    st.sampled_from(
        [b"\xef\xbb\xbf", b"\0", b"\r\n", b"\n", b"\x1b[2J", b"\xff\xfe", b"\xf4\x90\x80\x80", b"\xc0\x80"]
    ),
)
huge_runs = st.tuples(
    st.sampled_from([b"a", b" ", b"\n", b"\xc3\xa9", b"\0", b"<|endoftext|>", b"\xff"]),
    st.sampled_from([1000, 300_000]),
).map(lambda run: run[0] * (run[1] // len(run[0]) + 1))
rubbish = st.tuples(
    st.lists(snippets, max_size=4), st.lists(huge_runs, max_size=1), st.lists(snippets, max_size=2)
).map(lambda parts: b"".join(chain(*parts)))
mostly_text = st.lists(st.text(max_size=20).map(str.encode), max_size=5).map(b"".join)


def documents_of(folder: Path) -> list[bytes]:
    """The documents in both splits of a dataset made with the byte tokenizer, whose ids are the bytes."""
    found: list[bytes] = []
    for split in ("train", "val"):
        ids = np.fromfile(folder / f"{split}.bin", np.uint16)
        parts = np.split(ids, np.flatnonzero(ids == END_OF_TEXT))
        found += [bytes(part[part != END_OF_TEXT].astype(np.uint8)) for part in parts]
    return found


def prepared(bench: Bench, path: Path, errors: str = "strict") -> Path | None:
    out = path.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    report = bench.outcome(path.name, lambda: prepare(text_files([path], errors), out, "byte"))
    assert (report is None) == (not out.exists())
    return report and out


@pytest.fixture
def quick_disk(monkeypatch):
    """Whether the disk has it is another test's matter, and takes most of the time here."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.mark.usefixtures("quick_disk")
def test_text_files(tmp_path, counted):
    bench = Bench("text")

    @runs("text")
    @given(raw=mostly_text | rubbish, errors=st.sampled_from(["strict", "replace"]))
    def case(raw: bytes, errors: str) -> None:
        (tmp_path / "a.txt").write_bytes(raw)
        out = prepared(bench, tmp_path / "a.txt", errors)
        try:
            text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors)
        except UnicodeDecodeError:
            text = ""
        assert (out is not None) == (len(text) > 1)  # one character cannot be split in two parts
        assert out is None or b"".join(documents_of(out)) == text.encode()

    case()
    bench.close(counted)


json_lines = st.one_of(
    st.text(max_size=30).map(lambda text: json.dumps({"text": text}).encode()),
    st.text(max_size=30).map(
        lambda text: json.dumps({"n": 1.5, "text": text}, ensure_ascii=False).encode("utf-8", "replace")
    ),
    st.sampled_from([b"", b"  ", b'{"text": "crlf"}\r', b'{"text": "a", "text": "b"}', b'{"text": "x", "n": NaN}']),
)
bad_lines = st.one_of(
    st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"")),
    st.sampled_from([1000, 200_000]).map(lambda n: b"[" * n),
    st.sampled_from([1000, 200_000]).map(lambda n: b'{"text":' * n),
    st.sampled_from([
        b'{"text": "\\ud800"}', b'{"text": "\\udc00\\ud800"}', b'{"text": 5}', b'{"text": null}', b"[]", b"null", b'"text"',
        b'{"text": "a"', b'{"text": "a"} x', b'{"n": ' + b"9" * 5000 + b', "text": "x"}', b'{"texts": "a"}', b"\0", b"\xef\xbb\xbf{}",
        b'{"text": "' + b"a" * 400_000 + b'"}', b'{"text": "\xed\xa0\x80"}', b"NaN", b'{"text": "\0"}',
    ]),
)  # fmt: skip


def as_jsonl(raw: bytes) -> list[str] | None:
    """The documents of a .jsonl file, or None when a line has none."""
    found = []
    for line in raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if line.strip():
            try:
                text = json.loads(line.decode())["text"]
                text.encode()
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                return None
            found += [text] if text else []
    return found


@pytest.mark.usefixtures("quick_disk")
def test_jsonl_files(tmp_path, counted):
    bench = Bench("jsonl")

    @runs("jsonl")
    @given(lines=st.lists(json_lines, max_size=6), bad=st.none() | bad_lines, bom=st.booleans())
    def case(lines: list[bytes], bad: bytes | None, bom: bool) -> None:
        raw = b"\xef\xbb\xbf" * bom + b"\n".join(lines if bad is None else [*lines[:2], bad, *lines[2:]])
        (tmp_path / "a.jsonl").write_bytes(raw)
        out = prepared(bench, tmp_path / "a.jsonl")
        expected = as_jsonl(raw)
        assert (out is not None) == (expected is not None and len("".join(expected[:2])) > (len(expected) == 1))
        if out and expected and len(expected) > 1:
            assert sorted(filter(None, documents_of(out))) == sorted(text.encode() for text in expected)
        elif out and expected:
            assert b"".join(documents_of(out)) == expected[0].encode()

    case()
    bench.close(counted)


def parquet_files() -> list[bytes]:
    """One table in the forms that writers of Parquet choose."""
    rows = [f"document {n}, être\n" * (n % 7 + 1) if n % 11 else None for n in range(40)]
    table = pa.table({"id": list(range(40)), "text": rows})
    forms: list[dict[str, object]] = [
        {}, {"compression": "zstd", "use_dictionary": False}, {"compression": "none", "row_group_size": 7},
        {"compression": "gzip", "data_page_version": "2.0"}, {"compression": "brotli", "write_page_checksum": True},
    ]  # fmt: skip
    made = []
    for form in forms:
        file = io.BytesIO()
        pq.write_table(table, file, **form)
        made.append(file.getvalue())
    return made


def test_parquet_files(tmp_path, counted):
    bench, clean = Bench("parquet"), parquet_files()
    path = tmp_path / "a.parquet"

    @runs("parquet")
    @given(form=st.sampled_from(clean), seed=st.integers(0, 2**32), junk=st.none() | st.binary(max_size=40))
    def case(form: bytes, seed: int, junk: bytes | None) -> None:
        raw = mutated(random.Random(seed), form, tail=700) if junk is None else b"PAR1" + junk + b"PAR1"
        path.write_bytes(raw)
        source = text_files([path], "replace")
        texts = bench.outcome(path.name, lambda: _documents(source))
        if texts is not None:  # Arrow's own whole-file reader agrees; a flip inside a page without a checksum is text
            column = pq.ParquetFile(path).read(columns=["text"])["text"].cast(pa.binary()).to_pylist()
            assert texts == [row.decode("utf-8", "replace") for row in column if row]
            assert source.nulls == column.count(None)
        assert texts is not None or raw != form

    case()
    bench.close(counted)


def _documents(source: object) -> list[str]:
    found: dict[str, str] = {}
    for piece in source.pieces():  # type: ignore[attr-defined]
        found[piece.key] = found.get(piece.key, "") + piece.text
    return list(found.values())


def test_nanogpt_files_are_read_as_their_bytes_say(tmp_path):
    folder = bare(tmp_path / "d", [1, 65_535, 0], [1, 2])
    assert as_nanogpt((folder / "train.bin").read_bytes()) == _all_ids(folder / "train.bin") == [1, 65_535, 0]
