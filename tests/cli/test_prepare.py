from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gptmill.cli.main import main
from gptmill.cli.prepare import prepare
from gptmill.data.corpora import CORPORA
from gptmill.data.corpora.base import Corpus
from gptmill.data.inputs import text_files
from gptmill.errors import UserError

CONTRACT = {"train_tokens": int, "val_tokens": int, "vocab_size": int, "dtype": str, "sha256": str, "seconds": float}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("It was the best of times, it was the worst of times.\n" * 40)
    return tmp_path


def test_json_is_one_object_with_the_contracts_keys_and_types(here, capsys):
    prepare(input=[here / "book.txt"], json=True)
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert {key: type(report[key]) for key in CONTRACT} == CONTRACT and out.count("\n") == 1 and err == ""
    assert (here / "data/book/meta.json").exists()


def test_a_person_reads_one_line(here, capsys):
    prepare(input=[here / "book.txt"], name="times", tokenizer="char")
    assert capsys.readouterr().out.startswith("data/times prepared in ")
    prepare(input=[here / "book.txt"], name="times", tokenizer="char")
    assert capsys.readouterr().out.startswith("data/times is there already: ")


@pytest.mark.parametrize("given", [{}, {"dataset": "python_stdlib", "input": ["book.txt"]}])
def test_dataset_and_input_exclude_each_other(here, given):
    with pytest.raises(UserError, match="either --dataset NAME or --input"):
        prepare(**given)


def test_an_unknown_dataset_suggests_the_nearest_and_input(here):
    with pytest.raises(UserError, match=r"did you mean 'python_stdlib'.*--input FILE_OR_DIR --name python_stdlibs"):
        prepare(dataset="python_stdlibs")


@pytest.mark.parametrize("name", ["../up", "/abs", ".", ".hidden", "a/../.."])
def test_a_name_stays_inside_data_dir(here, name):
    with pytest.raises(UserError):
        prepare(input=[here / "book.txt"], name=name)
    assert sorted(path.name for path in here.iterdir()) == ["book.txt"]


def test_a_corpus_brings_its_own_tokenizer_and_split(here, capsys, monkeypatch):
    toy = Corpus(
        "toy", tokenizer="char", val_fraction=0.25, open=lambda place, max_samples: text_files([here / "book.txt"])
    )
    monkeypatch.setitem(CORPORA._parts, "toy", toy)
    prepare(dataset="toy", json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["tokenizer"] == "char" and report["val_tokens"] == pytest.approx(0.25 * 40 * 53, abs=1)


@pytest.mark.parametrize("flag", ["--text_key", "--text-key"])
def test_text_key_names_the_json_key_and_the_column_in_either_spelling(here, capsys, flag):
    (here / "a.jsonl").write_text(
        "".join(json.dumps({"body": f"review {n}", "text": "not this"}) + "\n" for n in range(20))
    )
    pq.write_table(pa.table({"body": [f"review {n}" for n in range(20, 40)] + [None]}), here / "b.parquet")
    words = ["prepare", "--input", "a.jsonl", "b.parquet", flag, "body", "--name", "d", "--tokenizer", "byte", "--json"]
    with pytest.raises(SystemExit) as left:
        main(words)
    report = json.loads(capsys.readouterr().out)
    assert left.value.code == 0 and (report["documents"], report["nulls"]) == (40, 1)
    assert report["characters"] == sum(len(f"review {n}") for n in range(40))
