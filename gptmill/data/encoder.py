"""Encoding on all cores: text goes to worker processes, their ids come back in the order of the text.

A worker is ``python -m gptmill.data.encoder TOKENIZER_FOLDER``: it reads batches from its stdin until that closes, so it
ends with the process that started it, however that ends. What a text's ids are does not depend on who encodes it, so the
bytes written are those of one process.

A batch on the wire, little-endian: uint32 number of texts; per text uint32 bytes and uint32 mark; their UTF-8.
Its answer: uint64 number of training ids, uint64 of validation ids; the ids as uint32.
"""

from __future__ import annotations

import os
import queue
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from gptmill.data.tokenizers import Tokenizer, load_tokenizer

VALIDATION, ENDS = 1, 2  # marks of a text: it belongs to validation; end-of-text follows it
AHEAD = 2  # batches per worker that are read before they are needed


@dataclass
class Batch:
    """Texts that are encoded together, in order. ``marks[i]`` is a sum of VALIDATION and ENDS."""

    texts: list[str] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)

    @property
    def characters(self) -> int:
        return sum(map(len, self.texts))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def encode(batch: Batch, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Training ids and validation ids of a batch."""
    splits: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    end = np.array([] if tokenizer.end_of_text is None else [tokenizer.end_of_text], np.uint32)
    for ids, mark in zip(tokenizer.encode_batch(batch.texts), batch.marks):
        splits[mark & VALIDATION].append(ids)
        if mark & ENDS:
            splits[mark & VALIDATION].append(end)
    train, val = (np.concatenate([end[:0], *parts], dtype=np.uint32, casting="unsafe") for parts in splits)
    return train, val


def encoded(
    batches: Iterable[Batch], tokenizer: Tokenizer, folder: Path, workers: int
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    """Each batch with its training and validation ids, in order.

    Args:
        folder: where ``tokenizer`` is saved; workers read it there.
        workers: processes; 1 encodes in this one.
    """
    if workers == 1:
        yield from ((batch, *encode(batch, tokenizer)) for batch in batches)
        return
    with ExitStack() as stack:
        idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        # shut down after the workers are gone: a thread may be waiting for one
        threads = ThreadPoolExecutor(workers)
        stack.callback(threads.shutdown, wait=True, cancel_futures=True)
        for _ in range(workers):
            idle.put(stack.enter_context(_Worker(folder)))
        waiting: deque[tuple[Batch, Future[tuple[np.ndarray, np.ndarray]]]] = deque()
        for batch in batches:
            waiting.append((batch, threads.submit(_by_an_idle_one, idle, batch)))
            if len(waiting) > AHEAD * workers:
                first, answer = waiting.popleft()
                yield first, *answer.result()
        while waiting:
            first, answer = waiting.popleft()
            yield first, *answer.result()


def _by_an_idle_one(idle: queue.SimpleQueue[_Worker], batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    worker = idle.get()
    try:
        return worker.encode(batch)
    finally:
        idle.put(worker)


class _Worker:
    def __init__(self, folder: Path) -> None:
        # a session of its own: Ctrl-C reaches the parent alone, which then closes every worker
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gptmill.data.encoder", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *failure: object) -> None:
        self._process.kill()
        self._process.wait()

    def encode(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        to, back = self._process.stdin, self._process.stdout
        assert to and back
        raw = [text.encode("utf-8", "surrogatepass") for text in batch.texts]
        try:
            to.write(struct.pack("<I", len(raw)))
            to.write(np.array([[len(text), mark] for text, mark in zip(raw, batch.marks)], "<u4").tobytes())
            to.write(b"".join(raw))
            to.flush()
            n_train, n_val = struct.unpack("<QQ", _read(back, 16))
            ids = np.frombuffer(_read(back, 4 * (n_train + n_val)), "<u4")
        except (OSError, EOFError):
            raise MemoryError("an encoding process was ended, most likely for want of memory") from None
        return ids[:n_train], ids[n_train:]


def _read(stream: IO[bytes], n_bytes: int) -> bytes:
    data = stream.read(n_bytes)
    if len(data) < n_bytes:
        raise EOFError
    return data


def _serve(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    tokenizer = load_tokenizer(folder)
    while head := source.read(4):
        [count] = struct.unpack("<I", head)
        sizes = np.frombuffer(_read(source, 8 * count), "<u4").reshape(count, 2)
        raw = _read(source, int(sizes[:, 0].sum()))
        ends = sizes[:, 0].cumsum(dtype=np.int64).tolist()
        texts = [
            raw[end - size : end].decode("utf-8", "surrogatepass") for end, size in zip(ends, sizes[:, 0].tolist())
        ]
        train, val = encode(Batch(texts, sizes[:, 1].tolist()), tokenizer)
        sink.write(struct.pack("<QQ", len(train), len(val)))
        sink.write(train.astype("<u4").tobytes() + val.astype("<u4").tobytes())
        sink.flush()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
