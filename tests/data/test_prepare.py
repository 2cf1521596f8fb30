from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gptmill.data.facts import dataset_tokenizer, read_facts
from gptmill.data.inputs import text_files
from gptmill.data.prepare import prepare
from gptmill.data.shards import open_tokens
from gptmill.data.staging import staging
from gptmill.data.survey import Splitter, share, survey
from gptmill.errors import DataError, TryAgain, UserError
from tests.data.toys import prepared

LINES = "".join(f"line {n} of a text, être ou ne pas être\n" for n in range(400))


def decoded(folder: Path, split: str) -> str:
    tokenizer = dataset_tokenizer(read_facts(str(folder.parent), folder.name))
    return tokenizer.decode(open_tokens(folder / f"{split}.bin").ids)


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe-300"])
def test_one_text_is_cut_by_characters_as_nanogpt_and_nothing_is_lost(tmp_path, tokenizer):
    report = prepared(tmp_path, LINES, tokenizer)
    n = int(len(LINES) * 0.9)
    assert decoded(tmp_path / "data/toy", "train") == LINES[:n]
    assert decoded(tmp_path / "data/toy", "val") == LINES[n:]
    assert report.characters == len(LINES) and report.documents == 1


def test_char_files_are_byte_for_byte_those_of_nanogpts_prepare(tmp_path):
    import numpy as np

    prepared(tmp_path, LINES, "char")
    stoi = {c: i for i, c in enumerate(sorted(set(LINES)))}
    n = len(LINES)
    for name, part in (("train", LINES[: int(n * 0.9)]), ("val", LINES[int(n * 0.9) :])):
        expected = np.array([stoi[c] for c in part], dtype=np.uint16)
        assert (tmp_path / f"data/toy/{name}.bin").read_bytes() == expected.tobytes()


@pytest.mark.parametrize("tokenizer", ["byte", "bpe-300"])
def test_documents_are_whole_in_one_split_and_end_with_end_of_text(tmp_path, tokenizer):
    documents = [f"<{n}> document number {n}" for n in range(50)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": d}) + "\n" for d in documents))
    report = prepare(text_files([tmp_path / "a.jsonl"]), tmp_path / "data/d", tokenizer, val_fraction=0.2)
    sides = [decoded(tmp_path / "data/d", split).split("<|endoftext|>") for split in ("train", "val")]
    assert [side.pop() for side in sides] == ["", ""]
    assert sorted(sides[0] + sides[1]) == sorted(documents) and report.documents == 50
    assert 2 <= len(sides[1]) <= 20


def test_documents_are_kept_apart_by_a_line_break_where_there_is_no_end_of_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "ab"}\n{"text": "cd\\n"}\n{"text": "ef"}\n')
    prepare(text_files([tmp_path / "a.jsonl"]), tmp_path / "data/d", "char")
    text = decoded(tmp_path / "data/d", "train") + decoded(tmp_path / "data/d", "val")
    assert sorted(text.splitlines()) == ["ab", "cd", "ef"]


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_both_splits_get_a_document_whatever_the_fraction(tmp_path, fraction):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    report = prepare(text_files([tmp_path / "a.jsonl"]), tmp_path / "data/d", "byte", val_fraction=fraction)
    assert (report.train_tokens, report.val_tokens) == (2, 2)


def test_shares_are_even_and_a_document_keeps_its_split_when_others_come(tmp_path):
    assert abs(sum(share(str(n)) < 0.1 for n in range(10_000)) - 1000) < 150  # five standard deviations
    sides = []
    for n in (300, 301):
        (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "{i}"}}\n' for i in range(n)))
        source = text_files([tmp_path / "a.jsonl"])
        splitter = Splitter(survey(source, "nothing"), 0.1)
        sides.append([splitter.parts(piece)[0][0] for piece in source.pieces()])
    assert sides[0] == sides[1][:300]


