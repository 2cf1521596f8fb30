from __future__ import annotations

import errno
import os
import random
import shutil
import sys
from pathlib import Path

import pytest
import torch

from gptmill.errors import CheckpointError, GptmillError, UserError
from gptmill.train import checkpoint
from gptmill.train.checkpoint import newest_good, resume, save
from gptmill.train.loading import load
from gptmill.train.manifest import verify
from gptmill.train.members import restore_moments, weights_sha256

from .small import new_state, small_plan
from .toy import FACTS, take_steps, toy_state

FILES = ("manifest.json", "model.safetensors", "optimizer.safetensors", "state.json")


def everything(state):
    """All bits of a state as one comparable value, read straight from torch, not through our code."""
    optimizer = state.optimizer.state_dict()["state"]
    tensors = {name: weight.detach() for name, weight in state.model.named_parameters()}
    tensors |= {f"{i}.{key}": value for i, moments in optimizer.items() for key, value in moments.items()}
    bits = {name: (t.dtype, t.shape, bytes(t.reshape(-1).view(torch.uint8).tolist())) for name, t in tensors.items()}
    return bits, state.iter, state.sequences, state.tokens, state.best_val_loss


@pytest.fixture
def run(tmp_path):
    """A run with checkpoints at steps 5, 10 and 15."""
    state = toy_state()
    for _ in range(3):
        save(tmp_path, take_steps(state, 5), FACTS)
    return tmp_path


def step(run: Path, iter: int) -> Path:
    return run / "checkpoints" / f"step_{iter:08d}"


@pytest.mark.parametrize("fused", [True, False])
def test_a_restored_state_is_bit_equal_and_goes_on_bit_equal(tmp_path, fused):
    state = take_steps(toy_state(fused=fused), 7)
    state.best_val_loss = 0.1 + 0.2  # has no short decimal spelling
    saved = save(tmp_path, state, FACTS)
    other = toy_state(seed=1, fused=fused)
    load(saved.path, other)
    assert everything(other) == everything(state)
    assert everything(take_steps(other, 9)) == everything(take_steps(state, 9))


def test_a_state_without_any_step_round_trips(tmp_path):
    state, other = toy_state(), take_steps(toy_state(seed=1), 3)
    load(save(tmp_path, state, FACTS).path, other)
    assert everything(other) == everything(state)


def test_tied_weights_stay_tied_and_are_stored_once(tmp_path):
    state = take_steps(toy_state(), 1)
    saved = save(tmp_path, state, FACTS)
    load(saved.path, state)
    assert state.model.head.weight is state.model.embed.weight
    assert b"head.weight" not in (saved.path / "model.safetensors").read_bytes()


def test_param_group_numbers_come_from_the_plan_not_from_the_disk(tmp_path):
    saved = save(tmp_path, take_steps(toy_state(), 1), FACTS)
    other = toy_state()
    for group in other.optimizer.param_groups:
        group["lr"] = 0.123
    load(saved.path, other)
    assert [group["lr"] for group in other.optimizer.param_groups] == [0.123, 0.123]


def test_the_fp16_scaler_is_restored_exactly(tmp_path):
    state, other = toy_state(), toy_state()
    state.scaler, other.scaler = torch.amp.GradScaler("cpu", init_scale=3.0), torch.amp.GradScaler("cpu")
    load(save(tmp_path, state, FACTS).path, other)
    assert other.scaler.state_dict() == state.scaler.state_dict()


def test_two_saves_of_one_state_are_the_same_bytes(tmp_path):
    state = take_steps(toy_state(), 2)
    a, b = save(tmp_path / "a", state, FACTS), save(tmp_path / "b", state, FACTS)
    assert [(a.path / name).read_bytes() for name in FILES] == [(b.path / name).read_bytes() for name in FILES]


def test_every_flipped_bit_is_found_and_named_and_the_previous_checkpoint_is_used(run):
    rng = random.Random(20)
    good = step(run, 15)
    for trial in range(240):
        path = good / FILES[trial % 4]
        data = bytearray(path.read_bytes())
        bit = rng.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        whole = path.read_bytes()
        path.write_bytes(data)
        used, problems = newest_good(run)
        assert used == step(run, 10), f"bit {bit} of {path.name} was not found"
        assert any(str(path) in problem for problem in problems)
        with pytest.raises(CheckpointError, match=path.name):
            load(good, toy_state())
        path.write_bytes(whole)
    assert newest_good(run) == (good, [])


def test_every_byte_of_a_manifest_matters(run):
    rng = random.Random(21)
    path = step(run, 15) / "manifest.json"
    whole = path.read_bytes()
    missed = []
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        if not verify(path.parent):
            missed.append(place)
    assert not missed


