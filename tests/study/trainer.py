"""Stands in for ``gptmill train`` where many short runs are wanted: the same files, signals and exit codes, in milliseconds.

Behaviour is in the file behaviour.json of the folder above the run's: {id: "fail", "busy" or "die"}; those happen once.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

STEPS = 10


def main(words: list[str]) -> int:
    run = next(Path(word.partition("=")[2]) for word in words if word.startswith("--out_dir="))
    lock = os.open(run / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"error: out_dir={run}: in use by someone", flush=True)
        return 75
    other = {".lock", "output.log"}
    if (set(os.listdir(run)) - other) and "--resume" not in words:
        print("error: this folder is used", flush=True)
        return 2
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    (run / "config.json").write_text(json.dumps({"format": "gptmill-run", "words": words}))
    (run / "plan.json").write_text(json.dumps({"max_iters": STEPS}))
    wanted = run.parent / "behaviour.json"
    behaviour = json.loads(wanted.read_text()).get(run.name, "") if wanted.exists() else ""
    first = not (run / "metrics.jsonl").exists()
    saved = run / "saved"
    at = int(saved.read_text()) if saved.exists() else 0
    with open(run / "metrics.jsonl", "a") as log:

        def tell(event: str, **fields: object) -> None:
            print(json.dumps({"event": event, "iter": at, **fields}), file=log, flush=True)

        tell("run_started", max_iters=STEPS)
        while at < STEPS:
            time.sleep(0.01)
            at += 1
            tell("step_done")
            if told:
                saved.write_text(str(at))
                return 128 + told[0]
            if first and behaviour == "fail" and at == 2:
                print("error: the loss is not a number", flush=True)
                return 1
            if first and behaviour == "die" and at == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        tell("run_done", summary={"best_val_loss": float(len(run.name))})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
