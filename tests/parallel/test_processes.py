"""Several processes under torchrun are one run: the losses, the checkpoints and the words of a single process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.numpy

from gptmill.train.stragglers import LOOKS
from tests.cli.run import ROOT, SMALL, Done, gptmill, prepare_tiny
from tests.parallel.planted import SLEEP, SLOWED

TORCHRUN = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc_per_node=2"]
# two micro-batches a step, each process takes one of them; dropout, which must not notice
LONG = [*SMALL, "--gradient_accumulation_steps=4", "--dropout=0.1", "--max_iters=60", "--dtype=float32"]


def start(folder: Path, *words: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, *options, "-m", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=120)
    return Done(process.returncode, out, err, 0)


def told(run: Path, kind: str) -> list[dict[str, object]]:
    return [line for line in map(json.loads, (run / "metrics.jsonl").open()) if line["event"] == kind]


def weights(run: Path) -> dict[str, object]:
    return safetensors.numpy.load_file((run / "checkpoints" / "step_00000060" / "model.safetensors").resolve())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process that nothing disturbed."""
    folder = tmp_path_factory.mktemp("alone")
    prepare_tiny(folder)
    assert gptmill(folder, "train", *LONG, "--out_dir=one").code == 0
    return folder


def equal(run: Path, one: Path) -> None:
    for name, expected in weights(one).items():
        assert weights(run)[name] == pytest.approx(expected, abs=1e-5), name


def test_two_processes_make_the_run_of_one(alone: Path) -> None:
    auto = ["--auto_batch_size", "--max_batch_size=4"]  # tried by both, it stays 4
    done = ended(start(alone, "gptmill", "train", *LONG, *auto, "--out_dir=two", "--json"))
    result = done.json()  # one object, from one process
    (said,) = [line for line in done.err.splitlines() if line.startswith("batch_size=4: takes")]
    assert said.endswith("in each of 2 processes when tried")
    (started,), (other,) = told(alone / "two", "run_started"), told(alone / "one", "run_started")
    assert started["tokens_per_iter"] == other["tokens_per_iter"] == 4 * 4 * 16
    plans = [json.loads((alone / run / "plan.json").read_text()) for run in ("one", "two")]
    assert plans[0]["flops_per_token"] == plans[1]["flops_per_token"] == result["flops_per_token"]
    assert [plan["micro_steps"] for plan in plans] == [4, 2]
    for kind, key in (
        ("step_done", "loss"),
        ("step_done", "grad_norm"),
        ("eval_done", "val_loss"),
        ("eval_done", "train_loss"),
    ):
        mine, expected = ([line[key] for line in told(alone / run, kind)] for run in ("two", "one"))
        assert len(mine) > 5 and mine == pytest.approx(expected, abs=1e-5), key
    equal(alone / "two", alone / "one")
    assert done.err.count("Using device: 2 x cpu") == 1 and done.err.count("step 60: done") == 1
    assert sorted(path.name for path in alone.glob("*/metrics.jsonl")) == ["metrics.jsonl"] * 2


def test_a_signal_commits_and_one_process_ends_what_two_began(alone: Path) -> None:
    process = start(alone, "gptmill", "train", *LONG, "--out_dir=stopped", "--eval_interval=1")
    wait_for(alone / "stopped" / "metrics.jsonl", '"event": "checkpoint_saved"')
    process.send_signal(signal.SIGTERM)
    done = ended(process)
    assert process.returncode != 0 and "Traceback" not in ours(done.err), done.err
    (stopped,) = told(alone / "stopped", "stopped")
    assert (alone / "stopped" / "checkpoints" / f"step_{stopped['iter']:08}").is_dir() and stopped["iter"] < 60
    resumed = gptmill(alone, "train", *LONG, "--out_dir=stopped", "--eval_interval=1", "--resume")
    assert resumed.code == 0, resumed.err
    equal(alone / "stopped", alone / "one")


