"""``python -m gptmill.parallel.torchrun``: torchrun, whose exit code is that of the process that failed.

torchrun itself ends with 1 whatever happened, so a job file could not tell a mistake in a config from a lost node.
"""

from __future__ import annotations

import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from gptmill.errors import TryAgain


def main() -> int:
    try:
        run.run(run.parse_args(sys.argv[1:]))
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        # a process that lost its peer says "try again": what the peer says decides
        code = next((code for code in codes if code not in (TryAgain.exit_code, -15)), codes[0])
        return 128 - code if code < 0 else code
    except SignalException as told:
        return 128 + told.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main())