def test_a_second_process_makes_the_same_bytes(tmp_path):
    (tmp_path / "a.txt").write_text(LINES)
    code = (
        "import sys; from pathlib import Path; from gptmill.data.prepare import prepare;"
        "from gptmill.data.inputs import text_files; prepare(text_files([Path(sys.argv[1])]), Path(sys.argv[2]), 'bpe-500')"
    )
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, tmp_path / "a.txt", tmp_path / seed], env=env, check=True)
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_a_bpe_vocabulary_is_learned_from_training_text_only(tmp_path):
    prepared(tmp_path, "abcd " * 900 + "wxyz " * 100, "bpe-300")
    pieces = (tmp_path / "data/toy/tokenizer/vocab.bpe").read_text()
    assert "ab" in pieces.replace(" ", "") and "wx" not in pieces.replace(" ", "")


def test_the_same_request_reuses_the_dataset_and_another_needs_overwrite(tmp_path):
    first = prepared(tmp_path, LINES)
    before = os.stat(tmp_path / "data/toy/train.bin").st_ino
    second = prepared(tmp_path, LINES)
    assert second.reused and second.sha256 == first.sha256
    assert os.stat(tmp_path / "data/toy/train.bin").st_ino == before
    for options in ({"tokenizer": "char"}, {"val_fraction": 0.2}, {"text": LINES + "!"}):
        with pytest.raises(UserError, match="--overwrite"):
            prepared(tmp_path, **{"text": LINES, **options})
    changed = prepared(tmp_path, LINES + "!", overwrite=True)
    assert changed.sha256 != first.sha256 == prepared(tmp_path, LINES, overwrite=True).sha256


def test_a_damaged_dataset_is_made_again_without_asking(tmp_path):
    first = prepared(tmp_path, LINES)
    path = tmp_path / "data/toy/train.bin"
    path.write_bytes(b"\x01" + path.read_bytes()[1:])
    assert not prepared(tmp_path, LINES).reused
    assert read_facts(str(tmp_path / "data"), "toy").sha256 == first.sha256 == prepared(tmp_path, LINES).sha256
    open_tokens(path).verify_all()


