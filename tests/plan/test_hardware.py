from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

import pytest

from gptmill.config.schema import Config
from gptmill.errors import UserError
from gptmill.plan import hardware, nvidia
from gptmill.plan.devices import device_of
from gptmill.plan.hardware import (
    ATTENTION_MANUAL_MAX_CPU,
    detect_machine,
    settle_attention,
    settle_compile,
    settle_dtype,
    share_of,
)
from gptmill.plan.nvidia import Gpu, parse, visible
from gptmill.plan.types import Machine
from tests.plan.facts import AMPERE, CPU, CPU_BF16, GIB, MPS, TURING

H200 = Gpu("NVIDIA H200", 143_771 * 2**20, (9, 0), "0", "GPU-aaaa")
T4 = Gpu("Tesla T4", 15_360 * 2**20, (7, 5), "1", "GPU-bbbb")
LISTING = "0, GPU-aaaa, NVIDIA H200, 143771, 9.0\n1, GPU-bbbb, Tesla T4, 15360, 7.5\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of an x86 Linux machine: 8 cores, 16 GiB, no GPU, no cgroup limits."""
    write(tmp_path / "proc/cpuinfo", "processor : 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512f\n\n")
    write(tmp_path / "proc/meminfo", f"MemTotal:       {16 * 2**20} kB\nMemFree:  1 kB\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(hardware, "gpus", lambda _root: [])
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_plain_cpu_is_read_from_proc(machine: Path) -> None:
    assert detect_machine("auto", root=machine) == Machine("cpu", "Some CPU @ 2 GHz", 8, 16 * GIB, bf16=False)


def test_processes_of_a_cpu_share_its_memory_and_each_has_a_gpu_of_its_own() -> None:
    shared = [share_of(found, 4).memory for found in (CPU, MPS, AMPERE)]
    assert CPU.memory and MPS.memory and shared == [CPU.memory // 4, MPS.memory // 4, AMPERE.memory]
    assert share_of(Machine("cpu", "unknown", 1, None, bf16=False), 4).memory is None


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_a_cpu_gains_from_bfloat16_when_it_multiplies_it(machine: Path, flag: str) -> None:
    write(machine / "proc/cpuinfo", f"model name : X\nflags : fpu {flag} avx2\n")
    assert detect_machine("cpu", root=machine).bf16


def test_version_2_cgroups_limit_cores_and_memory_at_any_level(machine: Path) -> None:
    cgroup = machine / "sys/fs/cgroup"
    write(machine / "proc/self/cgroup", "0::/outer/inner\n")
    write(cgroup / "outer/inner/cpu.max", "max 100000\n")
    write(cgroup / "outer/inner/memory.max", f"{6 * GIB}\n")
    write(cgroup / "outer/cpu.max", "250000 100000\n")
    write(cgroup / "outer/memory.max", f"{4 * GIB}\n")
    found = detect_machine("cpu", root=machine)
    assert (found.cores, found.memory) == (2, 4 * GIB)


def test_version_1_cgroups_limit_cores_and_memory(machine: Path) -> None:
    cgroup = machine / "sys/fs/cgroup"
    write(machine / "proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n")
    write(cgroup / "cpu/cpu.cfs_quota_us", "50000\n")  # seen from inside a container: the mount is its own cgroup
    write(cgroup / "cpu/cpu.cfs_period_us", "100000\n")
    write(cgroup / "memory/docker/abc/memory.limit_in_bytes", f"{3 * GIB}\n")
    write(cgroup / "memory/memory.limit_in_bytes", "9223372036854771712\n")
    found = detect_machine("cpu", root=machine)
    assert (found.cores, found.memory) == (1, 3 * GIB)


@pytest.mark.parametrize("quota", ["-1", "max 100000", "", "nonsense"])
def test_no_limit_in_any_spelling_is_no_limit(machine: Path, quota: str) -> None:
    write(machine / "proc/self/cgroup", "0::/\n1:cpu:/\n")
    write(machine / "sys/fs/cgroup/cpu.max", quota)
    write(machine / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota)
    write(machine / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert detect_machine("cpu", root=machine).cores == 8


def test_a_machine_that_tells_nothing_is_still_a_cpu(machine: Path, tmp_path: Path) -> None:
    found = detect_machine("auto", root=tmp_path / "nowhere")
    assert (found.kind, found.memory, found.bf16) == ("cpu", None, False)


def test_auto_prefers_the_gpu_and_an_index_picks_among_them(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "gpus", lambda _root: [H200, T4])
    assert detect_machine("auto", root=machine) == Machine("cuda", "NVIDIA H200", 8, 143_771 * 2**20, bf16=True)
    assert detect_machine("cuda:1", root=machine) == Machine("cuda", "Tesla T4", 8, 15_360 * 2**20, bf16=False)
    assert detect_machine("cpu", root=machine).kind == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_here_is_refused_naming_auto(machine: Path, device: str) -> None:
    with pytest.raises(UserError, match=f"device={device}: .*device=auto"):
        detect_machine(device, root=machine)


def test_a_device_that_a_file_asks_for_is_replaced_as_auto_would(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert detect_machine("cuda", demanded=False, root=machine).kind == "cpu"
    monkeypatch.setattr(hardware, "gpus", lambda _root: [H200])
    assert detect_machine("mps", demanded=False, root=machine).kind == "cuda"
    with pytest.raises(UserError, match="device=cuda:1"):  # one particular GPU is a demand wherever it is written
        detect_machine("cuda:1", demanded=False, root=machine)


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:x", "cuda:-1", "cpu:0", "CUDA", "", "auto:1", "cuda:99999", "cuda:\u0661"]
)
def test_an_unknown_device_is_refused_naming_the_known_ones(machine: Path, device: str) -> None:
    with pytest.raises(UserError, match=f"device={device}: unknown; one of auto, cpu, cuda, cuda:N, mps"):
        detect_machine(device, root=machine)


def test_apple_silicon_is_found_and_an_intel_mac_is_a_cpu(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert detect_machine("auto", root=machine).kind == "mps"
    told = subprocess.CompletedProcess([], 0, stdout="Apple M2 Max\n")
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: told)
    found = device_of(detect_machine("mps", root=machine).name)
    assert found and found.name == "M2 Max"
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert detect_machine("auto", root=machine).kind == "cpu"


def test_nvidia_smi_is_read_line_by_line_and_noise_is_skipped() -> None:
    assert parse(LISTING) == [H200, T4]
    assert parse("No devices were found\n") == []
    assert parse("0, GPU-cccc, NVIDIA GB10, [N/A], 12.1\n") == [Gpu("NVIDIA GB10", None, (12, 1), "0", "GPU-cccc")]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, [H200, T4]),
        ("", []),
        ("-1", []),
        ("1", [T4]),
        ("1,0", [T4, H200]),
        ("0,7,1", [H200]),  # cut at the first that does not exist
        ("GPU-bbbb", [T4]),
        ("GPU-bb", [T4]),
        (" 1 ", [T4]),
    ],
)
def test_cuda_visible_devices_means_what_cuda_documents(variable: str | None, expected: list[Gpu]) -> None:
    assert visible([H200, T4], variable) == expected


