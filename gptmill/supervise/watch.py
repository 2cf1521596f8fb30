"""Looks after the processes of one attempt: sees that one has died, or that all are silent, and ends the others."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from gptmill.errors import TryAgain
from gptmill.supervise.failure import Failure, cause
from gptmill.supervise.heartbeat import DUMP, LONG, Beat, Phase, read_beat, stack_file

LOOK = 0.1  # seconds between two looks, here and in torch's agent
GRACE = 5.0  # seconds in which the others of a process that ended may end by themselves, and say what they know ...
SAVING = 60.0  # ... and one that the recorders have, whatever happened: it may be saving
WRITING = 2.0  # seconds for the stacks to be written
STOPPED = "Tt"  # states of a process in /proc


class Watch:
    """Call it with the processes' ids by rank, again and again. It returns at once while all is well; else they are all
    dead when it returns, and ``failure`` tells why.

    Args:
        least: seconds of silence that are no hang; None: as the processes say.
    """

    def __init__(self, folder: Path, processes: int, least: float | None = None) -> None:
        self.failure: Failure | None = None
        self._folder, self._processes, self._least = folder, processes, least
        self._began = time.monotonic()

    def __call__(self, pids: Mapping[int, int]) -> None:
        codes = self._ended(pids)
        if any(codes.values()):
            self._after_a_death(pids)
        elif silent := self._silent(pids.keys() - codes.keys()):
            self._after_a_hang(pids, silent)

    def _silent(self, ranks: set[int]) -> float | None:
        """Seconds since the last sign of life of any process, when all have been silent for too long.

        One that waits for another is silent too; so one alone that may take its time keeps the alarm off.
        """
        silences = []
        for rank in ranks:
            beat = read_beat(self._folder, rank)
            silences.append(time.monotonic() - (beat.began if beat else self._began))
            least = self._least or (beat.least if beat else 0.0)
            if silences[-1] < max(beat.patience if beat else LONG, least):
                return None
        return min(silences, default=None)

    def _after_a_death(self, pids: Mapping[int, int]) -> None:
        died, began = self._ended(pids), time.monotonic()
        grace = GRACE if any(code > 0 for code in died.values()) else 0.0  # of a signal the others know nothing
        while len(codes := self._ended(pids)) < len(pids):
            if time.monotonic() - began >= (SAVING if self._saving(pids.keys() - codes) else grace):
                break
            time.sleep(LOOK / 2)
        self._kill(pids, codes)
        first = {rank: code for rank, code in died.items() if code} or codes
        # who lost its peer says so with this code; the peer is the one to tell of
        telling = {rank: code for rank, code in codes.items() if code not in (0, TryAgain.exit_code)} or first
        self._fail(codes, _deaths(telling))

    def agent_saw(self, codes: dict[int, int]) -> None:
        """Take what torch's agent found between two looks: then it has ended the others."""
        if self.failure is None:
            self._fail(codes, _deaths(codes))

    def _after_a_hang(self, pids: Mapping[int, int], seconds: float) -> None:
        codes = self._ended(pids)
        states = {rank: state(pid) for rank, pid in pids.items() if rank not in codes}
        beats = {rank: read_beat(self._folder, rank) for rank in states}
        asked = [rank for rank in states if states[rank] not in STOPPED and beats[rank]]
        for rank in asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[rank], DUMP)
        _settle([stack_file(self._folder, rank) for rank in asked])
        self._kill(pids, codes)
        doing = sorted({Phase(beat.phase).name.lower() if beat else "start" for beat in beats.values()})
        found = f"nothing moved for {seconds:.1f} s ({', '.join(doing)})"
        stopped = [str(rank) for rank in sorted(states) if states[rank] in STOPPED]
        if stopped:
            found += f"; rank {' and '.join(stopped)} was stopped by a signal"
        self._fail(codes, found, hung=True)

    def _saving(self, ranks: set[int]) -> bool:
        beats = [read_beat(self._folder, rank) for rank in ranks]
        return any(beat and beat.phase == Phase.RECORDS for beat in beats)

    def _ended(self, pids: Mapping[int, int]) -> dict[int, int]:
        """Exit codes of those that have ended, which are left for torch's agent to collect."""
        codes = {}
        for rank, pid in pids.items():
            try:
                told = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:  # collected before: it had ended well
                codes[rank] = 0
                continue
            if told is not None:
                codes[rank] = told.si_status if told.si_code == os.CLD_EXITED else -told.si_status
        return codes

    def _kill(self, pids: Mapping[int, int], codes: Mapping[int, int]) -> None:
        living = [pid for rank, pid in pids.items() if rank not in codes]
        for pid in living:
            os.kill(pid, signal.SIGKILL)  # checkpoints commit by a rename: this cannot damage one
        for pid in living:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def _fail(self, codes: dict[int, int], found: str, hung: bool = False) -> None:
        beats = [beat for rank in range(self._processes) if (beat := read_beat(self._folder, rank))]
        furthest: Beat | None = max(beats, key=lambda beat: beat.iter, default=None)
        self.failure = Failure(
            codes=codes,
            iter=furthest.iter if furthest else None,
            sequences=(furthest.first, furthest.last) if furthest else None,
            hung=hung,
            decided=any(beat.phase == Phase.DECIDED for beat in beats),
            found=found,
        )


def state(pid: int) -> str:
    """The letter that the kernel gives a process: R runs, S sleeps, T was stopped, D waits for a device; '' unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _deaths(codes: Mapping[int, int]) -> str:
    return ", ".join(f"rank {rank} ended with {cause(code)}" for rank, code in sorted(codes.items()))


def _settle(files: list[Path]) -> None:
    """Wait until all have something in them and grow no more."""
    deadline, before = time.monotonic() + WRITING, [0]
    while time.monotonic() < deadline:
        time.sleep(LOOK)
        sizes = [path.stat().st_size for path in files]
        if all(sizes) and sizes == before:
            return
        before = sizes
