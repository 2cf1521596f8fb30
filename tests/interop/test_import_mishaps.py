"""What goes wrong around weights from elsewhere: one line, and nothing lost or left behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from gptmill.cli.import_ import import_
from gptmill.cli.main import main
from gptmill.cli.pretrained import fetch, find
from gptmill.cli.runs import chosen_run
from gptmill.cli.weights import best_first
from gptmill.data.tokenizers import make_tokenizer
from gptmill.errors import CheckpointError, GptmillError, TryAgain, UserError
from gptmill.track.lock import lock_folder
from tests.interop.theirs import saved


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With ``hf``, a model, ``run``, made of it, and ``cut``, the model with a file that ends too early."""
    here = tmp_path_factory.mktemp("mishaps")
    saved("gpt2", here / "hf")
    import_(str(here / "hf"), out=here / "run")
    shutil.copytree(here / "hf", here / "cut")
    (here / "cut/model.safetensors").write_bytes((here / "hf/model.safetensors").read_bytes()[:2000])
    return here


def test_a_failed_import_leaves_nothing_and_keeps_the_run_it_would_have_replaced(folder: Path) -> None:
    before = sorted(str(path) for path in folder.rglob("*"))
    for out, overwrite in (("new", False), ("run", True)):
        with pytest.raises(UserError, match="not safetensors"):
            import_(str(folder / "cut"), out=folder / out, overwrite=overwrite)
    assert sorted(str(path) for path in folder.rglob("*")) == before


def test_an_import_that_stops_halfway_takes_its_folder_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "model.safetensors")

    monkeypatch.setattr("gptmill.train.checkpoint.save", full)
    with pytest.raises(OSError, match="No space"):
        import_(str(folder / "hf"), out=folder / "half")
    assert not (folder / "half").exists()
    (folder / "bare").mkdir()
    with pytest.raises(OSError, match="No space"):
        import_(str(folder / "hf"), out=folder / "bare")
    assert list((folder / "bare").iterdir()) == []
    before = content(folder / "run")
    with pytest.raises(OSError, match="No space"):
        import_(str(folder / "hf"), out=folder / "run", overwrite=True)
    assert content(folder / "run") == before


def content(folder: Path) -> dict[str, bytes]:
    files = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert files
    return files


def test_a_run_that_is_replaced_is_gone_and_what_is_not_a_runs_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder / "again"
    shutil.copytree(folder / "run", run, symlinks=True)
    (run / "metrics.jsonl").write_text("{}\n")
    (run / "notes.txt").write_text("mine")
    (run / ".import.abcd_123/new").mkdir(parents=True)  # of an import that was killed
    before = content(run)
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        if Path(target) == run / "plan.json" and Path(source).parent.name == "new":
            raise OSError(5, "Input/output error")
        rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"):
        patch.setattr(os, "rename", late)
        import_(str(folder / "hf"), out=run, overwrite=True)
    assert content(run) == before
    held, _ = lock_folder(run)
    with pytest.raises(TryAgain):
        import_(str(folder / "hf"), out=run, overwrite=True)
    os.close(held)
    import_(str(folder / "hf"), out=run, overwrite=True)
    assert {path.name for path in run.iterdir()} == {path.name for path in (folder / "run").iterdir()} | {"notes.txt"}
    assert (run / "best").resolve() == run / "checkpoints/step_00000000"
    shutil.rmtree(run)


def test_a_folder_that_is_no_run_is_left_alone_before_weights_are_read(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine/notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="not a run's"):
            import_(str(folder / "cut"), out=folder / "mine", overwrite=overwrite)
    assert [path.name for path in (folder / "mine").iterdir() if path.name != ".lock"] == ["notes.txt"]
    shutil.rmtree(folder / "mine")


@pytest.mark.parametrize(
    "words", [("import", "/no/model", "--out", "x"), ("eval", "--init_from", "./no", "--input", "a")]
)
def test_a_slip_in_a_path_is_one_line(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.count("\n") == 1 and "no such folder" in err, err


def test_out_may_begin_with_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    import_(str(folder / "hf"), out=Path("~/at-home"))
    assert (folder / "at-home/plan.json").is_file()
    shutil.rmtree(folder / "at-home")


def test_best_is_a_model_to_begin_with_and_the_run_to_read_is_named(folder: Path) -> None:
    assert fetch(str(folder / "run/best")).folder == best_first(folder / "run")[0]
    with pytest.raises(UserError, match=r"a checkpoint; name its run: --run .*run$"):
        chosen_run(str(folder / "run/best"))
    (folder / "extension").mkdir()
    (folder / "extension/manifest.json").write_text("{}")  # not every manifest is a checkpoint's
    with pytest.raises(UserError, match="not a run folder"):
        chosen_run(str(folder / "extension"))


def test_a_run_without_a_good_checkpoint_says_so(folder: Path) -> None:
    shutil.copytree(folder / "run", folder / "empty", symlinks=True)
    shutil.rmtree(folder / "empty/checkpoints/step_00000000")
    with pytest.raises(CheckpointError, match="a run that has no checkpoint yet"):
        find(str(folder / "empty"))
    shutil.copytree(folder / "run", folder / "damaged", symlinks=True)
    shutil.copytree(folder / "damaged/checkpoints/step_00000000", folder / "damaged/checkpoints/step_00000009")
    weights = folder / "damaged/checkpoints/step_00000000/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(CheckpointError, match=r"begin with another: init_from=.*step_00000009"):
        fetch(str(folder / "damaged/checkpoints/step_00000000"))
    for name in ("empty", "damaged"):
        shutil.rmtree(folder / name)


def test_nanogpts_out_folder_is_taken_and_its_data_folder_says_the_characters(tmp_path: Path) -> None:
    sizes = {"n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 8, "vocab_size": 3}
    torch.save({"model": {}, "model_args": sizes}, tmp_path / "ckpt.pt")
    with pytest.raises(GptmillError, match="missing"):  # it has no weights; that its sizes were read is enough here
        import_(str(tmp_path), out=tmp_path / "out")
    data = tmp_path / "abc"
    data.mkdir()
    (data / "input.txt").write_text("abcabc")
    (data / "meta.pkl").touch()  # never opened
    for name, ids in (("train", [0, 1, 2, 0]), ("val", [1, 2])):
        (data / f"{name}.bin").write_bytes(b"".join(n.to_bytes(2, "little") for n in ids))
    assert make_tokenizer(str(data)).encode("cab") == [2, 0, 1]
