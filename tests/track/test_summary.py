"""What a run says of itself."""

from __future__ import annotations

import subprocess
import sys

from gptmill.track.summary import peak_host_memory


def test_peak_memory_is_this_processs_own_and_not_that_of_a_larger_one_that_started_it() -> None:
    ask = "from gptmill.track.summary import peak_host_memory; print(peak_host_memory())"
    start = f"import subprocess, sys; b = b'1' * 2**29; subprocess.run([sys.executable, '-c', {ask!r}], check=True)"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True)
    assert 2**22 < int(done.stdout) < 2**28


def test_peak_memory_counts_what_was_held_once() -> None:
    before = peak_host_memory()
    held = b"1" * (before + 2**26)
    assert peak_host_memory() >= len(held)
