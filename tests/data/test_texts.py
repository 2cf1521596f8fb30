from __future__ import annotations

import json
import os
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptmill.data import pieces, texts
from gptmill.data.inputs import text_files
from gptmill.data.pieces import cut
from gptmill.data.texts import TextFiles
from gptmill.errors import DataError, UserError

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
almost_utf8 = st.lists(
    st.binary(max_size=4)
    | st.text(max_size=6).map(lambda s: s.encode("utf-8", "surrogatepass"))
    | st.just(b"\xef\xbf\xbd"),
    max_size=8,
).map(b"".join)


def read(source: TextFiles) -> dict[str, str]:
    documents: dict[str, str] = {}
    for piece in source.pieces():
        documents.setdefault(piece.key, "")
        assert piece.start == len(documents[piece.key])
        documents[piece.key] += piece.text
    return documents


@in_one_folder
@given(raw=almost_utf8, chunk=st.integers(1, 9))
def test_replace_equals_pythons_own_decoder_whatever_the_read_size(tmp_path, raw, chunk):
    (tmp_path / "a.txt").write_bytes(raw)
    source = text_files([tmp_path / "a.txt"], errors="replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "READ_BYTES", max(3, chunk))
        text = read(source).get("0", "")
    expected = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    assert text == expected
    assert source.replaced == expected.count("\ufffd") - raw.removeprefix(b"\xef\xbb\xbf").count(b"\xef\xbf\xbd")


@in_one_folder
@given(raw=almost_utf8, chunk=st.integers(3, 9))
def test_strict_names_the_first_bad_byte_and_its_line(tmp_path, raw, chunk):
    (tmp_path / "a.txt").write_bytes(raw)
    source = text_files([tmp_path / "a.txt"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "READ_BYTES", chunk)
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            with pytest.raises(DataError, match=rf"a\.txt:{line}: byte {error.start} \(0x{raw[error.start]:02x}\)"):
                read(source)
        else:
            assert read(source).get("0", "") == raw.removeprefix(b"\xef\xbb\xbf").decode()


@in_one_folder
@given(text=st.text(st.sampled_from(" \nab")), chunk=st.integers(3, 50))
def test_cuts_do_not_depend_on_the_read_size(tmp_path, text, chunk):
    (tmp_path / "a.txt").write_text(text, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_CHARS", 10)
        patch.setattr(pieces, "cut", lambda piece: cut(piece, 10))
        whole = [piece.text for piece in text_files([tmp_path / "a.txt"]).pieces()]
        patch.setattr(texts, "READ_BYTES", chunk)
        assert [piece.text for piece in text_files([tmp_path / "a.txt"]).pieces()] == whole
        assert all(len(piece) <= 11 for piece in whole)


def test_one_endless_line_is_read_in_bounded_memory(tmp_path):
    with (tmp_path / "a.txt").open("wb") as file:
        for _ in range(32):
            file.write(b"x\0" * 2**19)
    tracemalloc.start()
    total = sum(len(piece.text) for piece in text_files([tmp_path / "a.txt"]).pieces())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 32 * 2**20 and peak < 10 * 2**20


def test_a_byte_order_mark_is_dropped_and_nul_and_crlf_are_kept(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\0b\r\n\xef\xbb\xbfc")
    assert read(text_files([tmp_path / "a.txt"])) == {"0": "a\0b\r\n\ufeffc"}


def test_jsonl_has_a_document_a_line_with_its_line_number(tmp_path):
    lines = [
        json.dumps({"text": "one\nline", "id": 1}),
        "",
        json.dumps({"text": "zwei é"}, ensure_ascii=False),
        '{"text": ""}',
    ]
    (tmp_path / "a.jsonl").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    assert read(text_files([tmp_path / "a.jsonl"])) == {"0:1": "one\nline", "0:3": "zwei é"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"texts": "a"}', 'no text; every line must be an object with a string "text"'),
        (b'{"text": 5}', "no text"),
        (b'["text"]', "no text"),
        (b'{"text": "\xff"}', "byte 10 of the line (0xff) is not UTF-8"),
        (b'{"text": "a\\ud800"}', "character 1 is half a surrogate pair"),
        (b'{"text": "' + b"a" * 600 + b'"}', "longer than"),
    ],
)
def test_a_bad_jsonl_line_is_named_by_file_and_line(tmp_path, monkeypatch, line, says):
    if says == "longer than":
        monkeypatch.setattr(texts, "LONGEST_LINE", 500)
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "good"}\n' + line + b"\n")
    with pytest.raises(DataError) as caught:
        read(text_files([tmp_path / "a.jsonl"]))
    assert "a.jsonl:2: " in str(caught.value) and says in str(caught.value) and "\n" not in str(caught.value)


def test_replace_counts_what_it_replaced_in_jsonl(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "\xff\\udc00 \xef\xbf\xbd"}\n')
    source = text_files([tmp_path / "a.jsonl"], errors="replace")
    assert read(source) == {"0:1": "\ufffd\ufffd \ufffd"} and source.replaced == 2


def test_folders_are_walked_in_sorted_order_without_hidden_and_binary_files(tmp_path):
    for name in ("b.md", "a.txt", "sub/c.py", ".git/config", "sub/__pycache__/x.txt", "sub/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    source = text_files([tmp_path])
    assert list(read(source).values()) == ["a.txt", "b.md", "sub/c.py"] and source.skipped == 4


def test_missing_inputs_are_listed_all_at_once(tmp_path):
    with pytest.raises(UserError) as caught:
        text_files([tmp_path / "one", tmp_path / "two"])
    assert len(caught.value.problems) == 2
    with pytest.raises(UserError, match="holds no text files"):
        text_files([tmp_path])


def test_a_hole_in_a_text_is_refused_and_written_nuls_are_text(tmp_path):
    page = os.sysconf("SC_PAGESIZE")
    (tmp_path / "a.txt").write_bytes(b"a" * page + bytes(4 * page) + b"z")
    assert read(text_files([tmp_path / "a.txt"]))["0"] == "a" * page + "\0" * 4 * page + "z"
    with (tmp_path / "a.txt").open("wb") as file:
        file.write(b"a" * page)
        file.seek(5 * page)
        file.write(b"z")
    says = rf"a\.txt: {4 * page // 1024}\.00 KiB from byte {page} on were never written .* copy or download it again"
    with pytest.raises(DataError, match=says):
        read(text_files([tmp_path / "a.txt"]))
    with pytest.raises(DataError, match="never written"):
        list(TextFiles([(tmp_path / "a.txt", "0")], "").rows())
