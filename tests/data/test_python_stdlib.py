from __future__ import annotations

import pytest

from gptmill.data.corpora import CORPORA
from gptmill.data.corpora.python_stdlib import stdlib_files


def test_the_corpus_is_the_standard_library_without_packages_and_tests():
    source = stdlib_files()
    keys = {piece.key for piece in source.pieces()}
    assert {"json/decoder.py", "os.py", "asyncio/tasks.py"} <= keys
    folders = {part for key in keys for part in key.split("/")[:-1]}
    assert not folders & {"site-packages", "test", "tests", "idle_test", "__pycache__"}


def test_order_is_fixed_and_undecodable_files_are_counted(tmp_path):
    for name in (
        "b.py",
        "a.py",
        "z/c.py",
        "test/no.py",
        "site-packages/no.py",
        "config-3.11/no.py",
        "_sysconfigdata_x.py",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("pass\n")
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    (tmp_path / "notes.txt").write_text("not source")
    source = stdlib_files(tmp_path)
    assert [piece.key for piece in source.pieces()] == ["a.py", "b.py", "z/c.py"] and source.skipped == 1


@pytest.mark.parametrize("name", list(CORPORA))
def test_every_corpus_has_a_tokenizer_a_source_and_a_sensible_split(name):
    from gptmill.data.tokenizers import what_it_reads

    corpus = CORPORA[name]
    assert (
        what_it_reads(corpus.tokenizer)
        and corpus.source
        and (corpus.val_fraction is None or 0 < corpus.val_fraction < 0.5)
    )
