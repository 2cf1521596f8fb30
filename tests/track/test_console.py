from __future__ import annotations

import io
import re
import unicodedata

import pytest

from gptmill.events import Alarm, CheckpointSaved, EvalDone, Notice, RunDone, RunStarted, StepDone
from gptmill.track.console import STYLES, ConsoleRecorder, printable
from gptmill.track.full_style import amount
from gptmill.track.pace import bar
from tests.train.small import small_plan


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


ABOUT = {
    "model": {"total_params": 29_000, "trainable_params": 29_000, "non_embedding_params": 28_000},
    "hardware": {
        "gpu_name": "NVIDIA A100", "num_gpus": 8, "gpu_memory_gb": 85.9, "precision": "bfloat16", "parallelism": "DDP",
    },
    "performance": {
        "hardware_peak_tflops": 2496.0, "attention_to_ffn_ratio": 5 / 6, "attention_to_ffn_ratio_causal": 2 / 3,
        "expected_tokens_per_sec": 1_460_238.0,
    },
}  # fmt: skip


def console(screen: Screen, log_interval: int = 1, style: str = "line") -> ConsoleRecorder:
    return ConsoleRecorder(STYLES[style](small_plan(), ABOUT), log_interval, screen)


def show(screen: Screen, log_interval: int = 100, style: str = "line") -> str:
    recorder = console(screen, log_interval, style)
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
    printed = re.sub(r"ETA \d+ ms", "ETA ...", show(Screen(terminal=False)))
    assert printed.splitlines() == [
        "Using device: cpu (test), float32",
        "Batch: 4 sequences x 1 micro-batch = 4 sequences = 64 tokens a step",
        "iter 100: loss 4.2302, time 135.3 ms, 22.7k tok/s, lr 6.0e-04, ETA ...",
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
    console(screen)(Notice(1, "naïve 漢字"))
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
    console(screen)(Notice(1, "a\x1b[31m\x07\r\nb\u202ec\u2066d\x9be\ud800f\u2028g [bold]h[/bold]"))
    assert screen.text() == ("a\\x1b[31m\\x07\\r\\nb\\u202ec\\u2066d\\x9be\\ud800f\\u2028g [bold]h[/bold]\n")


def test_printable_leaves_ordinary_text_alone():
    assert printable("Straße 漢字 été 🙂 [x] \\n") == "Straße 漢字 été 🙂 [x] \\n"


def test_a_terminal_that_goes_away_does_not_stop_the_run():
    class Gone(Screen):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    recorder = console(Gone(terminal=False))
    recorder(step(1))
    recorder(step(2))
    recorder(RunDone(2, None))
    recorder.close()


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.3, 1.0, 7.0])
@pytest.mark.parametrize("width", [0, 1, 7, 30])
def test_a_bar_is_as_wide_as_asked(share, width):
    assert len(bar(share, width, utf8=True)) == len(bar(share, width, utf8=False)) == width


GIGA = {"hardware_peak_tflops": 2496.0, "achieved_tflops": 781.9, "flops_per_token": 854_654_976}
MEASURED = StepDone(
    500, loss=4.2302, lr=6e-4, grad_norm=2.3456, tokens=491_520, seconds=0.537,
    times={"data": 0.005, "compute": 0.4, "communication": 0.1, "optimizer": 0.03},
    memory={"allocated_gb": 12.34, "reserved_gb": 16.0, "max_allocated_gb": 15.67, "max_reserved_gb": 16.0, "host_gb": 3.2},
    gradients={"grad_mean": -1.23e-5, "grad_std": 3.45e-4},
    mfu={**GIGA, "mfu_percent": 31.327, "tokens_per_sec": 915_307.3, "gpu_utilization_percent": 98.0},
)  # fmt: skip


def block(screen: Screen, event: StepDone, style: str = "full") -> list[str]:
    """What one step prints."""
    recorder = console(screen, style=style)
    recorder(RunStarted(490, 1000, 491_520))
    opened = len(screen.text())
    for iter in (499, event.iter):
        recorder(StepDone(**{**vars(event), "iter": iter}))
    return re.sub(r"ETA [^|│,\n\x1b]*", "ETA ...", screen.text()[opened:]).splitlines()


