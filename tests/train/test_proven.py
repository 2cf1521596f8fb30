"""What is read out of a checkpoint's file: what safetensors reads, only if it was saved so, and held once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from gptmill.cli.weights import load_model, read_weights
from gptmill.errors import CheckpointError
from gptmill.model.gpt import build
from gptmill.shapes import ModelShape
from gptmill.train import manifest
from gptmill.train.manifest import MANIFEST, MOMENTS, NUMBERS, WEIGHTS, Manifest
from gptmill.train.proven import read_tensors
from gptmill.train.tensorfile import DTYPES, write_tensors

SHAPE = ModelShape(n_layer=2, n_head=2, n_embd=16, block_size=8, vocab_size=24, ffn_dim=64)
LARGE = ModelShape(n_layer=5, n_head=8, n_embd=512, block_size=64, vocab_size=256, ffn_dim=2048)


def held(folder: Path, data: bytes) -> Manifest:
    """A folder with a file of these bytes, and a manifest that says so."""
    (folder / WEIGHTS).write_bytes(data)
    return Manifest(1, True, {WEIGHTS: manifest.fingerprint(data)}, {})


def checkpoint(run: Path, shape: ModelShape) -> Path:
    """A run's checkpoint as far as weights are read from it."""
    folder = run / "checkpoints" / manifest.step_name(1)
    folder.mkdir(parents=True)
    model = build(shape, seed=1)
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    files = {WEIGHTS: write_tensors(folder / WEIGHTS, weights), MOMENTS: write_tensors(folder / MOMENTS, {})}
    (folder / NUMBERS).write_bytes(b"{}")
    files[NUMBERS] = manifest.fingerprint(b"{}")
    (folder / MANIFEST).write_bytes(manifest.encode(Manifest(1, True, files, {"must_match": vars(shape)})))
    return folder


def test_tensors_of_every_dtype_and_shape_are_what_safetensors_reads(tmp_path: Path) -> None:
    shapes = [(3, 5), (), (0, 4), (1,), (2, 3, 7)]
    tensors = {f"{name}{shape}": torch.randint(0, 2, shape).to(dtype) for dtype, name in DTYPES.items() for shape in shapes}  # fmt: skip
    write_tensors(tmp_path / "x", tensors, {"format": "pt"})
    data = (tmp_path / "x").read_bytes()
    found = {name: one.tensor() for name, one in read_tensors(tmp_path, WEIGHTS, held(tmp_path, data)).items()}
    theirs = load(data)
    assert found.keys() == theirs.keys() == tensors.keys()
    assert all(torch.equal(found[name], theirs[name]) and found[name].dtype == theirs[name].dtype for name in theirs)


def test_every_changed_byte_and_every_cut_is_found(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x", {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bool)})
    data = (tmp_path / "x").read_bytes()
    saved = held(tmp_path, data)
    wrong = [data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :] for n in range(len(data))]
    for damaged in (*wrong, *(data[:n] for n in range(len(data))), data + b"x"):
        (tmp_path / WEIGHTS).write_bytes(damaged)
        with pytest.raises(CheckpointError, match=f"{WEIGHTS}: damaged"):
            read_tensors(tmp_path, WEIGHTS, saved)


F32 = {"dtype": "F32", "shape": [2]}
LIES: list[Any] = [
    [], {"a": 7}, {"a": {**F32}}, {"a": {**F32, "data_offsets": [0, 4]}}, {"a": {**F32, "data_offsets": [8, 0]}},
    {"a": {**F32, "data_offsets": [0, 8.0]}}, {"a": {**F32, "data_offsets": [0, 8, 9]}}, {"a": {**F32, "data_offsets": "08"}},
    {"a": {**F32, "data_offsets": [0, 8]}, "b": {**F32, "data_offsets": [0, 8]}}, {"a": {**F32, "data_offsets": [8, 16]}},
    {"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}},
    {"a": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}, {"a": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}},
    {"a": {"dtype": "F31", "shape": [2], "data_offsets": [0, 8]}}, {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
]  # fmt: skip


@pytest.mark.parametrize("header", [*(json.dumps(lie).encode() for lie in LIES), b"{", b"\xff", b"[" * 100_000])
def test_a_header_that_lies_is_one_line_even_where_its_hash_is_right(tmp_path: Path, header: bytes) -> None:
    data = len(header).to_bytes(8, "little") + header + bytes(8)
    with pytest.raises(CheckpointError, match="not safetensors") as refused:
        read_tensors(tmp_path, WEIGHTS, held(tmp_path, data))
    assert len(refused.value.problems) == 1
    with pytest.raises(CheckpointError, match="not safetensors"):
        read_tensors(tmp_path, WEIGHTS, held(tmp_path, (2**63).to_bytes(8, "little") + header))


def test_a_model_has_the_weights_that_were_proven_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, SHAPE)
    weights = read_weights(tmp_path)
    with open(folder / WEIGHTS, "r+b") as file:  # in its place: an open file would see it
        file.truncate(0)
        file.write(bytes(10_000))
    model, saved = load_model(weights, "cpu"), build(SHAPE, seed=1)
    for name, weight in saved.named_parameters():
        assert torch.equal(model.get_parameter(name), weight)
    with pytest.raises(CheckpointError):
        load_model(weights, "cpu")


MEASURE = """
import re, sys
from pathlib import Path
from gptmill.cli.weights import load_model, read_weights
def peak():  # not getrusage's: that begins with the peak of who started this process
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
load_model(read_weights(Path(sys.argv[1])), "cpu")  # what is imported for it is not counted
before = peak()
load_model(read_weights(Path(sys.argv[2])), "cpu")
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_loading_takes_one_copy_of_the_weights_and_a_tensor(tmp_path: Path) -> None:
    checkpoint(tmp_path / "small", SHAPE)
    folder = checkpoint(tmp_path / "large", LARGE)
    n_bytes, largest = (folder / WEIGHTS).stat().st_size, 4 * LARGE.n_embd * LARGE.ffn_dim
    command = [sys.executable, "-c", MEASURE, tmp_path / "small", tmp_path / "large"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert n_bytes > 60e6
    assert 0.9 * n_bytes < int(done.stdout) < n_bytes + largest + 16e6, done.stdout
