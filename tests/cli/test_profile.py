"""``--profile START:STOP``: the trace holds those steps and nothing else, and training is what it was."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gptmill.cli.main import main
from gptmill.cli.profiling import ProfileRecorder, Steps, costliest
from gptmill.events import RunDone, RunStarted, StepDone
from tests.cli.run import SMALL, prepare_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile")
    prepare_tiny(folder)
    return folder


@pytest.fixture
def train(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """``train(*words)``: the result that --json prints, and what was said on stderr."""
    monkeypatch.chdir(folder)

    def train(*words: str) -> tuple[dict[str, Any], str]:
        with pytest.raises(SystemExit) as ended:
            main(["train", *SMALL, "--json", *words])
        done = capsys.readouterr()
        assert ended.value.code == 0, done.err
        return json.loads(done.out), done.err

    return train


def operators(run: Path) -> Counter[str]:
    """How often each operator is in the trace."""
    events = json.loads(gzip.decompress((run / "trace.json.gz").read_bytes()))["traceEvents"]
    return Counter(event["name"] for event in events if event.get("cat") in ("cpu_op", "user_annotation"))


def steps_in(found: Counter[str]) -> int:
    return sum(count for name, count in found.items() if name.startswith("Optimizer.step#"))


def test_a_profiled_run_ends_with_the_same_bits(train: Any, folder: Path) -> None:
    plain, _ = train("--out_dir=plain", "--dropout=0.1")
    seen, said = train("--out_dir=seen", "--dropout=0.1", "--profile=3:5")
    assert seen["weights_sha256"] == plain["weights_sha256"] and not (folder / "plain/trace.json.gz").exists()
    assert "steps 3 to 5 are in seen/trace.json.gz" in said and "perfetto" in said
    table = said[said.index("operator  ") :].splitlines()[:11]
    names = [line[:42].rstrip() for line in table[1:]]
    shares = [float(share) for share in re.findall(r"([\d.]+)%", "\n".join(table))]
    assert len(shares) == 10 and shares == sorted(shares, reverse=True) and sum(shares) <= 100
    assert set(names) <= {name[:42] for name in operators(folder / "seen")} | {name for name in names if "..." in name}
    assert all(len(line) <= 80 for line in table)


def test_the_trace_holds_those_steps_and_no_evaluation_before_them(train: Any, folder: Path) -> None:
    # after step 10 an evaluation and a checkpoint come first; after step 1 they do not
    for name, profiled in (("between", "2:4"), ("after", "11:13")):
        train(f"--out_dir={name}", f"--profile={profiled}")
    between, after = operators(folder / "between"), operators(folder / "after")
    assert steps_in(between) == steps_in(after) == 3
    assert between["aten::embedding"] == after["aten::embedding"] > 0
    assert between["aten::mm"] == after["aten::mm"] > 0


def test_a_run_that_goes_on_behind_the_steps_says_so_and_trains(train: Any, folder: Path) -> None:
    train("--out_dir=more", "--max_iters=4")
    result, said = train("--out_dir=more", "--max_iters=6", "--resume", "--profile=2:3")
    assert result["iters"] == 6 and "goes on after step 4" in said and "no trace" in said
    assert not (folder / "more/trace.json.gz").exists()
    train("--out_dir=more", "--max_iters=9", "--resume", "--profile=7:7")
    assert steps_in(operators(folder / "more")) == 1
    train("--out_dir=more", "--overwrite", "--max_iters=2")  # the trace is of the run, and goes with it
    assert not (folder / "more/trace.json.gz").exists()


MISTAKES = {
    "5": "--profile=10:12", "x:y": "--profile=10:12", "": "--profile=10:12", "1:2:3": "--profile=10:12", "-1:4": "10:12",
    "9:3": "--profile=3:9", "0:4": "--profile=1:4", "1:5000": "at most 100", "19:30": "--profile=18:20",
}  # fmt: skip
RUN = """
import sys
from gptmill.cli.main import main
for typed in sys.argv[1].split("|"):
    try:
        main(["train", "quick", "--device=cpu", "--max_iters=20", "--profile=" + typed])
    except SystemExit as ended:
        assert ended.code == 2, (typed, ended.code)
assert "torch" not in sys.modules
"""


def test_nonsense_is_refused_in_one_line_before_torch_and_before_a_run_folder_is_made(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN.replace("quick", "--dataset=tiny"), "|".join(MISTAKES)],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(MISTAKES)
    for (typed, way_out), line in zip(MISTAKES.items(), said):
        assert line.startswith(f"error: --profile={typed}") and way_out in line, line
    assert not (folder / "out").exists()


def test_the_profilers_library_stays_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recorder = ProfileRecorder(tmp_path, Steps(1, 1), SimpleNamespace(device="cpu"))  # type: ignore[arg-type]
    (notice,) = [notice for event in (RunStarted(0, 9, 64), step(1)) for notice in recorder(event)]
    said = capfd.readouterr()
    assert "steps 1 to 1" in notice.says and said.out == ""
    assert all(line.startswith("operator") for line in said.err.splitlines())


def step(number: int) -> StepDone:
    return StepDone(number, 1.0, 1e-3, 1.0, 64, 0.01)


def test_a_trace_that_cannot_be_written_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "trace.json.gz").mkdir()
    recorder = ProfileRecorder(tmp_path, Steps(2, 3), SimpleNamespace(device="cpu"))  # type: ignore[arg-type]
    told = [list(recorder(event)) for event in (RunStarted(0, 9, 64), step(1), step(2), step(3), step(4))]
    assert [len(notices) for notices in told] == [0, 0, 0, 1, 0]
    assert "could not be written" in told[3][0].says and "training goes on" in told[3][0].says


@pytest.mark.parametrize("ended, words", [(1, "no trace"), (2, "steps 2 to 2 are in")])
def test_a_run_that_ends_early_leaves_what_it_has(tmp_path: Path, ended: int, words: str) -> None:
    recorder = ProfileRecorder(tmp_path, Steps(2, 4), SimpleNamespace(device="cpu"))  # type: ignore[arg-type]
    events = [RunStarted(0, 9, 64), *(step(number) for number in range(1, ended + 1)), RunDone(ended, None)]
    (notice,) = [notice for event in events for notice in recorder(event)]
    assert words in notice.says and (tmp_path / "trace.json.gz").exists() == (ended == 2)


def row(key: str, kind: str, gpu: float, cpu: float) -> SimpleNamespace:
    kind_of = SimpleNamespace(name=kind)
    return SimpleNamespace(
        key=key, device_type=kind_of, self_device_time_total=gpu, self_cpu_time_total=cpu, count=4
    )  # fmt: skip


def test_on_a_gpu_operators_are_ranked_by_the_time_of_their_kernels_counted_once() -> None:
    rows = [row("aten::mm", "CPU", 3e6, 5), row("aten::add", "CPU", 1e6, 90), row("sm90_gemm", "CUDA", 3e6, 0)]
    table = costliest([*rows, row("add_kernel", "CUDA", 1e6, 0)], steps=2)
    assert [line.split() for line in table[1:]] == [
        ["aten::mm", "75.0%", "1.5", "s", "2.0"],
        ["aten::add", "25.0%", "500", "ms", "2.0"],
    ]
