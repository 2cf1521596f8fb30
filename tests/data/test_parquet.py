from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gptmill.data import texts
from gptmill.data.inputs import text_files
from gptmill.data.prepare import prepare
from gptmill.data.texts import TextFiles
from gptmill.errors import DataError, UserError

DOCUMENTS = [f"document {n}, être ou ne pas être\n" * (n % 7 + 1) for n in range(50)]
KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]


def write(path: Path, rows: list, kind: pa.DataType | None = None, name: str = "text", **options: object) -> Path:
    table = pa.table({"id": pa.array(range(len(rows))), name: pa.array(rows, kind)})
    pq.write_table(table, path, **options)
    return path


def read(source: TextFiles) -> list[tuple[str, str]]:
    documents: dict[str, str] = {}
    for piece in source.pieces():
        documents[piece.key] = documents.get(piece.key, "") + piece.text
    return list(documents.items())


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("options", [{"row_group_size": 7}, {"compression": "zstd", "use_dictionary": False}], ids=str)
def test_rows_are_documents_in_order_whatever_the_files_form(tmp_path, kind, options):
    source = text_files([write(tmp_path / "a.parquet", DOCUMENTS, kind, **options)])
    assert read(source) == [(f"0:{n + 1}", text) for n, text in enumerate(DOCUMENTS)]


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe-300"])
def test_the_same_documents_give_the_same_tokens_from_jsonl_and_from_parquet(tmp_path, tokenizer):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS)
    (tmp_path / "a.jsonl").write_text(lines)
    write(tmp_path / "a.parquet", DOCUMENTS, row_group_size=9)
    made = {
        prepare(text_files([tmp_path / f"a.{form}"]), tmp_path / form, tokenizer).sha256
        for form in ("jsonl", "parquet")
    }
    assert len(made) == 1
    assert (tmp_path / "jsonl/train.bin").read_bytes() == (tmp_path / "parquet/train.bin").read_bytes()


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe-300"])
def test_one_document_gives_the_same_tokens_from_txt_jsonl_and_parquet(tmp_path, tokenizer):
    text = "".join(DOCUMENTS)
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}))
    write(tmp_path / "a.parquet", [text])
    reports = [
        prepare(text_files([tmp_path / f"a.{form}"]), tmp_path / form, tokenizer)
        for form in ("txt", "jsonl", "parquet")
    ]
    assert len({report.sha256 for report in reports}) == 1 and reports[0].train_tokens > 0


def test_nulls_are_left_out_and_counted_and_keep_their_number(tmp_path):
    source = text_files([write(tmp_path / "a.parquet", [None, "one", None, "", "two"], pa.string())])
    assert read(source) == [("0:2", "one"), ("0:5", "two")] and source.nulls == 2
    report = prepare(source, tmp_path / "d", "byte")
    assert report.nulls == 2 and report.documents == 2  # of one pass, not of both


def test_files_of_all_kinds_mix_and_a_folders_parquet_is_no_binary(tmp_path):
    (tmp_path / "a.txt").write_text("from text")
    write(tmp_path / "b.parquet", ["from parquet"])
    (tmp_path / "c.jsonl").write_text('{"text": "from jsonl"}')
    (tmp_path / "d.png").write_bytes(b"\x89PNG\0\0")
    source = text_files([tmp_path])
    assert read(source) == [("0", "from text"), ("1:1", "from parquet"), ("2:1", "from jsonl")] and source.skipped == 1


def test_text_key_names_the_column_and_the_json_key(tmp_path):
    write(tmp_path / "a.parquet", ["one"], name="content.raw")
    (tmp_path / "b.jsonl").write_text('{"content.raw": "two", "text": "not this"}')
    source = text_files([tmp_path], text_key="content.raw")
    assert [text for _, text in read(source)] == ["one", "two"]


def broken_utf8(path: Path) -> Path:
    raw = pa.array([b"good", b"go\xffd"], pa.binary())
    table = pa.table({"text": pa.Array.from_buffers(pa.string(), 2, raw.buffers())})  # Arrow does not look at the bytes
    pq.write_table(table, path)
    return path


