"""The options that sweep, matrix and ablate share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from inspect import signature
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.own_parts import Import
from gptmill.errors import UserError

Flag = Annotated[bool, Parameter(negative="", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True)
class StudyOptions:
    """How a list of runs is carried out.

    Parameters
    ----------
    parallel
        Runs at a time; without it one on each GPU, and one on a CPU.
    dry_run
        List the runs with what they would take, and start none.
    stop_on_failure
        Start nothing more after a run failed.
    json
        Print one JSON object instead of tables.
    import_
        A Python module with parts of your own.
    """

    parallel: int | None = None
    dry_run: Flag = False
    stop_on_failure: Flag = False
    json: Flag = False
    import_: Import = None

    def check(self) -> None:
        """
        Raises:
            UserError: no number of runs.
        """
        if self.parallel is not None and self.parallel < 1:
            raise UserError(f"--parallel={self.parallel}: must be at least 1")


UNASKED = StudyOptions()


def names_of(command: Callable[..., int]) -> list[str]:
    """Every option of a command, without dashes before it."""
    found: list[str] = []
    for name, parameter in signature(command).parameters.items():
        shared = parameter.default
        found += [field.name for field in fields(shared)] if is_dataclass(shared) else [name]
    return [name.rstrip("_") for name in found if name != "argv"]
