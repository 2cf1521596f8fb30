"""The house rules that a machine can hold: who imports whom, one list of names, nothing executes, hearts stay small."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from gptmill.config import schema
from gptmill.data.batches import SAMPLINGS
from gptmill.model.feedforwards import ACTIVATIONS, FEEDFORWARDS
from gptmill.model.kernels import ATTENTION
from gptmill.model.norms import NORMS
from gptmill.model.positions import POSITIONS
from gptmill.optim.optimizers import OPTIMIZERS
from gptmill.optim.schedules import SCHEDULES

PACKAGE = Path(__file__).parent.parent / "gptmill"
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

# docs/adr/0001: rooms import leftwards; a name below is a file or folder of gptmill
FOUNDATION = {
    "__init__",
    "__version__",
    "errors",
    "events",
    "registry",
    "units",
    "shapes",
    "seeds",
    "targets",
    "durable",
    "plain",
}
MAY_IMPORT = {
    "config": set(),
    "configs": set(),
    "plan": {"config"},
    "data": {"plan.types"},
    "model": set(),
    "optim": {"plan.types"},
    "parallel": {"plan.types"},
    "train": {"plan.types", "plan.batch", "plan.saving", "optim", "parallel"},
    "track": {"plan.types", "plan.batch"},
    "report": {"track"},
    "supervise": {"plan.types"},
    "interop": {"track", "model"},
    "study": {"config", "track", "supervise", "report"},
}


def imports(path: Path) -> set[str]:
    """Every gptmill module the file imports, at any depth of the file, as 'room.module'."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
            continue
        found |= {name.removeprefix("gptmill.") for name in names if name.startswith("gptmill.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_rooms_import_leftwards_only(path: Path) -> None:
    room = path.parts[0].removesuffix(".py")
    for name in imports(path):
        target = name.split(".")[0]
        if room in FOUNDATION or room == "__main__":
            allowed = target in FOUNDATION or room == "__main__"
        elif room == "cli":
            allowed = True
        else:
            doors = MAY_IMPORT[room] | {room}
            allowed = target in FOUNDATION or any(name == door or name.startswith(f"{door}.") for door in doors)
        assert allowed, f"gptmill/{path} imports gptmill.{name}: {room} may import {sorted(MAY_IMPORT.get(room, ()))}"


@pytest.mark.parametrize(
    "names, registry",
    [
        (schema.Normalization, NORMS),
        (schema.PositionEncoding, POSITIONS),
        (schema.FeedForward, FEEDFORWARDS),
        (schema.Activation, ACTIVATIONS),
        (schema.AttentionBackend, ATTENTION),
        (schema.Sampling, SAMPLINGS),
        (schema.Optimizer, OPTIMIZERS),
        (schema.Schedule, SCHEDULES),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_schema_lists_exactly_the_registered_parts(names: object, registry: object) -> None:
    assert set(get_args(names)) - {"auto"} == set(registry)  # type: ignore[call-overload]


FORBIDDEN_MODULES = {
    "pickle",
    "marshal",
    "shelve",
    "joblib",
    "dill",
    "cloudpickle",
    "importlib.util",
    "subprocess.Popen",
}
FORBIDDEN_CALLS = {"eval", "exec", "__import__", "compile"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_on_any_path_can_execute_what_it_reads(path: Path) -> None:
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            assert not names & FORBIDDEN_MODULES, f"{path}:{node.lineno}"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if (called, str(path)) == ("torch.load", "interop/nanogpt.py"):  # gptmill import, and nothing else
                assert "weights_only=True" in [f"{kw.arg}={ast.unparse(kw.value)}" for kw in node.keywords]
                continue
            assert called not in FORBIDDEN_CALLS and called not in {"torch.load", "os.system", "np.load"}, (
                f"{path}:{node.lineno}: {called}"
            )
            unsafe = {kw.arg for kw in node.keywords if isinstance(kw.value, ast.Constant) and kw.value.value is True}
            assert not unsafe & {"shell", "allow_pickle", "trust_remote_code"}, f"{path}:{node.lineno}"


def test_the_hearts_stay_small_enough_to_read_in_one_sitting() -> None:
    lines = {name: len((PACKAGE / name).read_text().splitlines()) for name in
             ("cli/training.py", "model/gpt.py", "train/step.py", "train/loop.py")}  # fmt: skip
    assert lines["model/gpt.py"] < 250 and lines["train/step.py"] < 80 and lines["train/loop.py"] < 100, lines
    assert sum(lines.values()) < 500, lines


def test_the_defaults_alone_make_a_plan() -> None:
    from gptmill.plan.hardware import detect_machine
    from gptmill.plan.plan import make_plan

    plan = make_plan(schema.Config(), data=None, machine=detect_machine("cpu"))
    assert plan.shape.n_layer == 12 and plan.tokens_per_iter == 12 * 40 * 1024 and plan.max_iters == 600000
