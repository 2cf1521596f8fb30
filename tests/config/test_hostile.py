"""Files from strangers: nothing in them runs, and reading them takes little time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.config.payloads import PY_PAYLOADS, YAML_PAYLOADS

ROOT = Path(__file__).parents[2]

# One interpreter with at most 1 GiB of address space reads them all; exit by a limit would be a failure here.
READ_ALL = """
import json, os, re, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
from gptmill.config.load import load
from gptmill.errors import ConfigError

os.chdir(sys.argv[1])
report = []
for name in sorted(os.listdir(".")):
    began = time.perf_counter()
    try:
        load([name])
        problems = []
    except ConfigError as error:
        problems = list(error.problems)
    report.append({"name": name, "problems": problems, "seconds": time.perf_counter() - began})
peak = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024  # not that of the test runner
print(json.dumps({"report": report, "peak": peak, "left": sorted(os.listdir("."))}))
"""


def test_nothing_in_a_hostile_config_runs_and_all_are_refused_quickly(tmp_path: Path) -> None:
    payloads = [(f"p{i:03}.py", text) for i, text in enumerate(PY_PAYLOADS)]
    payloads += [(f"y{i:03}.yaml", text) for i, text in enumerate(YAML_PAYLOADS)]
    for name, text in payloads:
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ_ALL, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["left"] == [name for name, _ in sorted(payloads)]  # no canary, nothing else written
    accepted = [r["name"] for r in found["report"] if not r["problems"]]
    assert accepted == []
    for entry in found["report"]:
        for line in entry["problems"]:
            assert line.isprintable() and len(line) < 300
        assert entry["problems"][0].startswith(entry["name"])
        assert entry["seconds"] < 2.0, entry
    assert found["peak"] < 500 * 2**20


def test_a_config_that_is_a_device_or_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    os.symlink("/dev/zero", tmp_path / "zero.yaml")
    os.symlink("nowhere", tmp_path / "dangling.py")
    os.symlink("loop.py", tmp_path / "loop.py")
    code = (
        "from gptmill.config.load import load\n"
        "try: load(['pipe.py', 'zero.yaml', 'dangling.py', 'loop.py'])\n"
        "except Exception as e: print(type(e).__name__, len(e.problems))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout.split() == ["ConfigError", "4"]
