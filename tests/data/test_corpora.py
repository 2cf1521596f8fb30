"""Named datasets, from files a person put there and from a Hub on this machine."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gptmill.data.corpora import CORPORA
from gptmill.data.inputs import text_files
from gptmill.data.prepare import prepare
from gptmill.data.remote import fetch as fetch_file
from gptmill.data.remote import hub
from gptmill.data.remote.place import Place
from gptmill.errors import DataError, UserError
from tests.data.server import Site, serving

ROWS = ["", " = Title = \n", "", " A line . \n", " Another one . \n"]


def parquet(rows: list[str]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": rows}), sink)
    return sink.getvalue()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with serving(Site({})) as site:
        monkeypatch.setattr(hub, "HUB", site.url)
        monkeypatch.setattr(fetch_file, "WAIT", 0.01)
        yield site


def publish(site: Site, repo: str, revision: str, folder: str, files: dict[str, bytes]) -> None:
    listing = [
        {"type": "file", "path": f"{folder}/{name}", "size": len(raw), "lfs": {"oid": hashlib.sha256(raw).hexdigest()}}
        for name, raw in files.items()
    ]
    site.files[f"/api/datasets/{repo}/tree/{revision}/{folder}"] = json.dumps(listing).encode()
    for name, raw in files.items():
        site.files[f"/datasets/{repo}/resolve/{revision}/{folder}/{name}"] = raw


def test_wikitexts_rows_run_on_as_one_text_in_its_own_splits(site, tmp_path):
    from gptmill.data.corpora.wikitext import REPO, REVISION

    files = {
        "train-00000-of-00001.parquet": parquet(ROWS),
        "validation-00000-of-00001.parquet": parquet([" held out \n"]),
        "test-00000-of-00001.parquet": b"never read",
    }
    publish(site, REPO, REVISION, "wikitext-2-raw-v1", files)
    place = Place(tmp_path / "wikitext")
    prepare(CORPORA["wikitext"].open(place, None), tmp_path / "wikitext", "byte")
    assert np.fromfile(tmp_path / "wikitext/train.bin", "<u2").tobytes() == "".join(ROWS).encode("utf-16-le")
    assert np.fromfile(tmp_path / "wikitext/val.bin", "<u2").tobytes() == " held out \n".encode("utf-16-le")
    prepare(CORPORA["wikitext"].open(place, 4), tmp_path / "four", "byte", max_samples=4)
    assert (tmp_path / "four/train.bin").read_bytes() == "".join(ROWS[:4]).encode("utf-16-le")


def test_the_first_documents_of_many_files_need_the_first_file_only(site, tmp_path):
    files = {f"{n:04}.parquet": parquet([f"file {n} document {i}" for i in range(40)]) for n in range(3)}
    publish(site, "Skylion007/openwebtext", "refs%2Fconvert%2Fparquet", "plain_text/train", files)
    source = CORPORA["openwebtext"].open(Place(tmp_path), 5)
    report = prepare(source, tmp_path, "byte", val_samples=2, max_samples=5)
    assert report.documents == 7 and report.train_tokens == 5 * len("file 0 document 1") + 5
    assert [path for path, _ in site.asked if path.endswith(".parquet")] == [
        "/datasets/Skylion007/openwebtext/resolve/refs%2Fconvert%2Fparquet/plain_text/train/0000.parquet"
    ]


def test_without_a_network_one_line_says_what_to_fetch_and_the_file_put_there_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "HUB", "http://127.0.0.1:9")
    with pytest.raises(
        DataError, match=r"no network .*; fetch the files .*wikitext-2-raw-v1 and put them into .*\.download"
    ):
        CORPORA["wikitext"].open(Place(tmp_path), None)
    for name in ("train", "validation"):
        (tmp_path / ".download" / f"{name}-00000-of-00001.parquet").write_bytes(parquet(ROWS))
    assert "Another" in "".join(piece.text for piece in CORPORA["wikitext"].open(Place(tmp_path), None).pieces())


def test_train_txt_and_valid_txt_are_used_as_they_are(tmp_path):
    (tmp_path / "train.txt").write_text("one \n two \n")
    (tmp_path / "valid.txt").write_text("three \n")
    prepare(CORPORA["wikitext"].open(Place(tmp_path), None), tmp_path / "d", "byte")
    assert (tmp_path / "d/train.bin").read_bytes() == "one \n two \n".encode("utf-16-le")


def test_another_input_txt_is_not_taken_for_shakespeare(tmp_path):
    (tmp_path / "input.txt").write_text("To be\n")
    with pytest.raises(DataError, match=r"input\.txt: 6 bytes, 1115394 are published; .*--input FILE"):
        CORPORA["shakespeare"].open(Place(tmp_path), None)
    with pytest.raises(UserError, match="no documents to count"):
        CORPORA["shakespeare"].open(Place(tmp_path), 3)


def test_a_full_disk_is_foreseen(tmp_path, monkeypatch):
    import shutil

    (tmp_path / "a.txt").write_text("text " * 10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**5, 9 * 10**4, 10**4))
    with pytest.raises(UserError, match=r"about 97\.66 KiB and 9\.77 KiB are free"):
        prepare(text_files([tmp_path / "a.txt"]), tmp_path / "d", "byte")
    assert not (tmp_path / "d").exists()


def test_every_name_of_the_documents_is_known():
    assert {"shakespeare", "shakespeare_char", "tinyshakespeare", "wikitext", "wikitext-103", "openwebtext", "fineweb-edu",
            "finewebedu", "slimpajama_6b", "slimpajama_6b_gpt2", "slimpajama_6b_llama", "slimpajama_627b",
            "slimpajama_627b_llama"} <= set(CORPORA)  # fmt: skip