def test_a_slice_of_a_gpu_says_so_and_has_unknown_memory() -> None:
    assert visible([H200], "MIG-1234") == [Gpu("NVIDIA H200 MIG", None, (9, 0))]


def test_an_empty_cuda_visible_devices_hides_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_smi(tmp_path, monkeypatch, f"printf '{LISTING}'")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nvidia.gpus(tmp_path) == [H200, T4]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert nvidia.gpus(tmp_path) == []


@pytest.mark.parametrize("script", ["sleep 60", "exit 9", "echo broken"])
def test_a_driver_whose_tool_hangs_or_fails_is_read_from_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    fake_smi(tmp_path, monkeypatch, script)
    monkeypatch.setattr(nvidia, "PATIENCE", 0.2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    write(tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA A100\nIRQ: 1\n")
    began = time.monotonic()
    assert nvidia.gpus(tmp_path) == [Gpu("NVIDIA A100", None, (0, 0), index="0")]
    assert time.monotonic() - began < 10  # a hanging tool is given up on


def fake_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    tool = tmp_path / "bin/nvidia-smi"
    write(tool, f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("asked", "machine", "settled"),
    [
        ("auto", CPU, "float32"),
        ("auto", CPU_BF16, "bfloat16"),
        ("auto", TURING, "float16"),
        ("auto", AMPERE, "bfloat16"),
        ("auto", MPS, "float32"),
        ("float16", CPU, "float16"),
        ("float32", AMPERE, "float32"),
    ],
)
def test_auto_dtype_is_the_fast_one_and_an_explicit_one_is_obeyed(asked: str, machine: Machine, settled: str) -> None:
    assert settle_dtype(asked, machine) == settled


@pytest.mark.parametrize("machine, dtype", [(CPU, "float32"), (CPU_BF16, "bfloat16")])
def test_auto_attention_is_plain_only_for_short_contexts_or_dropout_on_a_cpu(machine: Machine, dtype: str) -> None:
    longest = ATTENTION_MANUAL_MAX_CPU[dtype]
    short, long = Config(block_size=longest), Config(block_size=longest + 1)
    assert settle_attention(short, machine) == "manual"
    assert settle_attention(long, machine) == "sdpa"
    assert settle_attention(Config(block_size=longest + 1, dropout=0.1), machine) == "manual"
    assert settle_attention(short, AMPERE) == "sdpa"
    assert settle_attention(Config(attention_backend="sdpa", block_size=8), machine) == "sdpa"


def test_auto_compiles_on_cuda_only() -> None:
    assert [settle_compile(Config(), m) for m in (CPU, TURING, AMPERE, MPS)] == [False, True, True, False]
    assert settle_compile(Config(compile=True), CPU)
    assert not settle_compile(Config(compile=False), AMPERE)