def test_bytes_that_are_not_utf8_are_named_by_row_or_replaced_and_counted(tmp_path):
    path = broken_utf8(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: row 2: byte 2 of the text \(0xff\) is not UTF-8"):
        read(text_files([path]))
    source = text_files([path], errors="replace")
    assert read(source) == [("0:1", "good"), ("0:2", "go\ufffdd")] and source.replaced == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda raw: b"a,b\n1,2\n", r"is not a Parquet file \(it does not begin with PAR1\)"),
        (lambda raw: b"", "is not a Parquet file"),
        (lambda raw: b"PAR1", "was cut short"),
        (lambda raw: raw[: len(raw) // 2], "was cut short"),
        (lambda raw: raw[:-1], "was cut short"),
        (lambda raw: raw[:4] + raw[-200:], "a damaged Parquet file"),
        (lambda raw: raw[:-8] + b"\xff\xff\xff\x7f" + raw[-4:], "a damaged Parquet file"),
    ],
)
def test_what_is_no_whole_parquet_file_is_one_data_error(tmp_path, change, says):
    path = write(tmp_path / "a.parquet", DOCUMENTS)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=says) as caught:
        read(text_files([path]))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_page_that_brings_a_checksum_is_held_against_it(tmp_path):
    path = write(tmp_path / "a.parquet", ["abcdefgh" * 9], compression="none", write_page_checksum=True)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"abcdefgh" * 9, b"abcdefgX" * 9))
    with pytest.raises(DataError, match=r"a damaged Parquet file .*CRC"):
        read(text_files([path]))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"body": ["a"], "n": [1]}, r"has no column 'text'; text columns: 'body'; others: 'n'; --text_key NAME"),
        ({"text": [1], "body": ["a"]}, r"holds no text in its column 'text' \('int64'\); text columns: 'body'"),
        ({"text": [["a"]]}, r"holds no text in its column 'text' \('list<.*text columns: none; others: 'text'"),
        ({"text": [b"a"]}, r"holds no text in its column 'text' \('binary'\)"),
        ({"text": [{"text": "a"}]}, r"holds no text in its column 'text' \('struct"),
        ({"a\n\x1b[31m": ["a"]}, r"has no column 'text'; text columns: 'a\\n\\x1b\[31m'"),
    ],
)
def test_a_missing_or_unfit_column_lists_those_there_are(tmp_path, table, says):
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=says) as caught:
        read(text_files([tmp_path / "a.parquet"]))
    assert "\n" not in str(caught.value)


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no one text column 'text'"):
        read(text_files([tmp_path / "a.parquet"]))


@pytest.mark.parametrize("rows", [[], [None, None], ["", ""]])
def test_no_text_at_all_is_told_by_prepare(tmp_path, rows):
    with pytest.raises(DataError, match=r"a\.parquet: holds no text"):
        prepare(text_files([write(tmp_path / "a.parquet", rows, pa.string())]), tmp_path / "d", "byte")
    assert not (tmp_path / "d").exists()


def test_a_row_too_long_for_memory_is_refused_by_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "LONGEST_LINE", 500)
    with pytest.raises(DataError, match=r"a\.parquet: row 2: longer than"):
        read(text_files([write(tmp_path / "a.parquet", ["a" * 500, "a" * 501])]))


def test_a_row_group_many_times_the_memory_used_is_read_in_pages(tmp_path):
    rows = [f"{n} " * 1500 for n in range(8000)]  # 64 MB in one row group
    write(tmp_path / "a.parquet", rows, use_dictionary=False)
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    default = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        total = sum(len(piece.text) for piece in text_files([tmp_path / "a.parquet"]).pieces())
    finally:
        pa.set_memory_pool(default)
    assert total == sum(map(len, rows)) and 0 < pool.max_memory() < 16 * 2**20


def test_without_pyarrow_the_line_to_install_it_is_given(tmp_path):
    write(tmp_path / "a.parquet", ["a"])
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from gptmill.cli.main import main; main(['prepare', '--input', 'a.parquet'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == UserError.exit_code and "pip install pyarrow" in done.stderr
    assert done.stderr.count("\n") == 1
