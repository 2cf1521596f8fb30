"""torchrun's own agent, on one machine: it starts the processes, and nothing of it can be reached from outside."""

from __future__ import annotations

import inspect
import logging
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous

LOOPBACK = "127.0.0.1"
PATIENCE = 300  # seconds for a signalled process to finish its step and save
Look = Callable[[dict[int, int]], None]  # told the processes' ids by rank


class LoopbackRendezvous(StaticTCPRendezvous):
    """One node, whose store listens on the loopback device only.

    A TCPStore listens on all interfaces, whatever address it is given (pytorch issue 173909), unless it is handed a socket
    that is bound already.
    """

    def __init__(self, run_id: str) -> None:
        server = socket.create_server((LOOPBACK, 0), backlog=128)
        port = server.getsockname()[1]
        super().__init__(LOOPBACK, port, rank=0, world_size=1, run_id=run_id, timeout=60)
        self._store = TCPStore(
            LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=server.detach()
        )  # fmt: skip

    def get_backend(self) -> str:
        return "gptmill-loopback"


class WatchedAgent(LocalElasticAgent):
    """Lets somebody look at the processes before it does."""

    def __init__(self, spec: WorkerSpec, logs: DefaultLogsSpecs, look: Look) -> None:
        known = inspect.signature(LocalElasticAgent.__init__).parameters
        options: dict[str, Any] = {"shutdown_timeout": PATIENCE} if "shutdown_timeout" in known else {}
        super().__init__(spec, logs, **options)
        self._look = look

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        self._look({worker.global_rank: worker.id for worker in worker_group.workers})
        return super()._monitor_workers(worker_group)


def run_processes(command: list[str], processes: int, folder: Path, look: Look, interval: float) -> dict[int, int]:
    """Start the command as so many processes and wait until all have ended; returns the exit codes that are not 0, by rank.

    Args:
        folder: for what the agent keeps about them.
        interval: seconds between two looks at them.

    Raises:
        SignalException: this process was told to end; those that it started were told, and have ended.
    """
    logging.disable(logging.ERROR)  # the agent's, in this process: who looks says in one line what happened
    spec = WorkerSpec(
        role="gptmill",
        local_world_size=processes,
        rdzv_handler=LoopbackRendezvous(uuid.uuid4().hex),
        entrypoint=command[0],
        args=tuple(command[1:]),
        max_restarts=0,
        monitor_interval=interval,
    )
    agent = WatchedAgent(spec, DefaultLogsSpecs(str(folder)), look)
    return {rank: failure.exitcode for rank, failure in agent.run().failures.items()}
