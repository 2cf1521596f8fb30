"""``python -m gptmill.parallel.torchrun CODES ...``: torchrun, whose exit code is that of the process that failed.

torchrun itself ends with 1 whatever happened, so a job file could not tell a mistake in a config from a lost node. The
code is added to the file CODES as well, for several nodes have several, and srun tells but one of them.
"""

from __future__ import annotations

import signal
import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from gptmill.errors import TryAgain


def main(codes: str, words: list[str]) -> int:
    code = exit_code(words)
    with open(codes, "a") as file:
        file.write(f"{code}\n")
    return code


def exit_code(words: list[str]) -> int:
    """Run torchrun to its end."""
    try:
        run.run(run.parse_args(words))
    except ChildFailedError as error:
        found = [failure.exitcode for failure in error.failures.values()]
        # a process that lost its peer says "try again", and those that are left are ended: the others decide
        beside = (TryAgain.exit_code, -signal.SIGTERM, 128 + signal.SIGTERM)
        code = next((code for code in found if code not in beside), found[0])
        return 128 - code if code < 0 else code
    except SignalException as told:
        return 128 + told.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
