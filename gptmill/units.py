"""Numbers as people read them. Every function takes a plain number in the unit it names."""

from __future__ import annotations

import math


def count(n: float) -> str:
    """12 -> '12', 124439808 -> '124.4M', 9.0e9 -> '9.0B'."""
    for limit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(n) >= limit:
            return f"{n / (1e3 if suffix == 'k' else limit):.1f}{suffix}"
    return f"{n:,.0f}"


def size(n_bytes: float) -> str:
    """Bytes in binary units: 2_684_354_560 -> '2.50 GiB'."""
    for limit, suffix in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if n_bytes >= limit:
            return f"{n_bytes / limit:.2f} {suffix}"
    return f"{n_bytes:.0f} B"


def duration(seconds: float) -> str:
    """0.25 -> '250 ms', 59 -> '59.0 s', 754 -> '12 min 34 s', 93784 -> '1 d 2 h'."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def flops(n: float) -> str:
    """FLOP (an amount, not a rate) in decimal units: 854_700_000 -> '854.7 MFLOP'."""
    for limit, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if n >= limit:
            return f"{n / limit:.2f} {prefix}FLOP"
    return f"{n:,.0f} FLOP"
