"""What can go wrong, as a tree; each leaf carries the exit code that scripts and schedulers rely on.

    GptmillError      1  the run itself failed
      Diverged        1  ... its numbers did, in every process alike
      UserError       2  a flag, a config or a path is wrong: fix it and run again
        ConfigError   2  ... one or more config keys, reported all at once
      DataError       3  the token files are missing, damaged or unfit
      CheckpointError 4  no usable checkpoint
      TryAgain       75  the lock is held or the device is busy (EX_TEMPFAIL)

An error holds sentences, one problem each: where, what, why, what to try. The command line prints them one per line
on stderr, without a traceback.
"""

from __future__ import annotations


class GptmillError(Exception):
    """A failure that a person can understand from its message alone.

    Args:
        problems: one sentence each; printed one per line.
    """

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Diverged(GptmillError):
    """Training must not go on: a loss that is no number, a spike that is to stop it. Every process finds the same."""


def is_out_of_memory(error: BaseException) -> bool:
    """torch says so in the name of the exception on a GPU, and in its text on a CPU; oneDNN cannot "create a primitive"."""
    text = f"{type(error).__name__} {error}"
    return (
        isinstance(error, MemoryError)
        or "OutOfMemory" in text
        or "not enough memory" in text
        or "allocate memory" in text
        or "could not create a primitive" in text
    )


class UserError(GptmillError):
    """The request cannot be carried out as asked."""

    exit_code = 2


class ConfigError(UserError):
    """One or more config keys are wrong; every problem found is listed, not just the first."""


class DataError(GptmillError):
    """The token files are missing, damaged, or do not fit the model."""

    exit_code = 3


class CheckpointError(GptmillError):
    """No checkpoint of the run can be used."""

    exit_code = 4


class TryAgain(GptmillError):
    """Nothing is wrong but the moment: a lock is held or a device is busy."""

    exit_code = 75


REFUSALS = {kind.exit_code: kind for kind in (GptmillError, UserError, DataError, CheckpointError, TryAgain)}
