from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from gptmill.train.signals import StopOnSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_sets_the_flag_and_the_old_handler_comes_back(number):
    before = signal.getsignal(number)
    with StopOnSignal() as stop:
        assert stop.signal is None
        os.kill(os.getpid(), number)
        assert stop.signal == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGINT"), ("SIGINT", "SIGINT"), ("SIGHUP", "SIGTERM")])
def test_a_second_signal_ends_the_process_at_once_with_its_number(first, second):
    code = f"""
import os, signal
from gptmill.train.signals import StopOnSignal
with StopOnSignal():
    os.kill(os.getpid(), signal.{first})
    os.kill(os.getpid(), signal.{second})
    print("still here")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 128 + getattr(signal, second)
    assert done.stdout == ""


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    try:
        with StopOnSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_changes():
    seen = []

    def work() -> None:
        with StopOnSignal() as stop:
            seen.append((stop.signal, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]
