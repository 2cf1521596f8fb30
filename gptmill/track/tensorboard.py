"""TensorBoard: RUN/tensorboard/, one event file for each process of the run.

Records are written with tensorboard's own classes, whole and at once. Its EventFileWriter would add a thread, a delay of up
to two minutes, and the import of TensorFlow where that is installed; torch's SummaryWriter needs torch on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from gptmill.track.scalars import scalars

FOLDER = "tensorboard"


class TensorBoard:
    """The tracker (track/inbox.py).

    Args:
        start: ``run_dir``, and ``config`` with every key.
    """

    def __init__(self, start: dict[str, Any], say: Callable[[str], None]) -> None:
        folder = Path(start["run_dir"]) / FOLDER
        folder.mkdir(exist_ok=True)
        self._config = start["config"]
        # Numbered in place of the usual time: files are read in the order of their names, and clocks are set back.
        number = 1 + max(
            (int(path.name.split(".")[3]) for path in folder.glob("events.out.tfevents.*.gptmill")), default=0
        )
        # unbuffered: a record is in the file whatever happens to this process
        self._file = open(folder / f"events.out.tfevents.{number:010d}.gptmill", "xb", buffering=0)  # noqa: SIM115
        self._records = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2", source_metadata=SourceMetadata(writer="gptmill")))

    def __call__(self, fields: dict[str, Any]) -> None:
        step = fields["iter"]
        match fields["event"]:
            case "run_started":
                # Steps after this one come again. An evaluation at this one does not, except at the very beginning.
                restart = SessionLog(status=SessionLog.START)
                self._write(Event(session_log=restart, step=step + 1 if step else 0))
                lines = (f"{key} = {value}" for key, value in sorted(self._config.items()))
                self._text("config", "\n".join(lines), step)
            case "samples":
                for number, sample in enumerate(fields["samples"], 1):
                    self._text(f"samples/{number}", f"{sample['prompt']} | {sample['text']}", step)
            case "alarm":
                self._text(f"alarms/{fields['kind']}", fields["says"], step)
            case _:
                values = [Summary.Value(tag=tag, simple_value=number) for tag, number in scalars(fields).items()]
                if values:
                    self._write(Event(summary=Summary(value=values), step=step))

    def close(self) -> None:
        self._file.close()

    def _text(self, tag: str, text: str, step: int) -> None:
        """Text is shown as Markdown: indented it is a block of code, in which nothing means anything."""
        block = "".join(f"    {line}\n" for line in text.splitlines())
        self._write(Event(summary=text_pb(tag, block), step=step))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
