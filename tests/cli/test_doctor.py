"""``gptmill doctor``: every check finds what is wrong, none can hang or take the others down, and nothing is said unmeasured."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from gptmill.cli import doctor as command
from gptmill.cli.checks import processes, pytorch, speed
from gptmill.cli.checks.__main__ import found
from gptmill.cli.checks.base import OK, PROBLEM, Check, Found
from gptmill.cli.checks.catalogue import catalogue, measurements
from gptmill.cli.checks.isolated import examine
from gptmill.cli.doctor import beside_peak, doctor
from gptmill.plan.hardware import free_memory
from gptmill.plan.types import Machine
from tests.cli.run import gptmill

ROOT = Path(__file__).parents[2]
CPU = Machine("cpu", "Some CPU", 2, 2**34, bf16=False)
H200 = Machine("cuda", "NVIDIA H200", 16, 141 * 2**30, bf16=True)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What doctor says of this machine, in a home of its own and with no compiler on the path."""
    home = tmp_path_factory.mktemp("home")
    return gptmill(home, "doctor", "--json", HOME=str(home), PATH=str(home), CXX="").json()


def lines(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in report["checks"]}


def test_a_machine_that_runs_this_suite_works_and_what_it_lacks_is_missing(report: dict[str, Any]) -> None:
    told = lines(report)
    assert report["works"] and all(line["status"] == OK for line in told.values() if line["needed"])
    assert told["GPT-2 tokenizer"]["status"] == "missing" and "download" in told["GPT-2 tokenizer"]["try"]
    assert told["torch.compile"]["status"] == "missing" and "g++" in told["torch.compile"]["try"]
    assert told["gloo"]["status"] == OK and told["text to train on"]["status"] == OK
    assert all(line["try"] for line in told.values() if line["status"] != OK)


def test_its_figures_are_those_of_the_systems_own_tools(report: dict[str, Any], tmp_path: Path) -> None:
    told = lines(report)
    threads = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}  # nproc obeys these
    assert told["cores"]["figures"]["usable"] <= int(subprocess.check_output(["nproc"], env=threads))
    free = told["memory"]["figures"]["free_bytes"]
    available = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    assert available and 0.3 < free / (int(available[1]) * 1024) < 1.5  # others come and go
    room = told["output folder"]["figures"]["free_bytes"]
    assert room == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert version("torch") in told["torch"]["says"] and torch.__version__ == told["torch"]["figures"]["version"]
    assert {told[name]["figures"]["version"] for name in ("pyarrow", "kconfiglib")} == {
        version("pyarrow"),
        version("kconfiglib"),
    }


