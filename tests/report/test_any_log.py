"""Whatever a log, a config or a plan holds, a run has a page and a place in a comparison."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gptmill.errors import UserError
from gptmill.report.compare import compare
from gptmill.report.compare_page import compare_page
from gptmill.report.run_page import run_page
from gptmill.report.runjson import read_run_json
from gptmill.report.runlog import read_run
from gptmill.report.tables import markdown, tables

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANY = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
EVENTS = {
    "run_started": {"max_iters", "time"},
    "step_done": {"loss", "lr", "grad_norm", "tokens", "tokens_per_second", "time_ms", "times_ms", "mfu", "memory",
                  "gradients", "weights", "time"},
    "eval_done": {"train_loss", "val_loss", "seconds"},
    "alarm": {"kind", "says", "layer", "action"},
    "samples": {"samples"},
    "checkpoint_saved": {"seconds"},
    "notice": {"says"},
    "first_steps": {"memory", "planned_memory", "step_seconds", "planned_step_seconds", "planned_seconds", "basis"},
    "run_done": {"summary", "stopped"},
}  # fmt: skip
WITHIN = {
    "mfu": ["mfu", "flops_per_token", "hardware_peak_tflops", "gpu_name"], "memory": ["max_allocated_gb", "host_gb"],
    "times_ms": ["data", "compute"], "gradients": ["layers"], "weights": ["layers", "frozen"],
}  # fmt: skip


@st.composite
def values(draw: st.DrawFn, key: str) -> Any:
    """Mostly what belongs there, now and then anything."""
    if draw(st.integers(0, 3)) == 0:
        return draw(ANY)
    if key in WITHIN:
        return {name: draw(values(f"{name} within")) for name in WITHIN[key]}
    if key == "layers within":
        return {"a": draw(PLAIN), "b": {"update_ratio": draw(PLAIN)}}
    if key == "samples":
        return [{"prompt": draw(PLAIN), "text": draw(PLAIN)}]
    return draw(st.floats(-1e6, 1e6))


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    event = draw(st.sampled_from(sorted(EVENTS)))
    keys = draw(st.sets(st.sampled_from(sorted(EVENTS[event]))))
    return {"event": event, "iter": draw(st.integers(0, 6)), **{key: draw(values(key)) for key in keys}}


DOCUMENTS = st.dictionaries(
    st.sampled_from(
        ["keys", "advice", "shape", "params", "architecture", "device_memory", "flops_per_token", "n_layer"]
    ),
    ANY,
)


@settings(max_examples=25)
@given(st.lists(records(), max_size=12), DOCUMENTS, DOCUMENTS)
def test_any_log_has_a_page(lines: list[dict[str, Any]], config: dict[str, Any], plan: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "plan.json").write_text(json.dumps(plan))
        log = read_run(folder)
    assert run_page(log).endswith(b"</html>")
    found = compare([log])
    json.dumps(found, allow_nan=False)
    assert markdown(tables(found)) and compare_page([log], found)


LISTS = st.lists(
    st.dictionaries(st.sampled_from(["iter", "loss", "time_ms", "mfu", "val_loss", "train_loss"]), PLAIN), max_size=4
)


@settings(max_examples=25)
@given(
    st.fixed_dictionaries(
        {"training_iterations": LISTS | ANY}, optional={"eval_steps": LISTS | ANY, "config": ANY, "startup_info": ANY}
    )
)
def test_any_one_file_log_is_read_or_refused_in_a_sentence(found: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "run_1.json")
        path.write_text(json.dumps(found))
        try:
            log = read_run_json(path)
        except UserError:
            return
    compared = compare([log])
    json.dumps(compared, allow_nan=False)
    assert tables(compared)
