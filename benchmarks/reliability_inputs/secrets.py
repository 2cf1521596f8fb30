"""Planted secrets: none of them is in any byte of what gptmill leaves behind or prints."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.reliability_inputs.workshop import ROOT
from tests.cli.run import SMALL, prepare_tiny


def made_up(number: int) -> str:
    """Looks like a key, and is nobody's."""
    return f"cAnArY{number:02}/x+{number * 7919:06}zZ"


ENVIRONMENT = {
    name: made_up(number)
    for number, name in enumerate(
        (
            "WANDB_API_KEY",
            "HF_TOKEN",
            "HUGGING_FACE_HUB_TOKEN",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
        )
    )
}
IN_URL, FLAG, PY, YAML, KCONFIG, INPUT = map(made_up, range(6, 12))
SECRETS = [*ENVIRONMENT.values(), IN_URL, FLAG, PY, YAML, KCONFIG, INPUT]
FILES = {
    "key.py": f"n_layer = 2\nwandb_api_key = '{PY}'\n",
    "key.yaml": f"hf_token: {YAML}\ndata_dir: https://me:{YAML}@example.invalid/data\n",
    "key.config": f'CONFIG_WANDB_API_KEY="{KCONFIG}"\n',
}
TRAIN = [
    "train",
    *SMALL,
    "--out_dir=run",
    "--log_style=full",
    "--tensorboard_log",
    "--wandb_log",
    "--generate_interval=5",
]
GOOD = [  # commands that work, and leave and print what they always do
    [*TRAIN, "--profile=3:4", "--json"],
    [*TRAIN, "--resume", "--max_iters=22"],
    ["train", "--resume", "--out_dir=run", "--explain"],
    ["plan", *SMALL, "--json"],
    ["sample", "--run", "run", "--max_new_tokens=5", "--json"],
    ["verify", "--run", "run"],
    ["report", "--run", "run", "--out", "page.html"],
    ["compare", "run", "--out", "compare.html"],
    ["doctor", "--json"],
]
REFUSED = [  # places where one would put a secret by mistake: an error, which does not repeat it
    ["train", f"--wandb_api_key={FLAG}"],
    ["train", "--hf-token", FLAG],
    ["train", f"WANDB_API_KEY={FLAG}"],
    ["sample", "--api_key", FLAG],
    ["train", "key.py"],
    ["train", "key.yaml"],
    ["train", "key.config"],
    ["sample", "key.yaml"],
    ["train", *SMALL, f"--data_dir=https://me:{IN_URL}@example.invalid/data"],
    ["train", *SMALL, f"--out_dir=s3://{IN_URL}@bucket/run"],
    ["train", *SMALL, f"--wandb_entity=https://{IN_URL}@example.invalid"],
    ["train", *SMALL, f"--checkpoint_file=https://me:{IN_URL}@example.invalid/step"],
    ["prepare", "--input", f"https://me:{INPUT}@example.invalid/text.txt"],
    ["prepare", "--dataset", "shakespeare_char"],  # whose download goes through a proxy with a login
    ["sample", "--run", f"https://me:{INPUT}@example.invalid/run"],
    ["compare", f"https://me:{INPUT}@example.invalid/run"],
]
CRASH = (  # a defect of ours in the middle of a step
    "import sys, gptmill.train.loop as loop\n"
    "def crash(*a, **k): raise RuntimeError('a defect')\n"
    "loop.train_step = crash\n"
    "from gptmill.cli.main import main\n"
    "main(sys.argv[1:])\n"
)


def trial(work: Path, scale: float) -> dict[str, Any]:
    """Args: scale: without effect, it is all one run."""
    _control(work / "control")
    folder = work / "secrets"
    folder.mkdir()
    prepare_tiny(folder)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    # nobody listens at the discard port, so a proxy refuses at once
    told = {
        **ENVIRONMENT,
        "WANDB_MODE": "offline",
        "HTTPS_PROXY": f"http://me:{IN_URL}@127.0.0.1:9",
        "PYTHONPATH": str(ROOT),
    }
    failures, printed = [], b""
    for words, code in [*((w, {0}) for w in GOOD), *((w, {2, 3}) for w in REFUSED)]:
        done = _run([sys.executable, "-m", "gptmill", *words], folder, told)
        printed += done.stdout + done.stderr
        if done.returncode not in code:
            failures.append(f"{words[0]} ... {words[-1]}: exit {done.returncode}: {done.stderr[-300:]!r}")
    done = _run([sys.executable, "-c", CRASH, *TRAIN, "--out_dir=crashed"], folder, told)
    if b"a defect" not in done.stderr:
        failures.append(f"the planted defect was not met: {done.stderr[-300:]!r}")
    printed += done.stdout + done.stderr

    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in FILES]
    contents = {"the console": printed, **{str(path.relative_to(folder)): _plain(path) for path in files}}
    found = [f"{name}: secret {n}" for name, data in contents.items() for n in _in(data)]
    n_bytes = sum(map(len, contents.values()))
    print(
        f"secrets: {len(SECRETS)} planted in environment, configs and command lines of {len(GOOD) + len(REFUSED) + 1} commands; "
        f"{len(found)} found in {n_bytes:,} bytes of {len(files)} files and the console"
    )
    return {
        "good": not failures and not found,
        "planted": len(SECRETS),
        "commands": len(GOOD) + len(REFUSED) + 1,
        "files": len(files),
        "bytes": n_bytes,
        "found": found,
        "failures": failures,
    }


def _run(words: list[str], folder: Path, told: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, cwd=folder, env={**os.environ, **told}, capture_output=True, timeout=300)


def _plain(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def _in(data: bytes) -> list[int]:
    """Numbers of the secrets that are there: as they are, quoted for a URL, in JSON, or in base64 at any offset."""
    return [number for number, secret in enumerate(SECRETS) if any(form in data for form in _forms(secret))]


def _forms(secret: str) -> list[bytes]:
    raw = secret.encode()
    packed = [base64.b64encode(b" " * n + raw).rstrip(b"=")[n * 4 // 3 + 2 : -2] for n in range(3)]
    return [raw, quote(secret, safe="").encode(), secret.replace("/", "\\/").encode(), *packed]


def _control(folder: Path) -> None:
    """What is planted on purpose is found, in every form."""
    folder.mkdir()
    for number, secret in enumerate(SECRETS):
        for before in ("", "a", "ab"):
            path = folder / "f"
            path.write_bytes(gzip.compress(b"{" + base64.b64encode(f"{before}{secret}:x".encode()) + b"}"))
            assert _in(_plain(path)) == [number]
        path.write_text(f'{{"url": "http://me:{quote(secret, safe="")}@x"}}')
        assert _in(_plain(path)) == [number]
