"""What SECURITY.md promises and a machine can hold: what is imported and called, file modes, links, texts, patterns."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import gptmill
from gptmill.cli.weights import shape_in as shape_of
from gptmill.config.wording import LOGIN_IN_URL, one_line
from gptmill.errors import CheckpointError
from gptmill.shapes import ModelShape
from gptmill.track.describe import git_commit
from gptmill.train.early_stop import EarlyStop
from gptmill.train.manifest import Manifest
from gptmill.train.numbers import check_numbers
from tests.cli.run import ROOT, SMALL, prepare_tiny
from tests.cli.run import gptmill as command

PACKAGE = Path(gptmill.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "configs" not in path.parts)  # configs are data
# Modules that unpickle, execute, unpack or listen. What may use one is listed with it.
SHUT = {
    **dict.fromkeys(
        ("pickle", "_pickle", "marshal", "shelve", "dbm", "joblib", "dill", "cloudpickle", "code", "pty"), ()
    ),
    **dict.fromkeys(
        ("tarfile", "zipfile", "xmlrpc", "http.server", "socketserver", "telnetlib", "ftplib", "smtplib"), ()
    ),
    "subprocess": (
        "cli/checks",
        "plan",
        "track/describe.py",
        "track/outbox.py",
        "study",
        "supervise",
        "cli/launch.py",
        "cli/trial.py",
    ),
    "urllib.request": ("data/remote/fetch.py", "data/tokenizers/gpt2.py"),
    "runpy": (),
}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "np.load", "numpy.load", "yaml.load",
         "yaml.unsafe_load", "shutil.unpack_archive", "os.umask", "tempfile.mktemp"}  # fmt: skip
ALLOWED = {
    ("durable.py", "tempfile.mktemp"),  # a name only: create() and symlink() refuse one that exists
    ("interop/nanogpt.py", "torch.load"),  # gptmill import, of tensors and plain values only: tests/test_house.py
}


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(n.func), n) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_imported_or_called_that_executes_unpacks_or_listens(path: Path) -> None:
    short = str(path.relative_to(PACKAGE))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            names = {alias.name for alias in node.names} | {module} | {f"{module}.{alias.name}" for alias in node.names}
            for name in names & SHUT.keys():
                assert short.startswith(tuple(SHUT[name])), f"{short}:{node.lineno} imports {name}"
    for name, node in calls(path):
        assert name not in CALLS or (short, name) in ALLOWED, f"{short}:{node.lineno} calls {name}"
        words = {kw.arg: ast.unparse(kw.value) for kw in node.keywords}
        assert words.get("shell", "False") == "False" and words.get("weights_only", "True") == "True", short
        assert "allow_pickle" not in words and "trust_remote_code" not in words, short
        if name.startswith("subprocess.") and node.args:  # a list of words, never a line for a shell
            assert not isinstance(node.args[0], ast.Constant | ast.JoinedStr), f"{short}:{node.lineno}"


def test_only_the_command_line_imports_by_name() -> None:
    """--import, --profile's and the trackers' own modules: names that no file can bring in."""
    users = {
        str(p.relative_to(PACKAGE))
        for p in FILES
        for name, _ in calls(p)
        if "import_module" in name or "resolve_name" in name
    }
    assert users <= {
        "cli/own_parts.py",
        "cli/checks/packages.py",
        "cli/checks/pytorch.py",
        "cli/checks/__main__.py",
        "track/inbox.py",
    }, users


def test_importing_every_module_unpickles_and_connects_nothing_and_starts_no_program() -> None:
    """By the interpreter's own audit events, in a process of its own."""
    names = [m.name for m in pkgutil.walk_packages([str(PACKAGE)], "gptmill.")
             if not m.name.startswith("gptmill.configs") and not m.name.endswith("__main__")]  # fmt: skip
    script = (
        "import importlib, sys\n"
        "watched = ('pickle.find_class', 'socket.connect', 'socket.bind', 'subprocess.Popen', 'os.system', 'os.fork', 'os.exec')\n"
        "seen = []\n"
        "import torch, torch._dynamo, safetensors.torch, wandb, plotly\n"  # what others do when imported is theirs
        "sys.addaudithook(lambda event, args: seen.append((event, str(args)[:80])) if event in watched else None)\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(seen)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-500:]


def test_a_run_folder_is_private_under_any_umask_and_keeps_to_itself(tmp_path: Path) -> None:
    """Everything of a run is its owner's alone; what strangers left around it is not executed, followed or deleted."""
    prepare_tiny(tmp_path)
    canary = tmp_path / "canary"
    hostile = f"open({str(canary)!r}, 'w').close()\n"
    for name in (
        "json",
        "wandb",
        "numpy",
        "sitecustomize",
        "usercustomize",
        "conftest",
        "half",
    ):  # modules of this folder
        (tmp_path / f"{name}.py").write_text(hostile)
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "precious").write_text("x")
    console = Path(sys.executable).with_name("gptmill")  # as installed: the folder one stands in is not on its path
    words = [
        str(console),
        "train",
        *SMALL,
        "--max_iters=4",
        "--eval_interval=2",
        "--out_dir=run",
        "--keep_last_n_snapshots=1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, umask=0, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not canary.exists()
    run = tmp_path / "run"
    assert (run.stat().st_mode & 0o777) == 0o700
    for folder, _, files in os.walk(run):
        for name in files:
            mode = (Path(folder) / name).lstat().st_mode & 0o777
            assert (
                mode & 0o077 == 0 or (Path(folder) / name).is_symlink() or "source" in folder or "tokenizer" in folder
            ), name
    (run / "checkpoints" / "step_00000001").symlink_to(keep)  # older than all, so the next to go
    (run / "checkpoints" / "step_00000003").symlink_to(keep)
    words = [*words[:-2], "--out_dir=run", "--keep_last_n_snapshots=1", "--resume", "--max_iters=8"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, umask=0, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (keep / "precious").read_text() == "x" and (run / "checkpoints" / "step_00000001").is_symlink()


PATTERNS = sorted(
    {
        (str(path.relative_to(PACKAGE)), node.args[0].value)
        for path in FILES
        for name, node in calls(path)
        if name.startswith("re.") and node.args and isinstance(node.args[0], ast.Constant)
    }
)
# Given something short only: numbers up to MAX_DIGITS, the name of a file, the text of one setting or one message.
SHORT = {"config/coerce.py": 60, "data/llmc.py": 255, "config/wording.py": 2**16}
LARGE = 2**16  # characters; what takes quadratic time on so many takes seconds
NASTY = ["a", "0", " ", "=", "_", "-", ":/", "a.", "1_", "secret", '"', "\n"]


@pytest.mark.parametrize(("where", "pattern"), PATTERNS, ids=lambda value: value[:30])
def test_no_pattern_takes_long_on_the_largest_text_it_is_given(where: str, pattern: str) -> None:
    compiled = re.compile(pattern, re.MULTILINE)
    worst = 0.0
    for unit in NASTY:
        text = unit * (SHORT.get(where, LARGE) // len(unit)) + "!"
        for use in (compiled.search, compiled.fullmatch):
            began = time.process_time()
            use(text)
            worst = max(worst, time.process_time() - began)
    assert worst < 0.1, f"{where}: {worst:.1f} s"


@pytest.mark.parametrize(
    "text",
    [
        "https://me:{}@host/x",
        "s3:/{}@bucket",
        "--wandb_api_key={}",
        "HF_TOKEN={}",
        "aws_secret_access_key={} and more",
        "password={}",
    ],
)
def test_a_message_repeats_no_secret(text: str) -> None:
    for secret in ("hunter2", "wJalr/K7MD+bPx", "a" * 150):
        assert secret not in one_line(text.format(secret), 1000) and "***" in one_line(text.format(secret))


def test_a_message_repeats_all_else() -> None:
    for text in (
        "--max_tokens=900",
        "write --key=value",
        "half/best@2x",
        "--tokenizer=bpe-300",
        "learning_rate=1e-3",
        "a@b",
    ):
        assert one_line(text) == text and not LOGIN_IN_URL.search(text)


def test_a_login_in_a_setting_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    done = command(tmp_path, "train", "quick", "--wandb_entity=https://me:hunter2@host")
    assert (done.code, done.err) == (
        2,
        "error: --wandb_entity=https://***@host: holds a login; a secret belongs into the environment or a credentials file\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_asking_git_for_the_commit_runs_nothing_of_the_repository(tmp_path: Path) -> None:
    """A repository's own config can name programs (core.fsmonitor); an unpacked archive may bring one."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'canary'}\n")
    hook.chmod(0o755)

    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e", *words], cwd=package, check=True, capture_output=True
        )

    git("init")
    git("add", ".")
    git("commit", "-m", "x")
    git("config", "core.fsmonitor", str(hook))
    assert git_commit(package)
    assert not (tmp_path / "canary").exists()
    git("status")
    assert (tmp_path / "canary").exists()  # it is live


def test_no_module_of_a_single_process_listens() -> None:
    several = ("supervise", "parallel", "cli/checks")  # where processes of one run meet: on loopback, which tests hold
    for path in FILES:
        for name, node in calls(path) if not str(path.relative_to(PACKAGE)).startswith(several) else []:
            assert name.endswith("engine.listen") or not name.endswith((".listen", "serve_forever", "create_server")), (
                f"{path}:{node.lineno}"
            )


PIPED = [
    "config.json",
    "plan.json",
    "metrics.jsonl",
    "tokenizer/tokenizer.json",
    ".lock",
    "best",
    "checkpoints/step_00000001/manifest.json",
]


@pytest.mark.parametrize("name", PIPED)
def test_a_pipe_in_the_place_of_any_file_of_a_run_hangs_nobody(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    for other in ("config.json", "plan.json", "metrics.jsonl"):
        path = run / other
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"format": "gptmill-run", "keys": {}}\n')
    path = run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    commands = (
        ["train", "--resume", "--out_dir=run"],
        ["sample", "--run", "run"],
        ["verify", "--run", "run"],
        ["compare", "run"],
    )
    script = (
        "from gptmill.cli.main import main\n"
        f"for words in {commands!r}:\n"
        "    try: main(words)\n"
        "    except SystemExit as left: print('code', left.code)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=60
    )
    codes = re.findall(r"^code (\d+)$", done.stdout, re.MULTILINE)
    assert len(codes) == 4 and set(codes) <= {"0", "2", "3", "4"}, (codes, done.stderr)


@pytest.mark.parametrize(
    ("key", "value"),
    [("iter", -1), ("iter", 10**30), ("sequences", "x"), ("tokens", 1.5), ("best_val_loss", [1]), ("early_stop", 5),
     ("recent", {"losses": 0, "grad_norms": [], "passed": [], "skipped": 0}), ("recent", {"losses": [], "grad_norms": [], "passed": [[1]], "skipped": 0}),
     ("scaler", "x")],
)  # fmt: skip
def test_a_state_that_no_run_saves_is_one_line(key: str, value: object) -> None:
    good = {"iter": 3, "sequences": 12, "tokens": 96, "best_val_loss": None, "evaluated": -1, "scaler": None, "early_stop": asdict(EarlyStop()),
            "recent": {"losses": [1.5], "grad_norms": [0.5], "passed": [[0, 3]], "skipped": 1}}  # fmt: skip
    check_numbers(Path("step"), good)
    with pytest.raises(CheckpointError, match=rf"^step/state.json: {key}") as error:
        check_numbers(Path("step"), {**good, key: value})
    assert len(error.value.problems) == 1


PARTS = re.findall(
    r'^    "(\w+)": \w+\.', (ROOT / "benchmarks/reliability_inputs/__main__.py").read_text(), re.MULTILINE
)
FAULTS = (ROOT / "docs" / "guide" / "faults.md").read_text()
POLICY = (ROOT / "SECURITY.md").read_text()


def test_every_test_and_part_that_the_documents_name_exists() -> None:
    for page in (FAULTS, POLICY):
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", page)
        assert len(named) > 15
        for file, name in named:
            assert f"def {name}(" in (ROOT / "tests" / file).read_text(), (file, name)
        for row in re.findall(r"^\|(.*)\|$", page, re.MULTILINE):
            for part in re.findall(r"part `(\w+)`", row):
                assert part in PARTS or list((ROOT / "benchmarks").glob(f"reliability*/{part}.py")), part


@pytest.mark.parametrize(
    "claim",
    [{"n_layer": 10**6}, {"n_layer": True}, {"n_embd": "16"}, {"n_head": 3}, {"n_kv_head": 10**6}, {"ffn_dim": -1}, {"norm_eps": None},
     {"normalization": 2.5}, {"sliding_window": 10**30}, {"rope_theta": float("inf")}, {"block_size": [1]}],
    ids=str,
)  # fmt: skip
def test_a_shape_that_no_config_could_ask_for_is_one_line(claim: dict[str, object]) -> None:
    shape = asdict(ModelShape(n_layer=2, n_head=2, n_embd=16))
    assert shape_of(Path("step"), Manifest(1, False, {}, {"must_match": shape})) == ModelShape(**shape)
    for facts in ({"must_match": {**shape, **claim}}, {"must_match": [1]}, {}):
        with pytest.raises(CheckpointError, match=r"^step: does not say what shape its model has$"):
            shape_of(Path("step"), Manifest(1, False, {}, facts))
