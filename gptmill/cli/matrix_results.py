"""The files that a matrix of runs ends with: all_results.json, summary_report.txt, graphs/, and metrics beside each run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gptmill.cli.compare import write_page
from gptmill.durable import replace
from gptmill.report.compare import compare
from gptmill.report.runlog import RunLog, read_run
from gptmill.report.tables import NONE, Table, known, markdown
from gptmill.report.training_metrics import finite, training_metrics
from gptmill.study.record import Result
from gptmill.units import duration

METRICS = "training_metrics.json"
RESULTS, REPORT, GRAPHS = "all_results.json", "summary_report.txt", "graphs"


def write_results(study: Path, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Write all files anew, from what the run folders hold; returns what all_results.json lists."""
    logs: list[RunLog] = []
    found = []
    for each in results:
        log = read_run(each.folder)
        if each.state != "new":
            found.append(outcome(each, log))
            if log.config:  # else the folder must stay as it is, for a run to begin in it
                replace(each.folder / METRICS, _json(found[-1]), sync=False)
        if each.state == "finished":
            logs.append(log)
    replace(study / RESULTS, _json(found))
    replace(study / REPORT, report(study, found).encode())
    (study / GRAPHS).mkdir(exist_ok=True)
    if logs:
        write_page((study / GRAPHS / "compare.html").absolute(), logs, compare(logs), demanded=True)
    return found


def outcome(result: Result, log: RunLog) -> dict[str, Any]:
    """One run: its metrics, what it was, and how it went."""
    flags = dict(word[2:].split("=", 1) for word in result.run.argv if word.startswith("--"))
    metrics = training_metrics(log)
    gpu = finite(log.plan.get("device_memory")) and str(log.plan.get("device", "")).startswith("cuda")
    held = [value for value in log.steps["allocated_gb"].tolist() if value > 0] if gpu else []
    return {
        **metrics,
        "test_id": result.run.id,
        "model": result.run.id.partition(f"_{flags['optimizer']}_")[0],
        "optimizer": flags["optimizer"],
        "pruning": flags["pruning_method"],
        "target_sparsity": float(flags.get("target_sparsity", 0.0)),
        "elapsed_time": metrics["total_time"],
        "success": result.state == "finished",
        "error": result.says or None,
        "gpu_memory_mean": sum(held) / len(held) if held else None,
        "gpu_memory_max": max(held, default=None),
    }


def ranking(found: Sequence[dict[str, Any]]) -> Table:
    """The runs by their best validation loss; those that failed last, with their error."""
    order = sorted(found, key=lambda each: (each["best_val_loss"] is None, each["best_val_loss"] or 0.0))
    rows = [
        [
            str(n) if each["best_val_loss"] is not None else NONE,
            each["test_id"],
            known(each["sparsities"][-1] if each["sparsities"] else None, "{:.1%}"),
            known(each["best_val_loss"], "{:.4f}"),
            known(each["final_val_loss"], "{:.4f}"),
            duration(each["elapsed_time"]) if each["elapsed_time"] is not None else NONE,
        ]
        for n, each in enumerate(order, 1)
    ]
    note = "; ".join(f"{each['test_id']}: {each['error']}" for each in order if each["error"])
    header = ["", "run", "sparsity", "best val loss", "final", "time"]
    return Table("Ranked by best validation loss [nats/token]", header, rows, 2, note)


def report(study: Path, found: Sequence[dict[str, Any]]) -> str:
    done = [each for each in found if each["success"]]
    failed = [f"- {each['test_id']}: {each['error']}" for each in found if each["error"]]
    lines = [f"{study.name}: {len(done)} of {len(found)} runs finished", "", markdown([ranking(found)])]
    if failed:
        lines += ["", "Failed:", *failed]
    return "\n".join(lines) + "\n"


def as_json(study: Path, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What --json prints: the results without their lists over steps, which all_results.json has."""
    brief = [{key: value for key, value in each.items() if not isinstance(value, list | dict)} for each in found]
    return {"study_dir": str(study), "results": brief}


def _json(value: Any) -> bytes:
    return (json.dumps(value, allow_nan=False) + "\n").encode()