def test_the_guide_explains_every_line_and_the_screen_shows_them_in_80_columns(
    report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/guide/doctor.md").read_text()
    for name, line in lines(report).items():
        assert f"| {name} |" in page, name
        check = Check(name, lambda: Found(OK, ""), "", line["needed"])
        command._print(check, Found(line["status"], line["says"], line["try"], line["figures"]))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    # a path may stick out: it stays in one piece, to be copied
    assert all(len(line) <= 80 or max(map(len, line.split())) > 50 for line in shown.splitlines())


STUB = """
import json, os, signal, subprocess, sys, time
ok = lambda says: print(json.dumps({"status": "ok", "says": says}), flush=True)
for name in sys.argv[1:]:
    if name == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    if name == "memory": os.kill(os.getpid(), signal.SIGKILL)
    if name == "leave": sys.exit(7)
    if name == "hang":
        child = subprocess.Popen(["sleep", "600"])
        open("child", "w").write(str(child.pid))
        time.sleep(600)
    ok(name)
"""


def test_a_check_that_crashes_hangs_or_leaves_is_one_line_and_the_others_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["first", "crash", "memory", "second", "hang", "leave", "last"]
    checks = [Check(name, lambda: Found(OK, ""), "do without", seconds=2) for name in names]
    began = time.perf_counter()
    told = {check.name: found for check, found in examine(checks, ["-c", STUB])}
    assert time.perf_counter() - began < 10
    assert list(told) == names
    assert all(told[name] == Found(OK, name) for name in ("first", "second", "last"))
    for name, words in {"crash": "SIGSEGV", "memory": "memory", "hang": "no answer within 2.0 s", "leave": "7"}.items():
        assert told[name].status == PROBLEM and words in told[name].says and told[name].try_ == "do without"
    with pytest.raises(ProcessLookupError):  # what the hanging check had started is gone with it
        for _ in range(50):
            os.kill(int(Path("child").read_text()), 0)
            time.sleep(0.1)


def test_a_torch_that_crashes_when_it_is_imported_is_a_report_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    done = gptmill(tmp_path, "doctor", PYTHONPATH=str(tmp_path))
    assert done.code == 1 and done.err == ""
    assert "torch            problem  crashed with SIGSEGV" in done.out and "kconfiglib       ok" in done.out
    assert done.out.endswith("here: torch, device, fused attention, fused\nAdamW.\n")


def test_a_check_that_raises_is_a_problem_with_its_first_line() -> None:
    def broken() -> Found:
        raise RuntimeError("no kernel image\nis available\nfor this device")

    assert found(Check("x", broken, "another torch")) == Found(
        PROBLEM, "RuntimeError: no kernel image", "another torch"
    )


def uncausal(*tensors: torch.Tensor, is_causal: bool) -> torch.Tensor:
    return scaled_dot_product_attention(*tensors)


class Hasty(torch.optim.SGD):
    def __init__(self, params: Any, fused: bool, **options: Any) -> None:
        super().__init__(params, lr=0.02 if fused else 0.01)


@pytest.mark.parametrize(
    "check, broken, by",
    [
        (pytorch.attention, "torch.nn.functional.scaled_dot_product_attention", uncausal),
        (pytorch.adamw, "torch.optim.AdamW", Hasty),
        (pytorch.compiled, "torch.compile", lambda function: torch.cos),
        (pytorch.bfloat16, "torch.bfloat16", torch.int8),
        (pytorch.device, "torch.arange", lambda stop, device: torch.ones(stop)),
    ],
)
def test_a_part_of_torch_that_computes_wrongly_is_a_problem(
    check: Any, broken: str, by: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if check is not pytorch.compiled:  # a compiler takes its time; the report has it
        assert check(CPU).status == OK
    monkeypatch.setattr(broken, by)
    assert found(Check("x", lambda: check(CPU), "remedy")).status == PROBLEM


def test_a_device_without_bfloat16_is_told_which_dtype_it_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "bfloat16", torch.bits8)  # a dtype that has no products
    lacking = pytorch.bfloat16(CPU)
    assert lacking.status == "missing" and "float32" in lacking.try_


def test_two_processes_that_add_up_wrongly_or_never_meet_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SUM", "import sys; sys.exit(3)")
    assert "add up" in processes.gloo().says and processes.gloo().status == PROBLEM
    monkeypatch.setattr(processes, "SUM", "raise SystemExit(1)")
    assert "talk" in processes.gloo().says


def test_a_torch_that_does_not_fit_the_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.version.cuda is None:
        idle = pytorch.build(H200)
        assert idle.status == PROBLEM and "NVIDIA H200" in idle.says and "pip install torch" in idle.try_
        assert pytorch.device(H200).status == PROBLEM
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    large = pytorch.build(CPU)
    assert large.status == OK and "no GPU" in large.says and large.try_.endswith("whl/cpu")
    assert pytorch.build(H200).status == OK and not pytorch.build(H200).try_


def test_free_memory_is_what_the_tightest_cgroup_leaves(tmp_path: Path) -> None:
    """Source of the rule: Linux, Documentation/admin-guide/cgroup-v2.rst, memory.current includes the page cache."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n")
    assert free_memory(tmp_path) == 8_000_000 * 1024
    (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
    for folder, limit, used, cache in (("job", "max", 5, 0), (".", 3_000_000_000, 2_500_000_000, 400_000_000)):
        here = tmp_path / "sys/fs/cgroup" / folder
        here.mkdir(parents=True, exist_ok=True)
        (here / "memory.max").write_text(f"{limit}\n")
        (here / "memory.current").write_text(f"{used}\n")
        (here / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\nactive_file 7\n")
    assert free_memory(tmp_path) == 900_000_000
    assert free_memory(tmp_path / "nowhere") is None


def test_a_folder_that_cannot_be_written_ends_in_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def disks(machine: Machine, *folders: Path) -> list[Check]:
        return [check for check in catalogue(machine, *folders) if "folder" in check.name]

    monkeypatch.setattr(command, "catalogue", disks)
    assert doctor(data_dir=Path("/proc/nowhere"), out_dir=ROOT) == 1
    shown = capsys.readouterr().out
    assert "data folder      problem" in shown and "output folder    ok" in shown
    assert shown.endswith("Training needs what does not work here: data folder.\n")


def test_the_work_that_is_timed_is_what_pytorchs_counter_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    def one_second(statement: str, names: dict[str, torch.Tensor]) -> float:
        if "a" in names:
            with FlopCounterMode(display=False) as counter:
                torch.matmul(names["a"], names["b"])
            counted.append(counter.get_total_flops())
        else:
            counted.append(sum(tensor.nbytes for tensor in names.values()))
        return 1.0

    monkeypatch.setattr(speed, "fastest", one_second)
    monkeypatch.setattr(speed, "SIZES", {"cpu": (64, 96)})
    monkeypatch.setattr(speed, "TOO_LONG", 2.0)
    rate = speed.matmul("cpu", "bfloat16").figures["flops_per_second"]
    assert rate == max(counted) and len(counted) == 2
    assert speed.copy("cpu").figures["bytes_per_second"] == counted[-1]


def test_the_clock_reads_the_time_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.1)
    assert 0.01 <= speed.fastest("nap(0.01)", {"nap": time.sleep}) < 0.02  # type: ignore[dict-item]


def test_a_measured_rate_stands_beside_the_published_dense_peak() -> None:
    """989.5 TFLOP/s: NVIDIA H200 data sheet, 1,979 with sparsity, halved."""
    measured = Found(OK, "", figures={"flops_per_second": 494.75e12, "dtype": "bfloat16", "device": "cuda"})
    half = beside_peak(H200, measured)
    assert half.figures["share_of_published"] == pytest.approx(0.5) and "50% of the published" in half.says
    measured.figures["device"] = "cpu"
    assert beside_peak(H200, measured).figures["published_flops_per_second"] is None
    names = [check.name for check in measurements(H200)]
    assert len(names) == len(set(names)) and {"cuda bfloat16", "cuda copy", "cpu float32"} <= set(names)


def test_measuring_prints_rates_that_this_machine_can_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.05)
    monkeypatch.setattr(speed, "SIZES", {"cpu": (256, 512)})
    monkeypatch.setattr(command, "detect_machine", lambda: CPU)
    monkeypatch.setattr(command, "examine", lambda checks, _: ((check, check.look()) for check in checks))
    assert doctor(measure=True, json=True) == 0
    figures = {line["name"]: line["figures"] for line in json.loads(capsys.readouterr().out)["checks"]}
    n, a = 512, torch.ones(512, 512)
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    seen = 20 * 2 * n**3 / (time.perf_counter() - began)
    assert seen / 4 < figures["cpu float32"]["flops_per_second"] < seen * 20  # this loop was neither warm nor alone
    assert figures["cpu copy"]["bytes_per_second"] > 1e8 and "cpu bfloat16" in figures


def test_the_command_itself_never_loads_torch() -> None:
    probe = "import sys, gptmill.cli.doctor; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe]).returncode == 0


def test_the_root_shim_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, ROOT / "test_imports.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "gptmill doctor" in done.stdout and "--measure" in done.stdout
    assert json.dumps("doctor") in (ROOT / "test_imports.py").read_text()