def zero_page(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes(min(len(data), 4096)) + data[4096:])


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def delete(path: Path) -> None:
    path.unlink()


def swap_with_older(path: Path) -> None:
    shutil.copyfile(path.parents[1] / "step_00000010" / path.name, path)


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE = [zero_page, truncate, empty, lengthen, delete, swap_with_older, become_a_pipe, become_a_folder]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", DAMAGE)
def test_a_damaged_file_is_named_and_the_run_falls_back(run, name, harm):
    harm(step(run, 15) / name)
    used, problems = newest_good(run)
    assert used == step(run, 10)
    assert name in problems[0]
    state = toy_state(seed=3)
    _, notices = resume(run, state, FACTS)
    assert state.iter == 10
    assert any(name in notice for notice in notices)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"iter": 15', b'"iter": 14'), (b'"best": false', b'"best": true'), (b'"n_layer": 2', b'"n_layer": 3')],
)
def test_an_edited_manifest_is_refused(run, old, new):
    path = step(run, 15) / "manifest.json"
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))
    assert "does not match its own digest" in verify(step(run, 15))[0]


@pytest.mark.parametrize("data", [b"[]", b"null", b"{}", b"[" * 100_000, b'{"a": 1e999}', b"\xff", b"9" * 5000])
def test_a_foreign_manifest_is_a_sentence_not_a_traceback(run, data):
    (step(run, 15) / "manifest.json").write_bytes(data)
    assert newest_good(run)[0] == step(run, 10)


def test_a_renamed_checkpoint_is_refused(run):
    step(run, 15).rename(step(run, 99))
    used, problems = newest_good(run)
    assert used == step(run, 10)
    assert "step_00000015" in problems[0]


def test_all_bad_is_an_error_that_names_every_one_and_never_a_fresh_start(run):
    for iter in (5, 10, 15):
        (step(run, iter) / "optimizer.safetensors").unlink()
    with pytest.raises(CheckpointError) as caught:
        resume(run, toy_state(), FACTS)
    assert caught.value.exit_code == 4
    assert sum("optimizer.safetensors: missing" in problem for problem in caught.value.problems) == 3


def test_no_checkpoint_yet_starts_fresh_and_says_so(tmp_path):
    state = toy_state()
    assert "from scratch" in resume(tmp_path, state, FACTS)[1][0]
    assert state.iter == 0


def test_another_model_or_dataset_is_refused_naming_the_keys(run):
    other = {**FACTS, "must_match": {"n_layer": 3, "tokenizer": "gpt2", "data_sha256": "ab"}}
    with pytest.raises(UserError) as caught:
        resume(run, toy_state(), other)
    assert len(caught.value.problems) == 1
    assert "n_layer 2 -> 3" in str(caught.value)
    assert "tokenizer byte -> gpt2" in str(caught.value)
    assert "data_sha256" not in str(caught.value)


def test_another_machine_is_a_notice_that_names_what_moved(run):
    other = {**FACTS, "bits": {**FACTS["bits"], "threads": 2, "cpu_capability": "AVX2"}}
    _, notices = resume(run, toy_state(), other)
    assert "not bit for bit: cpu_capability AVX512 -> AVX2, threads 1 -> 2" in notices


def test_a_checkpoint_from_before_a_setting_existed_is_no_notice(run):
    _, notices = resume(run, toy_state(), {**FACTS, "bits": {**FACTS["bits"], "chunked_loss": True}})
    assert not any("bit for bit" in notice for notice in notices)


def test_a_model_of_another_shape_is_one_line(run):
    state = toy_state()
    state.model.extra = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(CheckpointError, match="extra"):
        load(step(run, 15), state)


def test_a_checkpoint_with_part_of_the_optimizer_is_refused(tmp_path):
    state = take_steps(toy_state(), 2)
    del state.optimizer.state[state.model.scalar]
    saved = save(tmp_path, state, FACTS)
    with pytest.raises(CheckpointError, match="4 of 5 parameters"):
        load(saved.path, toy_state())


def test_moments_without_the_name_of_a_parameter_are_one_line(tmp_path):
    with pytest.raises(CheckpointError, match="holds t0, which this optimizer does not update"):
        restore_moments(tmp_path, toy_state(), {"t0": torch.zeros(0)})


def test_restored_moments_are_aligned_as_fresh_ones_are(run):
    """Views of the file's bytes would start anywhere, and slow every later step down."""
    state = toy_state()
    load(step(run, 15), state)
    moments = [value for moments in state.optimizer.state.values() for value in moments.values()]
    assert len(moments) == 15
    assert [value.data_ptr() % 64 for value in moments] == [0] * 15


