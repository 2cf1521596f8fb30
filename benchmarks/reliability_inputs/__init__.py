"""Bad input, secrets and the network, tried out on this machine: the other half of ``make reliability``.

    python -m benchmarks.reliability_inputs [--part NAME...] [--scale 1.0] [--jobs 2]

matrix    every config key changed once before a resume: free, needs a flag, or refused; never silent
configs   broken configs: a line or two, no traceback, bounded time and memory
data      broken data files: the same, and what is read is what the bytes say
payloads  hostile files at every place that a command reads: nothing in them runs
secrets   planted secrets: in no byte of what a run leaves behind or prints
network   system calls of an import, a run and a sampling: no connection, no listener

Each part prints a line, and its figures go to benchmarks/results/reliability_inputs.json under its name.
"""

PARTS = ("payloads", "data", "configs", "matrix", "secrets", "network")  # the longest first
