"""``gptmill plan``: what a run would do and take, on one screen, without doing it and, but for --probe, without torch."""

from __future__ import annotations

import json as json_format
import math
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

from cyclopts import Parameter, Token

from gptmill.cli.dataset import as_prepared, folder_of, ready_data
from gptmill.cli.own_parts import Import, import_parts
from gptmill.cli.parts import settle, trace_held
from gptmill.cli.resuming import load_run
from gptmill.config.resolve import Resolved
from gptmill.config.schema import Config
from gptmill.data.facts import facts_notice
from gptmill.data.layout import is_dataset
from gptmill.errors import UserError
from gptmill.plan.devices import find_device, machine_of
from gptmill.plan.hardware import detect_machine, share_of
from gptmill.plan.outlook import Outlook, outlook
from gptmill.plan.plan import plan_json
from gptmill.plan.roofline import Pace
from gptmill.plan.time import Costs
from gptmill.plan.types import DataFacts, Machine, Plan

Flag = Annotated[bool, Parameter(negative="")]
Planner = Callable[[Machine], Plan]


def _whole(type_: object, tokens: Sequence[Token]) -> int:
    """--gpus as it was typed: 1.5 is no number of devices."""
    given = tokens[0].value
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given)):
        raise UserError(f"--gpus={given}: must be a whole number, at least 1")
    return int(given)


def plan(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    gpu: str | None = None,
    gpus: Annotated[int, Parameter(converter=_whole)] = 1,
    price: float | None = None,
    kwh_price: float | None = None,
    probe: Flag = False,
    batches: Flag = False,
    json: Flag = False,
    breakdown: Flag = False,
    explain: Flag = False,
    overwrite: Flag = False,
    import_: Import = None,
) -> None:
    """Say what `gptmill train` with the same arguments would do and take, and run nothing.

    Parameters
    ----------
    argv
        Config files and --key=value flags, as given to train.
    gpu
        Plan for another device than this machine's: a100, "h100 pcie", 4090, ...; all = a table of those known.
    gpus
        Devices that share the work; torchrun's world size.
    price
        US dollars for one GPU and hour, instead of the listed price.
    kwh_price
        US dollars for a kilowatt hour.
    probe
        Measure the pace with about ten seconds of real steps on this machine.
    batches
        Print a table over batch sizes instead of a page.
    json
        Print one JSON object instead of a page.
    breakdown
        Print where the model's parameters and FLOPs are, with a formula for each, instead of a page.
    explain
        Print every setting and where it came from, instead of a page.
    overwrite
        Changes nothing here; so that a line for train can be planned as it is.
    import_
        A Python module with parts of your own, registered when it is imported.
    """
    for flag, value in (("--price", price), ("--kwh_price", kwh_price)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UserError(f"{flag}={value}: must be a number of US dollars, 0 or more")
    if probe and gpu is not None:
        raise UserError(f"--probe: measures the device of this machine, not --gpu={gpu}; leave one of them out")
    resolved = load_run(list(argv), parts=import_parts(import_))
    if explain:
        from gptmill.cli.explain import explain as settings

        settings(resolved)
        return
    planner, remarks = planner_of(resolved, gpus)
    if gpu == "all":
        from gptmill.cli.plan_tables import device_table

        table = device_table(planner, price, kwh_price, trace_held, as_json=json)
        _remark(remarks)
        print(table)
        return
    settled = planner(_machine(resolved, gpu))
    _remark(remarks)
    if batches:
        from gptmill.cli.plan_tables import batch_table

        print(batch_table(settled, trace_held, as_json=json))
    elif breakdown and not json:
        from gptmill.cli.breakdown import breakdown as bill

        print(bill(settled))
    else:
        measured = _measure(settled, resolved.config) if probe else None
        found = outlook(settled, measured, price, kwh_price, trace_held)
        _print(settled, found, list(argv), json)


def _machine(resolved: Resolved, gpu: str | None) -> Machine:
    if gpu is not None:
        return machine_of(find_device(gpu))
    return detect_machine(resolved.config.device, demanded=resolved.origins["device"].startswith("--"))


def planner_of(resolved: Resolved, gpus: int) -> tuple[Planner, list[str]]:
    """A function from a machine to the plan on it, and what is to be said of the settings and the data."""
    config = resolved.config
    data = prepared_data(config)
    if data is None:
        config = as_prepared(config)
    remarks = [*resolved.notices, *([facts_notice(data)] if data is not None else [])]

    def on(machine: Machine) -> Plan:
        return settle(resolved, config, data, share_of(machine, gpus), gpus)

    return on, [remark for remark in remarks if remark]


def _remark(remarks: list[str]) -> None:
    for remark in remarks:
        print(remark, file=sys.stderr)


def _measure(settled: Plan, config: Config) -> tuple[Pace, Costs]:
    from gptmill.cli.probe import probe

    print("measuring the pace: about ten seconds", file=sys.stderr)
    return probe(settled, config.out_dir)


def _print(settled: Plan, found: Outlook, argv: list[str], json: bool) -> None:
    if json:
        print(json_format.dumps(plan_json(settled, found), allow_nan=False))
        return
    from gptmill.cli.plan_page import show

    show(settled, found, argv)


def prepared_data(config: Config) -> DataFacts | None:
    """The dataset's facts, or None when nothing is prepared under its name: planning prepares nothing."""
    if not is_dataset(folder_of(config)):
        return None
    return ready_data(config)
