"""What a run recorded at every step, as columns of numbers: 8 bytes a value, so that 600,000 steps fit in memory.

A number that is not known is NaN here; nothing that leaves this room says NaN.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from gptmill.report.loose import number

if TYPE_CHECKING:
    import numpy as np

# Column: where the number lies in a step_done record: in which part of it, and under which name.
PLACES = {
    **{name: ("", name) for name in ("loss", "lr", "grad_norm", "tokens", "tokens_per_second", "time_ms")},
    "sparsity": ("", "sparsity"),
    "mfu": ("mfu", "mfu"),
    "allocated_gb": ("memory", "max_allocated_gb"),
    "host_gb": ("memory", "host_gb"),
    "data_ms": ("times_ms", "data"),
    "compute_ms": ("times_ms", "compute"),
    "communication_ms": ("times_ms", "communication"),
    "optimizer_ms": ("times_ms", "optimizer"),
}
MOST_LOOKS = 400  # columns of a heat map: more than a page is wide in cells one can tell apart


class Steps:
    """step_done records by ascending iter; a step that comes again replaces itself and all after it."""

    def __init__(self) -> None:
        self._iters = array("q")
        self._columns = {name: array("d") for name in PLACES}
        self._firsts: list[int] = []  # indices: the first step of each process

    def __len__(self) -> int:
        return len(self._iters)

    def __getitem__(self, name: str) -> np.ndarray:
        import numpy as np

        return np.array(self._columns[name])

    @property
    def iters(self) -> np.ndarray:
        import numpy as np

        return np.array(self._iters)

    @property
    def last_iter(self) -> int:
        return self._iters[-1] if self._iters else 0

    def start_process(self, iter: int) -> float:
        """A process takes over at ``iter``; steps beyond it are forgotten. Returns the seconds they took."""
        forgotten = self._forget_after(iter)
        self._firsts.append(len(self))
        return forgotten

    def extend(self, records: list[dict[str, Any]]) -> float:
        """Take records by ascending iter. Returns the seconds of steps that they take the place of.

        A column at a time: in a log of 600,000 steps that is several times as fast as a record at a time.
        """
        forgotten = self._forget_after(records[0]["iter"] - 1)
        self._iters.extend([fields["iter"] for fields in records])
        parts = {"": records}  # a step's own fields, and those of what it holds
        for part in dict.fromkeys(part for part, _ in PLACES.values() if part):
            parts[part] = [held if type(held := fields.get(part)) is dict else {} for fields in records]
        for column, (part, name) in zip(self._columns.values(), PLACES.values()):
            column.extend([x if type(x := fields.get(name)) is float else number(x) for fields in parts[part]])
        return forgotten

    def latest(self, name: str, n: int) -> array[float]:
        """A column's last n numbers."""
        return self._columns[name][len(self) - n :]

    def useful_seconds(self) -> float:
        """Of the steps that count; the first of a process counts no more than a median step, as in ``train --json``."""
        import numpy as np

        seconds, usual = self["time_ms"] / 1e3, self._usual()
        firsts = [i for i in self._firsts if i < len(self)]
        seconds[firsts] = np.minimum(seconds[firsts], np.median(seconds[usual]) if usual.any() else 0.0)
        return float(np.nansum(seconds))

    def median_speed(self) -> float | None:
        """Tokens per second of a step that is not the first of its process."""
        seconds, tokens = self["time_ms"] / 1e3, self["tokens"]
        timed = self._usual() & (seconds > 0)
        return _median(tokens[timed] / seconds[timed])

    def median_seconds(self) -> float | None:
        """Of a step that is not the first of its process."""
        seconds = self["time_ms"] / 1e3
        return _median(seconds[self._usual() & (seconds > 0)])

    def median_mfu(self) -> float | None:
        mfu = self["mfu"]
        return _median(mfu[mfu == mfu])

    def seconds(self) -> np.ndarray:
        """Training time up to the end of each step.

        The first step of a process may compile: it counts no more than a median step, as in ``train --json``.
        A lost record counts as the step that is known after it.
        """
        import numpy as np

        seconds, steady = self["time_ms"] / 1e3, self.steady("time_ms") / 1e3
        if np.isfinite(steady).any():
            first = np.isnan(steady) & np.isfinite(seconds)
            seconds[first] = np.minimum(seconds[first], np.nanmedian(steady))
        return self._running(seconds)

    def steady(self, name: str) -> np.ndarray:
        """A column without the first step of each process, which may compile."""
        values = self[name]
        values[[i for i in self._firsts if i < len(self)]] = float("nan")
        return values

    def tokens(self) -> np.ndarray:
        """Tokens trained on up to the end of each step."""
        return self._running(self["tokens"])

    def _usual(self) -> np.ndarray:
        """Which steps have time and tokens and are not the first of a process; or all, when there are no others."""
        import numpy as np

        known = np.isfinite(self["time_ms"] + self["tokens"])
        usual = known & np.isfinite(self.steady("time_ms"))
        return usual if usual.any() else known

    def _running(self, each: np.ndarray) -> np.ndarray:
        import numpy as np

        return np.cumsum(np.nan_to_num(each) * np.diff(self.iters, prepend=0))

    def _forget_after(self, iter: int) -> float:
        if iter >= self.last_iter:
            return 0.0
        keep = bisect_right(self._iters, iter)
        forgotten = sum(ms for ms in self._columns["time_ms"][keep:] if ms == ms) / 1e3
        del self._iters[keep:]
        for column in self._columns.values():
            del column[keep:]
        self._firsts = [i for i in self._firsts if i < keep]
        return forgotten


class Looks:
    """One number per layer at the steps that looked; of more than 400 looks every second is dropped, and so on."""

    def __init__(self) -> None:
        self.looks: list[tuple[int, dict[str, float]]] = []
        self._stride = 1
        self._seen = 0

    def add(self, iter: int, layers: dict[str, Any]) -> None:
        self.forget_after(iter - 1)
        if self._seen % self._stride == 0:
            self.looks.append((iter, {name: number(value) for name, value in layers.items()}))
        self._seen += 1
        if len(self.looks) > MOST_LOOKS:
            self.looks = self.looks[::2]
            self._stride *= 2

    def forget_after(self, iter: int) -> None:
        while self.looks and self.looks[-1][0] > iter:
            self.looks.pop()


def _median(values: np.ndarray) -> float | None:
    import numpy as np

    return float(np.median(values)) if len(values) else None


def thin(values: np.ndarray, n_buckets: int = 600) -> np.ndarray:
    """Indices of the values that a chart needs: of each bucket of neighbours the least and the greatest, and both ends."""
    import numpy as np

    known = np.flatnonzero(np.isfinite(values))
    if len(known) <= 2 * n_buckets:
        return known
    kept = {known[0], known[-1]}
    for bucket in np.array_split(known, n_buckets):
        kept |= {bucket[values[bucket].argmin()], bucket[values[bucket].argmax()]}
    return np.array(sorted(kept))


def block_means(values: np.ndarray, n_blocks: int = 100) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean of every block of steps: the index of its middle, the mean, and how many steps a block has."""
    import numpy as np

    size = max(1, len(values) // n_blocks)
    starts = np.arange(0, len(values), size)
    known = np.isfinite(values)
    total = np.add.reduceat(np.where(known, values, 0.0), starts) if len(values) else np.array([])
    count = np.add.reduceat(known.astype(int), starts) if len(values) else np.array([])
    some = count > 0
    middles = np.minimum(starts + size // 2, len(values) - 1)
    return middles[some], total[some] / count[some], size
