"""Kill it, fill its disk, cut its power, damage its files: what a run survives, tried out on this machine.

    python -m benchmarks.reliability [--part NAME...] [--share 0.1] [--seed N] [--jobs 2]

Every trial goes through the real command and the run folder as it is documented, never through private functions.
"""

PARTS = (  # the longest first, so that none is left alone at the end
    "storm",
    "supervision",
    "disk",
    "syscalls",
    "world",
    "ranks",
    "corruption",
    "behind",
    "controls",
    "power",
    "peers",
    "strategies",
    "diverging",
    "second",
)