def test_a_full_block_has_the_documents_members():
    lines = block(Screen(terminal=False), MEASURED)
    assert lines[len(lines) // 2 :] == [
        "-" * 80,
        "Iter    500 | Loss: 4.2302 | Time: 537ms | LR: 6.00e-04",
        "-" * 80,
        "MFU: 31.33% | Achieved: 781.9 TF | Peak: 2496.0 TF | GPU busy: 98%",
        "Tokens/s: 915,307 | FLOPs/token: 0.8547 GF",
        "Memory: 12.34 GB alloc | 15.67 GB peak | 16.00 GB reserved | 3.20 GB host",
        "Gradients: norm=2.3456 | mean=-1.23e-05 | std=3.45e-04",
        "Step: data 1% | compute 74% | communication 19% | optimizer 6% | ETA ...",
    ]


def test_a_block_says_why_there_is_no_mfu_and_leaves_out_what_is_not_known():
    unknown = {**GIGA, "mfu_percent": None, "tokens_per_sec": 915_307.3}
    text = "\n".join(block(Screen(terminal=False), StepDone(3, 4.2, 6e-4, 1.0, 64, 0.5, mfu=unknown)))
    assert "MFU: (warming up...)" in text and "Memory" not in text and "nan" not in text.lower()
    nowhere = {**unknown, "hardware_peak_tflops": None}
    lines = block(Screen(terminal=False), StepDone(3, 4.2, 6e-4, 1.0, 64, 0.00537, mfu=nowhere))
    assert "Achieved: 781.9 TF" in lines and not [line for line in lines if "MFU" in line or "Peak" in line]
    assert lines[-lines[::-1].index("-" * 80) - 2] == "Iter      3 | Loss: 4.2000 | Time: 5.37ms | LR: 6.00e-04"


@pytest.mark.parametrize(
    ("flop", "words"), [(2496e12, "2496 T"), (854_654_976, "0.8547 G"), (20_000_000, "20 M"), (6_144, "6.144 k")]
)
def test_an_amount_has_the_unit_that_fits_it(flop, words):
    assert amount(flop) == words


def test_the_line_says_mfu_where_it_is_known(monkeypatch):
    assert block(Screen(terminal=False), MEASURED, "line")[-1].startswith(
        "iter 500: loss 4.2302, time 537.0 ms, 915.3k tok/s, mfu 31.3%, lr 6.0e-04"
    )
    monkeypatch.setenv("TERM", "xterm")
    assert "MFU 31.3%" in "\n".join(block(Screen(terminal=True), MEASURED, "line"))


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) == "W" else 1 for char in line)


@pytest.mark.parametrize(("terminal", "encoding"), [(True, "utf-8"), (True, "ascii"), (False, "utf-8")])
def test_no_full_line_is_wider_than_80_columns_and_only_a_utf8_terminal_gets_pictures(terminal, encoding, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    screen = Screen(terminal=terminal, encoding=encoding)
    console(screen, style="full")(RunStarted(0, 1000, 64))
    lines = screen.text().splitlines() + block(Screen(terminal=terminal, encoding=encoding), MEASURED)
    shown = [part for line in lines for part in re.sub(r"\x1b\[\w*", "\r", line).split("\r")]
    assert max(columns(line) for line in shown) == 80
    assert "Total parameters:      29,000 (0.03M)" in screen.text()
    assert "".join(shown).isascii() == (not (terminal and encoding == "utf-8"))


@pytest.mark.parametrize("style", ["line", "full"])
def test_both_styles_say_the_device_once_and_first_and_the_batch(style):
    screen = Screen(terminal=False)
    recorder = console(screen, style=style)
    recorder(RunStarted(100, 1000, 64))
    recorder(RunStarted(50, 1000, 64))  # went back to an earlier step
    assert screen.text().startswith("Using device: cpu (test), float32\n")
    assert screen.text().count("Using device") == 1
    assert re.search(r"\b64\b", screen.text())


def test_an_alarm_is_one_line_and_yellow_on_a_terminal(monkeypatch):
    alarm = Alarm(7, "loss_spike", "loss 9.1 is 12 deviations above its usual 4.2", action="skip")
    screen = Screen(terminal=False)
    console(screen)(alarm)
    assert screen.text() == "step 7: loss 9.1 is 12 deviations above its usual 4.2 (skip)\n"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen(terminal=True)
    console(screen)(alarm)
    assert screen.text().startswith("\x1b[33m")
