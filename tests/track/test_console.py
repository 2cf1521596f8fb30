from __future__ import annotations

import io

import pytest

from gptmill.events import CheckpointSaved, EvalDone, Notice, RunDone, RunStarted, StepDone
from gptmill.track.console import ConsoleRecorder, bar, printable


class Screen(io.TextIOWrapper):
    """A stream that may call itself a terminal."""

    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)


def step(iter: int) -> StepDone:
    return StepDone(iter, loss=4.2302, lr=6e-4, grad_norm=1.0, tokens=3072, seconds=0.1353)


def show(screen: Screen, log_interval: int = 100) -> str:
    recorder = ConsoleRecorder(log_interval, screen)
    recorder(RunStarted(0, 200, 3072))
    for iter in range(1, 201):
        recorder(step(iter))
        if iter == 150:
            recorder(EvalDone(iter, 4.1, 4.2, True, 0.5))
            recorder(CheckpointSaved(iter, "checkpoints/step_00000150", "eval", True, 0.05, 2**20))
    recorder(RunDone(200, 4.2))
    recorder.close()
    return screen.text()


def test_without_a_terminal_there_are_plain_lines_at_the_log_interval():
    assert show(Screen(terminal=False)).splitlines() == [
        "iter 100: loss 4.2302, time 135.3 ms, 22.7k tok/s, lr 6.0e-04",
        "step 150: train loss 4.1000, val loss 4.2000, perplexity 66.69 (best so far)",
        "step 150: saved checkpoints/step_00000150 (1.00 MiB, 50 ms)",
        "iter 200: loss 4.2302, time 135.3 ms, 22.7k tok/s, lr 6.0e-04",
        "step 200: done, best val loss 4.2000",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("terminal", [True, False])
def test_an_encoding_that_is_not_utf8_gets_ascii(encoding, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(terminal=terminal, encoding=encoding)
    show(screen)
    ConsoleRecorder(1, screen)(Notice(1, "naïve 漢字"))
    assert screen.text().isascii()
    assert "na\\xefve" in screen.text()


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_the_progress_line_fits_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    drawn = [part.split("\x1b[K")[0] for part in show(Screen(terminal=True)).split("\r")[1:]]
    assert drawn
    assert max(len(line) for line in drawn) < columns
    assert any("loss 4.2302" in line for line in drawn)
    if columns >= 80:
        assert any(word in drawn[-1] for word in ("200/200",))
        assert all(word in line for line in drawn if line for word in ("lr 6.0e-04", "22.7k tok/s", "ETA"))


def test_a_line_above_the_progress_line_leaves_no_rest_of_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    text = show(Screen(terminal=True))
    before = text[: text.index("step 150: train")]
    assert before.rstrip("\x1b[10m;").endswith("\r\x1b[K") or "\r\x1b[K" in before[-16:]


def test_hostile_text_cannot_reach_the_terminal_raw():
    screen = Screen(terminal=False)
    ConsoleRecorder(1, screen)(Notice(1, "a\x1b[31m\x07\r\nb\u202ec\u2066d\x9be\ud800f\u2028g [bold]h[/bold]"))
    assert screen.text() == ("a\\x1b[31m\\x07\\r\\nb\\u202ec\\u2066d\\x9be\\ud800f\\u2028g [bold]h[/bold]\n")


def test_printable_leaves_ordinary_text_alone():
    assert printable("Straße 漢字 été 🙂 [x] \\n") == "Straße 漢字 été 🙂 [x] \\n"


def test_a_terminal_that_goes_away_does_not_stop_the_run():
    class Gone(Screen):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    recorder = ConsoleRecorder(1, Gone(terminal=False))
    recorder(step(1))
    recorder(step(2))
    recorder(RunDone(2, None))
    recorder.close()


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.3, 1.0, 7.0])
@pytest.mark.parametrize("width", [0, 1, 7, 30])
def test_a_bar_is_as_wide_as_asked(share, width):
    assert len(bar(share, width, utf8=True)) == len(bar(share, width, utf8=False)) == width
