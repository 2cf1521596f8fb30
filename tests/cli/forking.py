"""Commands in forks of one process that has imported PyTorch: a start takes a tenth of a second instead of 2.5.

Each is a process of its own nevertheless, with arguments, folder, output and memory of its own, and ends as any
interpreter does. Nothing is set up before the fork but imports.

    python -m tests.cli.forking < requests      # a line of JSON each; prints an exit code for each
"""

from __future__ import annotations

import gc
import json
import os
import sys
from importlib import import_module
from typing import Any

IMPORTS = (
    "torch._dynamo",
    "gptmill.cli.recording",
    "gptmill.cli.ranks",
    "gptmill.cli.report",
    "gptmill.cli.training",
    "gptmill.train.loop",
)


def next_request() -> dict[str, Any] | None:
    """In a fork the request; None in the process that forks, at the end."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            return json.loads(line)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def become(request: dict[str, Any]) -> None:
    """Take the place of ``python -m gptmill WORDS``."""
    os.chdir(request["folder"])
    for number, (name, flags) in enumerate(
        [(os.devnull, os.O_RDONLY), (request["out"], os.O_WRONLY), (request["err"], os.O_WRONLY)]
    ):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.path[0] = request["folder"]
    sys.argv = ["gptmill", *request["words"]]


if __name__ == "__main__":
    for name in IMPORTS:
        import_module(name)
    gc.freeze()  # collecting would copy what a fork shares
    if request := next_request():
        from gptmill.cli.main import main

        become(request)
        main()
