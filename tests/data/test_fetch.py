from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptmill.data.remote import fetch as fetch_file
from gptmill.data.remote.fetch import fetch
from gptmill.data.remote.files import Offline, RemoteFile
from gptmill.errors import DataError
from tests.data.server import Site, serving

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(fetch_file, "WAIT", 0.01)
    monkeypatch.setattr(fetch_file, "TIMEOUT", 0.3)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(Site({"/a.bin": CONTENT, "/empty": b""})) as site:
        yield site


def whole(site: Site, **known: object) -> RemoteFile:
    return RemoteFile(f"{site.url}/a.bin", "a.bin", **{"size": len(CONTENT), "sha256": SHA256, **known})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "faults",
    [[], [503], [429, 500, 502, 504], ["cut"], ["cut", "cut", "cut", "cut", "cut", "cut", "cut"], ["hang"], ["elsewhere"],
     ["cut", "ignore_range"], ["cut", 503, "hang"], ["cut", "elsewhere"]],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("known", [{}, {"size": None}, {"size": None, "sha256": None}], ids=["all", "hash", "nothing"])
def test_what_goes_wrong_on_the_way_is_overcome_and_every_byte_is_right(site, tmp_path, faults, known):
    site.faults = list(faults)
    assert fetch(whole(site, **known), tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    n_asked = len(site.asked)
    assert (
        n_asked == len(faults) + 1 - faults.count("ignore_range")
        and fetch(whole(site), tmp_path).exists()
        and len(site.asked) == n_asked
    )


def test_a_transfer_goes_on_where_it_was_cut_and_never_asks_for_a_byte_twice(site, tmp_path):
    site.faults = ["cut", "cut"]
    fetch(whole(site), tmp_path)
    assert [wanted for _, wanted in site.asked] == [None, "bytes=150000-", "bytes=225000-"]


@pytest.mark.parametrize(
    ("faults", "says"),
    [([404], "404"), ([403], "403"), (["page"], "web page"), (["longer"], "more than the 300000 bytes"),
     ([503] * 9, "503 (5 tries)"), (["hang"] * 9, "no answer"), (["cut"] + [503] * 9, "150000 bytes are kept in")],
    ids=["404", "403", "page", "longer", "503", "hang", "half"],
)  # fmt: skip
def test_what_cannot_be_overcome_is_one_sentence_and_leaves_no_file(site, tmp_path, faults, says):
    site.faults = list(faults)
    with pytest.raises(DataError) as caught:
        fetch(whole(site), tmp_path)
    assert says in str(caught.value) and site.url in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "a.bin").exists()
    site.faults = []
    assert fetch(whole(site), tmp_path).read_bytes() == CONTENT  # the next try is none the worse for it


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"size": 300_001}, {"size": 299_999}], ids=str)
def test_another_file_than_the_published_one_is_refused(site, tmp_path, known):
    with pytest.raises(DataError, match=r"SHA-256|bytes"):
        fetch(whole(site, **known), tmp_path)
    assert not (tmp_path / "a.bin").exists()


def test_a_part_of_another_version_is_thrown_away_once(site, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"old" * 1000)
    assert fetch(whole(site), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == ["bytes=3000-", None]


def test_no_connection_is_said_at_once(tmp_path):
    began = time.perf_counter()
    with pytest.raises(Offline, match=r"127\.0\.0\.1:9: Connection refused"):
        fetch(RemoteFile("http://127.0.0.1:9/a", "a"), tmp_path)
    assert time.perf_counter() - began < 0.5


def test_https_is_never_left_for_a_connection_that_anyone_can_change(site):
    from urllib.request import Request

    handler = fetch_file._SameScheme()
    with pytest.raises(DataError, match="not encrypted"):
        handler.redirect_request(Request("https://a.example/x"), None, 302, "", {}, f"{site.url}/a.bin")


def test_a_proxy_in_the_environment_is_used(site, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url)
    assert fetch(RemoteFile("http://gone.invalid/a.bin", "a.bin"), tmp_path).read_bytes() == CONTENT
    assert site.asked[0][0] == "http://gone.invalid/a.bin"


def test_progress_counts_bytes_on_disk(site, tmp_path):
    site.faults, told = ["cut"], []
    fetch(whole(site), tmp_path, lambda done, total: told.append((done, total)))
    assert told[-1] == (300_000, 300_000) and [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_killed_download_goes_on(site, tmp_path):
    code = (
        "import sys; from pathlib import Path; from gptmill.data.remote import fetch as f;"
        "from gptmill.data.remote.files import RemoteFile;"
        "f.fetch(RemoteFile(sys.argv[1], 'a.bin'), Path(sys.argv[2]))"
    )
    site.faults = ["cut", "hang"]
    child = subprocess.Popen([sys.executable, "-c", code, f"{site.url}/a.bin", str(tmp_path)], env={**os.environ})
    part: Path = tmp_path / "a.bin.part"
    for _ in range(500):
        if len(site.asked) == 2:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert part.stat().st_size == 150_000 and not (tmp_path / "a.bin").exists()
    assert fetch(whole(site), tmp_path).read_bytes() == CONTENT and site.asked[-1][1] == "bytes=150000-"