def test_files_of_the_user_in_the_folder_survive_overwriting(tmp_path):
    prepared(tmp_path, LINES)
    (tmp_path / "data/toy/input.txt").write_text("mine")
    prepared(tmp_path, LINES + "!", overwrite=True)
    assert (tmp_path / "data/toy/input.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "a", "\ufeff"])
def test_too_little_text_is_a_data_error_and_leaves_nothing_behind(tmp_path, text):
    with pytest.raises(DataError):
        prepared(tmp_path, text)
    assert not (tmp_path / "data/toy").exists()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_val_fraction_outside_0_1_is_refused(tmp_path, fraction):
    with pytest.raises(UserError, match=r"^val_fraction="):
        prepared(tmp_path, LINES, val_fraction=fraction)


def test_text_that_changes_between_the_passes_is_refused(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text(LINES)
    source = text_files([file])
    once = source.pieces

    def pieces():
        yield from once()
        file.write_text(LINES.upper())

    source.pieces = pieces
    with pytest.raises(DataError, match="changed while"):
        prepare(source, tmp_path / "data/d", "byte")
    assert not (tmp_path / "data/d").exists()


def test_two_at_once_is_try_again(tmp_path):
    with staging(tmp_path / "data/toy"), pytest.raises(TryAgain, match="another process"):
        prepared(tmp_path, LINES)


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(UserError, match="dataset folder"):
        prepared(tmp_path, LINES)


OLD, NEW = "old text, old text. " * 50, "new text, new text. " * 50  # equal sizes: only hashes can tell them apart


def state(folder: Path) -> str:
    """'none' when nothing loads, else which text a careful reader gets."""
    try:
        facts = read_facts(str(folder.parent), folder.name)
        for split in ("train", "val"):
            open_tokens(folder / f"{split}.bin").verify_all()
        return "old" if decoded(folder, "train").startswith("old") else "new" if facts.sha256 else "bare"
    except DataError:
        return "none"


def _die_at(call: int, tmp_path: Path) -> None:
    """Prepare NEW over whatever is there, and die like a killed process at the call-th change of a folder or file sync."""
    count = 0

    def deadly(function):
        def wrapped(*args, **kwargs):
            nonlocal count
            count += 1
            if count == call:
                os._exit(9)
            return function(*args, **kwargs)

        return wrapped

    for name in ("replace", "rename", "fsync", "mkdir"):
        setattr(os, name, deadly(getattr(os, name)))
    prepared(tmp_path, NEW, overwrite=True)
    os._exit(0)


@pytest.mark.parametrize("old", [True, False], ids=["over an old dataset", "into a fresh folder"])
def test_a_crash_at_any_point_leaves_the_old_the_new_or_nothing_that_loads(tmp_path, old):
    fork = multiprocessing.get_context("fork")
    seen = []
    for call in range(1, 100):
        place = tmp_path / str(call)
        place.mkdir()
        if old:
            prepared(place, OLD)
        child = fork.Process(target=_die_at, args=(call, place))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        seen.append(state(place / "data/toy"))
        prepared(place, NEW, overwrite=True)
        assert state(place / "data/toy") == "new" and not (place / "data/toy/.partial").exists()
    assert len(seen) > 12
    assert [name for i, name in enumerate(seen) if i == 0 or seen[i - 1] != name] == ["old", "none", "new"][not old :]


def test_a_killed_prepare_leaves_nothing_that_loads(tmp_path):
    (tmp_path / "a.txt").write_text(LINES * 300)
    code = (
        "import sys; from pathlib import Path; from gptmill.data.prepare import prepare;"
        "from gptmill.data.inputs import text_files; prepare(text_files([Path(sys.argv[1])]), Path(sys.argv[2]), 'byte')"
    )
    command = [sys.executable, "-c", code, tmp_path / "a.txt"]
    began = time.perf_counter()
    subprocess.run([*command, tmp_path / "data/whole"], check=True)
    seconds = time.perf_counter() - began
    whole = read_facts(str(tmp_path / "data"), "whole").sha256
    chance = random.Random(1)
    for n in range(6):
        child = subprocess.Popen([*command, tmp_path / f"data/{n}"])
        time.sleep(chance.uniform(0.3, 1.0) * seconds)
        child.send_signal(signal.SIGKILL)
        child.wait()
        try:
            assert read_facts(str(tmp_path / "data"), str(n)).sha256 == whole
        except DataError:
            report = prepare(text_files([tmp_path / "a.txt"]), tmp_path / f"data/{n}", "byte")
            assert report.sha256 == whole


def test_a_disk_too_small_for_any_tokenizer_is_told_before_a_byte_is_read(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("text " * 10_000)
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')  # what of it is text, nobody knows
    source = text_files([tmp_path / "a.txt", tmp_path / "rows.jsonl"])
    monkeypatch.setattr(source, "pieces", lambda: pytest.fail("was read"))
    free = 50_000 * 2 // 16 - 1  # ids of two bytes, for sixteen of text
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - free, free))
    says = r"data/d: the token files of a\.txt, rows\.jsonl \(48\.83 KiB\) will need 6\.10 KiB .* and 6\.10 KiB are free; free"
    with pytest.raises(UserError, match=says):
        prepare(source, tmp_path / "data/d", "bpe-300")
    assert not (tmp_path / "data/d").exists()


def test_what_is_there_already_is_used_on_a_disk_without_room_for_another(tmp_path, monkeypatch):
    prepared(tmp_path, LINES, "byte")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 0))
    assert prepared(tmp_path, LINES, "byte").reused


@pytest.mark.parametrize("free", [2**50, 2**30])
def test_a_terabyte_of_holes_costs_a_line_on_a_disk_of_any_size(tmp_path, monkeypatch, free):
    with (tmp_path / "a.txt").open("wb") as file:
        file.write(LINES.encode())
        file.truncate(2**40)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**50, 0, free))
    began = time.process_time()
    with pytest.raises((DataError, UserError), match=r"a\.txt") as refused:
        prepare(text_files([tmp_path / "a.txt"]), tmp_path / "d", "char")
    assert time.process_time() - began < 1.0
    says = "never written (a hole in the file)" if free == 2**50 else "(1.00 TiB) will need 128.00 GiB"
    assert says in str(refused.value) and "\n" not in str(refused.value)