def test_a_killed_process_is_started_again_by_torchrun_and_nothing_is_lost(alone: Path) -> None:
    words = ["gptmill", "train", *LONG, "--out_dir=killed", "--eval_interval=1", "--resume"]
    process = start(alone, *words, options=("--max-restarts=1",))
    wait_for(alone / "killed" / "metrics.jsonl", '"event": "checkpoint_saved"')
    os.kill(rank_of(process, 1), signal.SIGKILL)
    done = ended(process)
    assert process.returncode == 0, done.err
    assert "resumed from killed/checkpoints/step_" in done.err
    equal(alone / "killed", alone / "one")
    again = ended(start(alone, *words))
    assert again.code == 0 and "is complete: nothing is left to train" in again.err


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--gradient_accumulation_steps=3", r"gradient_accumulation_steps=3: .* does not split over 2 of them; try 2"),
        ("--n_heads=3", "--n_heads"),
    ],
)
def test_a_mistake_is_said_once_and_everybody_leaves(alone: Path, flag: str, says: str) -> None:
    done = ended(start(alone, "gptmill", "train", *LONG, flag, "--out_dir=wrong"))
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert done.code != 0 and re.search(says, line), done.err
    assert not (alone / "wrong").exists()


def test_a_diverging_run_says_so_once(alone: Path) -> None:
    done = ended(
        start(alone, "gptmill", "train", *LONG, "--learning_rate=1e30", "--min_lr=0", "--grad_clip=0", "--out_dir=wild")
    )
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert done.code != 0 and "caught before the update" in line


def test_processes_agree_on_the_batch_of_the_one_with_least_room(tmp_path: Path) -> None:
    done = ended(start(tmp_path, "tests.parallel.agreeing"))
    assert done.code == 0, done.err
    one, other = json.loads(done.out.splitlines()[0])
    assert one == other  # what they tried on the way as well
    # 48 sequences each, 38 MB to fill: alone the first would take 24 at a time (24 MB), of 3 MB a sequence 12 fit, and the
    # next even split is into 16
    assert one[:2] == [12, 4] and one[2][0] == 48


@pytest.mark.parametrize("broken", [0, 1])
def test_a_bad_batch_of_any_process_is_reported_by_the_first(tmp_path: Path, broken: int) -> None:
    done = ended(start(tmp_path, "tests.parallel.planted", str(broken)))
    assert done.code == 0, done.err
    first = broken * 4  # sequences 0 to 3 are the first process's, 4 to 7 the second's
    lines = done.out.splitlines()
    assert lines[0] == f"bad_shard ({first}, {first + 3})"
    # a flipped bit is found at the next look, after at most 10 steps, and with two processes nobody knows whose it is
    for where in ("weights", "moments"):
        (told,) = [line for line in lines if line.startswith(where)]
        assert re.match(rf"{where} weights_differ 10 the weights of ranks 0, 1 are not the same", told), told
    assert lines.count("stopped") == 2
    for kind in (" ".join(each) for each in SLOWED[broken]):
        times = [[int(ms) for ms in line.split()[3:]] for line in lines if line.startswith(f"times {kind}")]
        assert len(times) >= LOOKS and all(p50 <= p95 for each in times for p50, p95 in zip(each[:2], each[2:]))
        assert all(each[broken] >= 1e3 * SLEEP > each[1 - broken] for each in times), times
        (told,) = [line for line in lines if line.startswith(f"slow {kind}")]
        assert re.match(rf"slow {kind} rank {broken} on \S+ is slow: .* take it \d+\.\d ms a step, where", told), told


def ours(err: str) -> str:
    """Without the report that torchrun adds when its own processes end."""
    return err.partition("torch/distributed/elastic")[0]


def wait_for(path: Path, text: str) -> None:
    for _ in range(600):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never held {text}")


def rank_of(process: subprocess.Popen[str], rank: int) -> int:
    """The pid of a process that torchrun started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and f"\0RANK={rank}\0" in "\0" + (folder / "environ").read_text():
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError(f"rank {rank} is not there")