def test_the_weights_hash_ignores_everything_but_names_and_bits():
    state = toy_state()
    before = weights_sha256(state.model)
    assert before == weights_sha256(toy_state().model)
    with torch.no_grad():
        state.model.scalar.view(torch.int32).bitwise_xor_(1)
    assert weights_sha256(state.model) != before


def test_loading_never_unpickles_and_never_imports(run):
    calls = []
    armed = True

    def hook(name: str, args: tuple) -> None:
        if armed and (name.startswith(("pickle.", "marshal.")) or name in ("exec", "compile")):
            calls.append(name)

    sys.addaudithook(hook)
    resume(run, toy_state(), FACTS)
    armed = False
    assert calls == []


def test_a_failed_write_leaves_the_older_ones_and_no_leftovers(run, monkeypatch):
    state = take_steps(toy_state(), 20)
    real = os.write
    for error in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
        for fail_at in range(1, 5):
            calls = 0

            def failing(fd, data, error=error, fail_at=fail_at):
                nonlocal calls
                calls += 1
                if calls == fail_at:
                    real(fd, bytes(data)[: len(data) // 2])  # a short write first, as a disk that fills up does
                    raise OSError(error, os.strerror(error))
                return real(fd, data)

            monkeypatch.setattr(os, "write", failing)
            with pytest.raises(GptmillError) as caught:
                save(run, state, FACTS)
            monkeypatch.setattr(os, "write", real)
            assert os.strerror(error) in str(caught.value)
            assert str(step(run, 20)) in str(caught.value)
            assert "free on this disk" in str(caught.value)
            assert sorted(os.listdir(run / "checkpoints")) == [step(run, i).name for i in (5, 10, 15)]
    assert newest_good(run) == (step(run, 15), [])
    save(run, state, FACTS)
    assert newest_good(run) == (step(run, 20), [])


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failed_fsync_or_rename_means_the_checkpoint_does_not_exist(run, monkeypatch, call):
    def failing(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(GptmillError, match="Input/output error"):
        save(run, take_steps(toy_state(), 20), FACTS)
    monkeypatch.undo()
    assert sorted(os.listdir(run / "checkpoints")) == [step(run, i).name for i in (5, 10, 15)]


def test_a_disk_that_takes_one_byte_at_a_time_still_gets_the_whole_file(run, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:97])))
    save(run, take_steps(toy_state(), 20), FACTS)
    assert newest_good(run)[0] == step(run, 20)


def test_what_is_read_back_is_compared_with_what_was_meant(run, monkeypatch):
    real = os.write

    def lying(fd, data):
        data = bytearray(data)
        data[-3] ^= 1
        return real(fd, bytes(data))

    monkeypatch.setattr(os, "write", lying)
    with pytest.raises(GptmillError, match="read back"):
        save(run, take_steps(toy_state(), 20), FACTS)


def test_a_damaged_checkpoint_is_replaced_when_its_step_comes_again(run):
    (step(run, 15) / "state.json").write_bytes(b"{}")
    state = toy_state()
    resume(run, state, FACTS)
    save(run, take_steps(state, 5), FACTS)
    assert newest_good(run) == (step(run, 15), [])
    assert sorted(os.listdir(run / "checkpoints")) == [step(run, i).name for i in (5, 10, 15)]


def test_files_and_folders_are_private(run):
    old = os.umask(0)
    try:
        saved = save(run, take_steps(toy_state(), 20), FACTS)
    finally:
        os.umask(old)
    assert saved.path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in saved.path.iterdir()} == {0o600}


def test_every_order_of_write_is_durable_before_the_name_appears(run, monkeypatch):
    """The rename must come after an fsync of each file and of the folder, and be followed by one of the parent."""
    log: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (log.append(os.readlink(f"/proc/self/fd/{fd}")), real_fsync(fd)))
    monkeypatch.setattr(os, "rename", lambda a, b: (log.append("rename"), real_rename(a, b)))
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    save(run, take_steps(toy_state(), 20), FACTS)
    names = [Path(entry).name for entry in log]
    at = names.index("rename")
    assert sorted(names[: at - 1]) == sorted(FILES)
    assert names[at - 1].startswith(".step_00000020.")
    assert names[at + 1] == "checkpoints"


def test_the_module_has_no_way_to_unpickle():
    assert not hasattr(checkpoint, "pickle")
    assert "torch.load" not in Path(checkpoint.__file__).read_text()


def test_the_hash_of_shared_weights_that_nobody_saved_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation under FSDP trains nothing and saves nothing, and no process has all weights."""
    monkeypatch.setattr("gptmill.train.checkpoint.is_split", lambda model: True)
    plan = small_plan()
    assert checkpoint.result_sha256(tmp_path, new_state(plan), plan) is None
