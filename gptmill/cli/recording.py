"""Who is told what happens in a run: the list of recorders, and the order in which they hear of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from gptmill.cli.ranks import Material
from gptmill.cli.startup import device_peak, layer_flops, metadata, startup_info, utilization
from gptmill.config.schema import Config
from gptmill.data.baseline import unigram_loss
from gptmill.events import Event
from gptmill.plan.types import Plan
from gptmill.track.console import STYLES, ConsoleRecorder
from gptmill.track.folded import FoldedLog
from gptmill.track.jsonl import JsonlRecorder
from gptmill.track.meters import Meter
from gptmill.track.summary import Summary, peak_host_memory
from gptmill.train.checkpoint import result_sha256
from gptmill.train.device import peak_memory
from gptmill.train.state import TrainState

Recorder = Callable[[Event], Iterable[Event]]  # may answer with events of its own: CheckpointSaved, Notice


def meter(plan: Plan) -> Meter:
    """What measures every step before anyone hears of it."""
    attention, ffn = layer_flops(plan)
    return Meter(
        plan,
        peak_flops=device_peak(plan),
        attention_flops=attention,
        ffn_flops=ffn,
        utilization=utilization(plan.device),
    )


def held(plan: Plan) -> Callable[[], int]:
    """Tells the most bytes that were held so far: by torch on a GPU, else by this process."""
    return lambda: peak_memory(plan.device) or peak_host_memory()


def summary_of(plan: Plan, run_dir: Path, found: Material) -> Summary:
    """What `train --json` prints at the end."""
    return Summary(
        run_dir,
        params=plan.params,
        flops_per_token=plan.flops_per_token,
        unigram_entropy=unigram_loss(found.tokens["train"], found.eval_windows["val"][:, 1:], plan.shape),
        weights_sha256=lambda: result_sha256(run_dir, found.state, plan),
        peak_memory=held(plan),
        pruning=lambda: found.state.pruner.standing() if found.state.pruner else None,
    )


def watchers(plan: Plan, config: Config, run_dir: Path, state: TrainState, summary: Summary) -> list[Recorder]:
    """Recorders that only look: the console, the record on disk. They hear of an event before anything is saved."""
    info = startup_info(plan, config, state)
    about = {"config": info["config"], "startup_info": info, "metadata": metadata(plan)}
    folded = FoldedLog(run_dir, log_interval=plan.log_interval, save_interval=plan.log_save_interval, about=about)
    return [
        ConsoleRecorder(STYLES[plan.log_style](plan, info), plan.log_interval),
        summary,
        JsonlRecorder(run_dir, summary.result),
        *([folded] if plan.save_log_to_json else []),
    ]


class Recording:
    """Tells every recorder of every event, in order; closes those that can be closed, the last one first.

    Args:
        measure: adds to an event what follows from it, such as MFU, before anyone hears of it.
    """

    def __init__(self, recorders: list[Recorder], measure: Callable[[Event], Event] = lambda event: event) -> None:
        self._recorders = recorders
        self._measure = measure
        self.seconds = 0.0  # spent in here

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for recorder in self._recorders:
                if close := getattr(recorder, "close", None):
                    stack.callback(close)

    def tell(self, event: Event) -> None:
        began = time.perf_counter()
        pending = [event]
        while pending:
            told = self._measure(pending.pop(0))
            for record in self._recorders:
                pending += record(told)
        self.seconds += time.perf_counter() - began
