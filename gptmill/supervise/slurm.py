"""A job file for Slurm: torchrun on every node, saved before the time ends, queued again, and never for a mistake."""

from __future__ import annotations

import math
import shlex
import sys

WARNING = 120  # seconds between Slurm's signal and its end of the job: to finish a step and save
ATTEMPTS = 5  # within one job; after that it goes back to the queue

TEMPLATE = """\
#!/bin/bash
#SBATCH --job-name=gptmill
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={gpus}
#SBATCH --time={minutes}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@{warning}
# Cores, memory, partition and account are your cluster's: add them here or on sbatch's command line.
# The run folder must be on a disk that all nodes share.

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((10000 + SLURM_JOB_ID % 20000))
codes=".gptmill-exit-codes-$SLURM_JOB_ID"  # of every node; srun itself tells the highest only
told_to_end=
trap 'told_to_end=yes; kill -TERM "$step" 2>/dev/null' TERM

queue_again() {{
    echo "gptmill: $1; queueing the job again"
    scontrol requeue "$SLURM_JOB_ID"
    exit 75
}}

for attempt in $(seq {attempts}); do
    : > "$codes"
    srun --kill-on-bad-exit=1 {python} -m gptmill.parallel.torchrun "$codes" \\
        --nnodes="$SLURM_NNODES" --nproc-per-node={gpus} --max-restarts=0 \\
        --rdzv-backend=c10d --rdzv-endpoint="$first:$port" --rdzv-id="$SLURM_JOB_ID.$attempt" \\
        -m gptmill {command} &
    step=$!
    wait "$step"; code=$?
    while kill -0 "$step" 2>/dev/null; do wait "$step"; code=$?; done  # a trap ends a wait before the step ends

    decided=$(grep -x -m 1 '[234]' "$codes")  # a mistake, bad data, no usable checkpoint
    rm -f "$codes"
    [ "$code" = 0 ] && exit 0
    [ -n "$decided" ] && echo "gptmill: exit code $decided: starting again would not help" && exit "$decided"
    [ -n "$told_to_end" ] && queue_again "the time is up, and the run is saved"
    echo "gptmill: attempt $attempt of {attempts} ended with exit code $code"
    sleep 10
done
queue_again "{attempts} attempts failed"
"""


def job_file(
    command: str, words: list[str], *, gpus: int, nodes: int, hours: float, python: str = sys.executable
) -> str:
    """The text to give to sbatch.

    Args:
        words: what the command is given. ``--resume`` is added, which starts a run where there is none yet.
        gpus: of each node, and processes.
    """
    again = [] if "--resume" in words else ["--resume"]
    return TEMPLATE.format(
        nodes=nodes,
        gpus=gpus,
        minutes=math.ceil(60 * hours),
        warning=WARNING,
        attempts=ATTEMPTS,
        python=shlex.quote(python),
        command=shlex.join([command, *words, *again]),
    )
