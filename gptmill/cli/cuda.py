"""A GPU in the machine is of use only if this torch build can drive it; known after torch is imported, not before."""

from __future__ import annotations

import sys

from gptmill.config.schema import Config
from gptmill.errors import UserError
from gptmill.plan.hardware import detect_machine
from gptmill.plan.plan import make_plan
from gptmill.plan.types import DataFacts, Plan


def replan_without_cuda(plan: Plan, config: Config, data: DataFacts) -> Plan:
    """Return the plan as it is if torch can use CUDA; else, where device=auto chose it, a plan for the CPU.

    Raises:
        UserError: CUDA was asked for by name.
    """
    import torch

    if torch.cuda.is_available():
        return plan
    says = f"torch {torch.__version__} cannot use the {plan.device_name} in this machine"
    if config.device != "auto":
        raise UserError(f"device={config.device}: {says}; install a CUDA build of torch, or use --device=auto")
    print(f"device: {says}; training on the CPU", file=sys.stderr)
    return make_plan(config, data=data, machine=detect_machine("cpu"), world_size=plan.world_size)
