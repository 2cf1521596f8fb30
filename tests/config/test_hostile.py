"""Files from strangers: nothing in them runs, and reading them takes little time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

RUNS = "open('canary', 'w').close()"  # what a payload would do if any of it ran
PY_PAYLOADS = [
    "n_layer = __import__('os').system('touch canary')",
    "import os\nos.system('touch canary')",
    "from os import system as n_layer",
    "import time as t, os",
    f"n_layer = {RUNS}",
    f"n_layer = exec({RUNS!r})",
    f"n_layer = eval({RUNS!r})",
    f"n_layer = compile({RUNS!r}, 'x', 'exec')",
    "n_layer = ().__class__.__base__.__subclasses__()",
    "n_layer = (1).__class__",
    "n_layer = 'x'.__len__()",
    f"n_layer = (lambda: {RUNS})()",
    f"n_layer = (n_head := {RUNS})",
    f"def n_layer(x={RUNS}): pass",
    f"@{RUNS}\ndef f(): pass",
    f"class A:\n    {RUNS}",
    f"if True:\n    {RUNS}",
    f"for x in [1]:\n    {RUNS}",
    "while True: pass",
    f"try:\n    {RUNS}\nexcept: pass",
    f"with {RUNS} as n_layer: pass",
    f"assert {RUNS}",
    "n_layer = [0 for _ in range(10**12)]",
    "n_layer = {k: v for k in range(9**9) for v in range(9**9)}",
    "n_layer = sum(x for x in range(10**12))",
    "n_layer = 9**9**9",
    "n_layer = 2**(2**30)",
    "n_layer = 1e308 * 10",
    "n_layer = (-8)**0.5",
    "dataset = 'a' * 10**10",
    "dataset = 10**10 * 'a'",
    "n_layer = [0] * 10**10",
    "a = 'x' * 4000\n" + "a = a + a\n" * 60 + "dataset = a",
    "a = [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "a = [a, a, a, a, a, a, a, a, a]\n" * 30 + "n_layer = a",
    'dataset = f"{1:1000000000}"',
    'dataset = f"{1:.1000000000f}"',
    'w = 10**9\ndataset = f"{1:{w}}"',
    f'dataset = f"{{{RUNS}}}"',
    'dataset = f"{1!r}"',
    "dataset = '%1000000000d' % 1",
    "dataset = '{0.__class__}'.format(1)",
    "n_layer = str(open('canary', 'w'))",
    "str = open\nn_layer = str('canary')",
    "time = 5\nn_layer = time.time(1)",
    "n_layer = time.sleep(100)",
    "n_layer: " + RUNS,
    f"n_layer: {RUNS} = 1.5",
    f"x[{RUNS}] = 1",
    f"x.y = {RUNS}",
    "a, n_layer = 1, 2",
    "n_layer += 1",
    "del n_layer",
    "global n_layer",
    "__builtins__ = 5",
    "n_layer = ...",
    "n_layer = b'1'",
    "n_layer = 1j",
    "n_layer = await x",
    "n_layer = yield",
    "n_layer = x[0]",
    "n_layer = *a",
    "n_layer = " + "-" * 100_000 + "1",
    "n_layer = " + "1+" * 100_000 + "1",
    "n_layer = " + "(" * 100_000,
    "n_layer = " + "[" * 199 + "]" * 199,
    "n_layer = " + "x" + ".x" * 100_000,
    "n_layer = " + "x" + "()" * 100_000,
    "n_layer = " + "not " * 60_000 + "1",
    "n_layer = " + "1 if 1 else " * 20_000 + "1",
    "n_layer = " + "1<" * 100_000 + "1",
    "n_layer = " + "9" * 200_000,
    'dataset = f"' + "{1}" * 80_000 + '"',
    "dataset = f'" + "{1}" * 999 + "'\nn_layer = dataset",
    "n_layer = " + "[" + "1," * 100_000 + "]",
    "x" * 200_000 + " = 1",
    "if 1:\n" + "".join(" " * i + "if 1:\n" for i in range(1, 99)) + " " * 99 + "pass",
    "a = 1\n" * 60_000 + "n_layer = oops",
    "#" * 2_000_000,
    "n_layer = 1\n" * 200_000,
    "n_layer = '\\ud800'",
    "n_layer = 1 # \x00",
]
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)
YAML_PAYLOADS = [
    BOMB,
    "n_layer: !!python/object/apply:os.system ['touch canary']",
    "n_layer: !!python/name:os.system",
    "!!python/object/new:os.system ['touch canary']",
    "n_layer: !!int '3'",
    "!!map {n_layer: 3}",
    "dataset: !foo bar",
    "a: &x 1\nn_layer: *x",
    "n_layer: &x 3",
    "base: &b\n  n_layer: 3\n<<: *b",
    "<<: {n_layer: 3}",
    "<<: 3",
    "? [n_layer]\n: 3",
    "? {a: 1}\n: 3",
    "n_layer: " + "[" * 120_000,
    "n_layer: " + "{a: " * 60_000,
    "[" * 200_000,
    "".join(" " * i + "a:\n" for i in range(600)),
    "k: 1\n" * 40_000,
    "".join(f"k{i}: 1\n" for i in range(20_000)),
    "&a " * 80_000,
    "? " * 120_000,
    "--- 1\n" * 40_000,
    "x" * 200_000 + ": 1",
    "n_layer: " + "9" * 200_000,
    "learning_rate: " + "1_" * 100_000,
    "learning_rate: 1e999999999999",
    "dataset: " + "é" * 100_000,
    "%YAML 9.9\n---\nn_layer: 1",
    "n_layer: 'unclosed",
    "n_layer: \x07",
    "n_layer: \x00",
    "n_layer: |\n" + " 1\n" * 80_000,
    "@: 1",
    "n_layer: [1",
]

# One interpreter with at most 1 GiB of address space reads them all; exit by a limit would be a failure here.
READ_ALL = """
import json, os, resource, sys, time
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
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
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
