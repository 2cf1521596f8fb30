"""A launched run, seen from outside: its processes, and what they listen on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from tests.cli.run import ROOT


def start(folder: Path, *words: str, path: Path | None = None) -> subprocess.Popen[str]:
    """``gptmill WORDS`` in a folder; ``path`` holds commands that come before others."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if path is not None:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    return subprocess.Popen(
        [sys.executable, "-m", "gptmill", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def wait_for(path: Path, text: str, times: int = 1, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().count(text) >= times:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} never held {text} {times} times")


def family(pid: int) -> list[int]:
    """A process and all that it started, and those that these started."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def rank_of(supervisor: int, rank: int) -> int:
    """The pid of one of the processes that train."""
    for pid in family(supervisor)[1:]:
        try:
            if f"\0RANK={rank}\0" in "\0" + Path(f"/proc/{pid}/environ").read_text():
                return pid
        except OSError:
            continue
    raise AssertionError(f"rank {rank} is not there")


def listeners(pids: list[int]) -> list[IPv4Address | IPv6Address]:
    """The addresses on which these processes accept TCP connections, as the kernel lists them."""
    inodes = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(file)))
            except OSError:
                continue
    found: list[IPv4Address | IPv6Address] = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and cells[9] in inodes:  # LISTEN
                words = re.findall("........", cells[1].partition(":")[0])
                address = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
                found.append(IPv4Address(address) if table == "tcp" else IPv6Address(address))
    return found
