"""How much memory a run takes on each device and on the host, worked out without torch: ``memory_of(plan)``."""

from gptmill.plan.memory.bill import Memory as Memory
from gptmill.plan.memory.bill import memory_of as memory_of
from gptmill.plan.memory.network import has_formula as has_formula
