"""The job file for Slurm, run by bash with stand-ins for Slurm's own commands: two nodes that are this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.run import ROOT, SMALL, gptmill, prepare_tiny

SRUN = """#!/bin/bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 9
shift
"$@" & first=$!
"$@" & second=$!
trap 'kill -TERM $first $second' TERM
while [ "$(jobs -r)" ]; do
    wait -n $first $second; code=$?
    [ $code -gt ${highest:-0} ] && highest=$code
    [ $code -gt 0 ] && kill -TERM $first $second 2>/dev/null
done
exit ${highest:-0}
"""
STANDINS = {
    "srun": SRUN,
    "scontrol": '#!/bin/bash\nif [ "$1" = show ]; then echo localhost; else echo "scontrol $@"; fi\n',
    "sleep": "#!/bin/bash\nexit 0\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("slurm")
    (made / "bin").mkdir()
    for name, text in STANDINS.items():
        (made / "bin" / name).write_text(text)
        (made / "bin" / name).chmod(0o755)
    return made


def run_job(folder: Path, job: str) -> subprocess.CompletedProcess[str]:
    slurm = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NNODES": "2"}
    return subprocess.run(
        ["bash", "-c", job], cwd=folder, capture_output=True, text=True, timeout=120,
        env={**os.environ, **slurm, "PYTHONPATH": str(ROOT), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
    )  # fmt: skip


def job_of(folder: Path, *words: str) -> str:
    done = gptmill(folder, "launch", "--on=slurm", "--nodes=2", "--gpus=1", "--hours=1.5", *words)
    assert done.code == 0 and not done.err, done.err
    return done.out


def test_the_job_asks_for_what_was_asked_for_and_is_good_bash(folder: Path) -> None:
    job = job_of(folder, "quick", "--out_dir=runs/it's here")
    lines = job.splitlines()
    for asked in ("--nodes=2", "--gpus-per-node=1", "--time=90", "--requeue", "--signal=B:TERM@120"):
        assert f"#SBATCH {asked}" in lines
    assert """-m gptmill train quick '--out_dir=runs/it'"'"'s here' --resume""" in job
    assert subprocess.run(["bash", "-n"], input=job, text=True, capture_output=True).stderr == ""


def test_a_mistake_that_shows_on_the_nodes_ends_the_job_and_a_lost_node_begins_it_again(folder: Path) -> None:
    prepare_tiny(folder)
    job = job_of(folder, *SMALL, "--gradient_accumulation_steps=3", "--out_dir=wrong")
    done = run_job(folder, job)
    assert done.returncode == 2 and "exit code 2: starting again would not help" in done.stdout, done.stderr
    assert done.stderr.count("does not split over 2") == 1 and not list(folder.glob(".gptmill*"))

    (folder / "bin" / "srun").write_text("#!/bin/bash\necho tried; exit 137\n")
    lost = run_job(folder, job)
    assert lost.returncode == 75 and lost.stdout.count("tried") == 5 and "scontrol requeue 4711" in lost.stdout
