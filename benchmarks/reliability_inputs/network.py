"""System calls of imports, a training and a sampling: no connection, no listener, and no program but those listed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.reliability.machine import NotHere
from benchmarks.reliability_inputs.workshop import ROOT
from tests.cli.run import SMALL, prepare_tiny

CALLS = "connect,bind,listen,sendto,sendmsg,execve"
PROGRAMS = {
    "python",
    "git",
    "lscpu",
    "nvidia-smi",
    "sysctl",
    "ldconfig",
}  # what a machine and a checkout are asked with
IMPORT_ALL = (
    "import importlib, pkgutil, gptmill\n"
    "names = [m.name for m in pkgutil.walk_packages(gptmill.__path__, 'gptmill.') if not m.name.endswith('__main__')]\n"
    "names = [name for name in names if not name.startswith('gptmill.configs')]\n"  # read as data, never imported
    "for name in names: importlib.import_module(name)\n"
    "print(len(names), 'modules')\n"
)
COMMANDS = {
    "import of every module": ["-c", IMPORT_ALL],
    "train": ["-m", "gptmill", "train", *SMALL, "--out_dir=run"],
    "train --resume": ["-m", "gptmill", "train", "--resume", "--out_dir=run", "--max_iters=22"],
    "sample": ["-m", "gptmill", "sample", "--run", "run", "--max_new_tokens=5"],
    "report": ["-m", "gptmill", "report", "--run", "run"],
}
CONNECTS = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); socket.create_connection(s.getsockname())"


def trial(work: Path, scale: float) -> dict[str, Any]:
    """Args: scale: without effect."""
    if shutil.which("strace") is None:
        raise NotHere("strace is not installed (apt-get install strace)")
    folder = work / "network"
    folder.mkdir()
    prepare_tiny(folder)
    control = _calls(folder, ["-c", CONNECTS])
    assert control["connect"] == 1 and control["listen"] == 1, control  # what is looked for would be seen
    found = {name: _calls(folder, words) for name, words in COMMANDS.items()}
    failures = [
        f"{name}: {number} {call}"
        for name, calls in found.items()
        for call, number in calls.items()
        if call != "programs" and number
    ]
    failures += [
        f"{name}: starts {p}" for name, calls in found.items() for p in calls["programs"] if not _is_expected(p)
    ]
    programs = sorted({program for calls in found.values() for program in calls["programs"]})
    print(
        f"network: {', '.join(found)}: {len(failures)} connections, listeners or strangers started (programs: {', '.join(programs)})"
    )
    return {"good": not failures, "commands": list(found), "programs": programs, "calls": found, "failures": failures}


def _calls(folder: Path, words: list[str]) -> dict[str, Any]:
    """Internet system calls of a Python process and all it starts, and the programs started."""
    log = folder / "strace.log"
    command = [
        "strace",
        "-f",
        "-qq",
        "-e",
        f"trace={CALLS}",
        "-e",
        "signal=none",
        "-o",
        str(log),
        sys.executable,
        *words,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    lines = log.read_text(errors="replace").splitlines()
    sockets = [line for line in lines if "AF_INET" in line or " listen(" in line or "AF_NETLINK" in line]
    counts = {
        call: sum(f" {call}(" in line for line in sockets if "AF_NETLINK" not in line)
        for call in ("connect", "bind", "listen", "sendto", "sendmsg")
    }
    started = [m[1] for line in lines if line.endswith(" = 0") and (m := re.search(r' execve\("([^"]+)"', line))]
    return {**counts, "programs": sorted({Path(program).name for program in started})}


def _is_expected(program: str) -> bool:
    return re.sub(r"[\d.]+$", "", program) in PROGRAMS
