"""A checkout on any machine has the same bytes: tests hash texts, and Windows' git rewrites line ends unless told not to."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a git checkout: there is nothing to clone"
)


def git(*words: str | Path, at: Path = ROOT) -> bytes:
    return subprocess.run(["git", *map(str, words)], cwd=at, check=True, capture_output=True).stdout


def committed(at: Path) -> dict[str, str]:
    """Path -> SHA-1 of the bytes that were committed."""
    entries = [line.split(b"\t") for line in git("ls-tree", "-r", "-z", "HEAD", at=at).split(b"\0") if line]
    return {name.decode(): facts.split()[2].decode() for facts, name in entries}


def changed(clone: Path) -> list[str]:
    """Files of a checkout whose bytes are not those that were committed; git's own blob hash, without its filters."""
    found = []
    for name, sha1 in committed(clone).items():
        data = (clone / name).read_bytes()
        if hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() != sha1:
            found.append(name)
    return found


def checkout(clone: Path) -> None:
    git("clone", "--quiet", "--no-local", "--depth=1", "--no-checkout", ROOT.as_uri(), clone)
    git("config", "core.autocrlf", "true", at=clone)


def test_a_clone_that_rewrites_line_ends_leaves_every_file_as_committed(tmp_path):
    checkout(tmp_path / "clone")
    git("checkout", "--quiet", "HEAD", at=tmp_path / "clone")
    assert changed(tmp_path / "clone") == [] and len(committed(tmp_path / "clone")) > 100


def test_without_the_attributes_it_would_not(tmp_path):
    checkout(tmp_path / "clone")
    (tmp_path / "clone/.git/info/attributes").write_text("* text=auto !eol\n")  # stronger than .gitattributes
    git("checkout", "--quiet", "HEAD", at=tmp_path / "clone")
    assert "README.md" in changed(tmp_path / "clone")


def test_no_test_leans_on_a_committed_binary_or_on_crlf():
    for name in committed(ROOT):
        if name.startswith("tests/"):
            text = git("show", f"HEAD:{name}").decode()
            assert "\r\n" not in text and "\0" not in text, name


@pytest.mark.parametrize("name", ["a.bin", "a.parquet", "a.png", "a.safetensors", "deep/er/b.bin"])
def test_what_is_not_text_is_marked_as_such(name):
    told = git("check-attr", "text", "diff", "--", name).decode().split("\n")[:2]
    assert told == [f"{name}: text: unset", f"{name}: diff: unset"]
