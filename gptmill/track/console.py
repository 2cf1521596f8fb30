"""The recorder a person watches: a progress line on a terminal, plain lines anywhere else. Everything goes to stderr."""

from __future__ import annotations

import math
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.text import Text

from gptmill import units
from gptmill.events import (
    Alarm,
    CheckpointSaved,
    EvalDone,
    Event,
    Notice,
    RunDone,
    RunStarted,
    Samples,
    StepDone,
    Stopped,
)
from gptmill.plan.types import Plan
from gptmill.track.full_style import FullStyle
from gptmill.track.line_style import LineStyle
from gptmill.track.pace import Pace

REDRAW_SECONDS = 0.2
EXCERPT = 160  # characters of a sample
NARROW, WIDE = 40, 120  # columns: what a progress line can shrink to and need not exceed


class Style(Protocol):
    """How a run begins and how a step looks. ``fancy``: on a terminal that shows more than ASCII."""

    scrolls: bool  # steps are shown above a terminal's progress line too

    def opening(self, fancy: bool) -> list[str]: ...

    def step(self, event: StepDone, eta: str | None, fancy: bool) -> list[str]: ...


STYLES: dict[str, Callable[[Plan, dict[str, Any]], Style]] = {"line": LineStyle, "full": FullStyle}  # by log_style


class ConsoleRecorder:
    """Shows events.

    No thread redraws and the cursor is never hidden, so a process that dies leaves the terminal as it was.

    Args:
        log_interval: steps between those that are shown in lines of their own. A terminal has a progress line that moves
            by the clock besides, which is enough for a style that does not scroll.
    """

    def __init__(self, style: Style, log_interval: int, stream: TextIO | None = None) -> None:
        self._style = style
        self._stream = stream or sys.stderr or open(os.devnull, "w")  # noqa: SIM115  (stderr may be closed)
        self._utf8 = (getattr(self._stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
        self._console = Console(file=self._stream, highlight=False, legacy_windows=False)
        self._live = self._stream.isatty() and not self._console.is_dumb_terminal
        self._fancy = self._live and self._utf8
        self._log_interval = log_interval
        self._pace: Pace | None = None
        self._drawn_at = 0.0
        self._drawn = False

    def __call__(self, event: Event) -> Iterable[Event]:
        try:
            self._show(event)
        except (OSError, SystemExit):  # the terminal went away (ssh drop, closed pipe; rich exits): go on unseen
            self._stream = open(os.devnull, "w")  # noqa: SIM115  (lives as long as the process)
            self._console, self._live = Console(file=self._stream), False
        return []

    def close(self) -> None:
        """Bring the progress line up to date, leave it standing and go on below it."""
        if self._drawn:
            self._draw()
            print(file=self._stream)
        self._live = self._drawn = False

    def _show(self, event: Event) -> None:
        match event:
            case RunStarted():
                if self._pace is None:  # a run that goes back to an earlier step begins again, in the same process
                    self._lines(self._style.opening(self._fancy))
                self._pace = Pace(event.iter, event.max_iters)
            case StepDone():
                self._step(event)
            case EvalDone():
                mark = " (best so far)" if event.best else ""
                losses = f"train loss {event.train_loss:.4f}, val loss {event.val_loss:.4f}"
                perplexity = f", perplexity {math.exp(event.val_loss):.2f}" if event.val_loss < 700 else ""
                self._line(f"step {event.iter}: {losses}{perplexity}{mark}", style="bold")
            case Samples():
                for sample in event.samples:
                    self._line(f"step {event.iter}: {excerpt(sample['prompt'], sample['text'])}", style="dim")
            case CheckpointSaved():
                cost = f"{units.size(event.n_bytes)}, {units.duration(event.seconds)}"
                self._line(f"step {event.iter}: saved {event.path} ({cost})", style="dim")
            case Alarm() if event.action != "stop":  # what stops the run is said as its error
                action = "" if event.action == "warn" else f" ({event.action})"
                self._line(f"step {event.iter}: {event.says}{action}", style="yellow")
            case Notice():
                self._line(event.says, style="yellow")
            case Stopped():
                self.close()
                self._line(f"step {event.iter}: stopped by signal {event.signal}", style="yellow")
            case RunDone():
                self.close()
                best = "" if event.best_val_loss is None else f", best val loss {event.best_val_loss:.4f}"
                end = "done" if event.stopped is None else f"stopped early ({event.stopped})"
                self._line(f"step {event.iter}: {end}{best}", style="bold")

    def _step(self, event: StepDone) -> None:
        if self._pace is not None:
            self._pace.step(event)
        shown = not self._live or self._style.scrolls
        if shown and event.iter % self._log_interval == 0:
            eta = self._pace.eta() if self._pace else None
            self._lines(self._style.step(event, eta, self._fancy))
        if self._live and time.monotonic() - self._drawn_at >= REDRAW_SECONDS:
            self._draw()

    def _lines(self, lines: list[str]) -> None:
        for line in lines:
            self._line(line)

    def _line(self, text: str, style: str = "") -> None:
        """One line of text, above the progress line where there is one."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
        if style:
            # soft_wrap: a long path stays one line, to be copied
            self._console.print(Text(self._safe(text), style=style), soft_wrap=True)
        else:  # ten times as fast, and most lines are steps
            self._stream.write(self._safe(text) + "\n")
            self._stream.flush()
        if self._drawn:
            self._draw()

    def _draw(self) -> None:
        if self._pace is None or self._pace.last is None:
            return
        width = max(NARROW, min(WIDE, self._console.width)) - 1  # the last column would wrap on some terminals
        self._stream.write(f"\r{self._pace.line(width, self._utf8)}\x1b[K")
        self._stream.flush()
        self._drawn, self._drawn_at = True, time.monotonic()

    def _safe(self, text: str) -> str:
        text = printable(text)
        return text if self._utf8 else text.encode("ascii", "backslashreplace").decode()


def excerpt(prompt: str, text: str) -> str:
    """A sample in a line or two of a terminal: its prompt, a bar, and the beginning of the text, line breaks as spaces."""
    words = " ".join(text.split())
    return f"{prompt} | {words if len(words) <= EXCERPT else words[:EXCERPT] + '...'}"


def printable(text: str) -> str:
    """The text with control, direction-changing and unpaired characters written out as escapes.

    Names and samples come from files; raw escapes in them could repaint the terminal or forge a line.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else ascii(char)[1:-1] for char in text
    )
