"""Before a run starts: does it fit on the device, in the host's memory, on the disk?"""

from __future__ import annotations

from pathlib import Path

from gptmill import durable
from gptmill.cli.parts import trace_held
from gptmill.config.wording import one_line
from gptmill.errors import UserError
from gptmill.plan.fit import memory_known, nearest_fit, needs, refusal
from gptmill.plan.hardware import detect_machine
from gptmill.plan.optimizer import checkpoint_bytes
from gptmill.plan.types import Plan
from gptmill.units import size

SURELY = 1.1  # times the memory there is: the estimate may be off by less than that, and smaller steps help then
FORCE = "--force starts it nevertheless"
AT_ONCE = 2  # checkpoints on the disk: the newest good one, and the one being written


def check_fits(plan: Plan, out_dir: str) -> None:
    """Refuse what cannot work.

    Raises:
        UserError: one line for each of device, host and disk that is too small, with the number and the nearest config
            that fits.
    """
    problems = [_device(plan), _host(plan), _disk(plan, out_dir)]
    if found := [f"{problem}; {FORCE}" for problem in problems if problem]:
        raise UserError(*found)


def _device(plan: Plan) -> str | None:
    if (
        plan.device_memory is None
        or memory_known(plan, trace_held) is None
        or needs(plan, trace_held) <= SURELY * plan.device_memory
    ):
        return None
    return refusal(plan, trace=trace_held)


def _host(plan: Plan) -> str | None:
    memory, there = memory_known(plan, trace_held), detect_machine("cpu").memory
    if plan.device == "cpu" or memory is None or there is None or memory.host <= SURELY * there:
        return None
    smaller = nearest_fit(plan, trace=trace_held)
    hint = f"nearest for the device: {smaller}" if smaller else "try a smaller model"
    return f"device={plan.device}: needs {size(memory.host)} of {size(there)} of the host's memory; {hint}"


def _disk(plan: Plan, out_dir: str) -> str | None:
    """Old checkpoints make room for new ones, so two at a time are enough, and those there already count."""
    if plan.eval_only:
        return None
    folder = Path(out_dir).absolute()
    there = sum(file.stat().st_size for file in folder.glob("checkpoints/step_*/*") if file.is_file())
    while not folder.exists():
        folder = folder.parent
    try:
        free = durable.free_bytes(folder)
    except OSError:
        return None
    each = checkpoint_bytes(plan)
    wanted = AT_ONCE * each
    if wanted <= free + there:
        return None
    return (
        f"out_dir={one_line(out_dir)}: two checkpoints of {size(each)} need {size(wanted)}, and "
        f"{size(free)} are free on that disk; try another out_dir or a smaller model"
    )
