"""The C library's heap played through: how far it reaches when blocks are taken and given back in a given order.

On a CPU, PyTorch's tensors come from malloc, and a training process here has it keep what is freed
(train/device.py, keep_freed_memory): its resident size is how far the heap ever reached, holes included.
"""

from __future__ import annotations

from bisect import bisect_left, insort

Block = tuple[int, int]  # (start, size)
HEADER = 16  # bytes of malloc's own before each block
# posix_memalign asks malloc for this much more than it hands out, so a hole of just the right size is passed over
# (glibc bug 14581; 64 bytes of alignment and the smallest block)
ALIGNING = 96


class Heap:
    """Best fit: the smallest hole that is large enough, else the end of the heap; neighbouring holes become one."""

    def __init__(self) -> None:
        self.high = 0  # how far it ever reached [bytes]
        self.largest = 0  # block taken [bytes]
        self._end = 0
        self._holes: list[Block] = []  # (size, start), by size
        self._size_at: dict[int, int] = {}  # start of a hole -> its size
        self._start_before: dict[int, int] = {}  # end of a hole -> its start

    def take(self, size: int) -> Block | None:
        if size <= 0:
            return None
        size = -(-size // 16) * 16 + HEADER
        self.largest = max(self.largest, size)
        place = bisect_left(self._holes, (size + ALIGNING, -1))
        if place < len(self._holes):
            found, start = self._holes[place]
            self._fill(start)
            if found > size:
                self._dig(start + size, found - size)
        else:
            start = self._start_before.get(self._end, self._end)
            if start < self._end:
                self._fill(start)
            self._end = start + size
            self.high = max(self.high, self._end)
        return start, size

    def give(self, block: Block | None) -> None:
        if block is None:
            return
        start, size = block
        if start + size in self._size_at:
            size += self._fill(start + size)
        if start in self._start_before:
            start = self._start_before[start]
            size += self._fill(start)
        if start + size == self._end:
            self._end = start
        else:
            self._dig(start, size)

    def _dig(self, start: int, size: int) -> None:
        insort(self._holes, (size, start))
        self._size_at[start], self._start_before[start + size] = size, start

    def _fill(self, start: int) -> int:
        size = self._size_at.pop(start)
        del self._start_before[start + size]
        del self._holes[bisect_left(self._holes, (size, start))]
        return size
