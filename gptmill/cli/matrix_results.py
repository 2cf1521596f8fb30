"""The files that a matrix of runs ends with: all_results.json, summary_report.txt, graphs/, and metrics beside each run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gptmill.cli.compare import write_page
from gptmill.cli.foresight import runs_in_words
from gptmill.durable import replace
from gptmill.report.compare import compare, unlike_their_base
from gptmill.report.runlog import RunLog, read_run
from gptmill.report.tables import NONE, Table, known, markdown
from gptmill.report.training_metrics import finite, training_metrics
from gptmill.study.record import Result
from gptmill.units import duration

METRICS = "training_metrics.json"
GPU = "gpu_stats.json"
RESULTS, REPORT, GRAPHS = "all_results.json", "summary_report.txt", "graphs"


def write_results(study: Path, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Write all files anew, from what the run folders hold; returns what all_results.json lists."""
    logs = {each.run.id: read_run(each.folder) for each in results if each.state != "new"}
    finished = [logs[each.run.id] for each in results if each.state == "finished"]
    remarks = unlike_their_base(finished)
    found = []
    for each in results:
        if each.state != "new":
            log = logs[each.run.id]
            found.append({**outcome(each, log), "remark": remarks.get(log.name)})
            if log.config:  # else the folder must stay as it is, for a run to begin in it
                replace(each.folder / METRICS, _json(found[-1]), sync=False)
            if held := held_memory(log):
                replace(each.folder / GPU, _json(held), sync=False)
    replace(study / RESULTS, _json(found))
    replace(study / REPORT, report(study, found).encode())
    (study / GRAPHS).mkdir(exist_ok=True)
    if finished:
        write_page((study / GRAPHS / "compare.html").absolute(), finished, compare(finished), demanded=True)
    return found


def held_memory(log: RunLog) -> dict[str, list[float]]:
    """Memory of the GPU by step; nothing of a run that had none."""
    gpu = finite(log.plan.get("device_memory")) and str(log.plan.get("device", "")).startswith("cuda")
    held = [(iter, gb) for iter, gb in zip(log.steps.iters.tolist(), log.steps["allocated_gb"].tolist()) if gb > 0]
    return {"iterations": [iter for iter, _ in held], "allocated_gb": [gb for _, gb in held]} if gpu and held else {}


def outcome(result: Result, log: RunLog) -> dict[str, Any]:
    """One run: its metrics, what it was, and how it went."""
    flags = dict(word[2:].split("=", 1) for word in result.run.argv if word.startswith("--"))
    metrics = training_metrics(log)
    held = held_memory(log).get("allocated_gb", [])
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
    failed = [f"{each['test_id']}: {each['error']}" for each in order if each["error"]]
    note = "; ".join(dict.fromkeys([*failed, *(each["remark"] for each in order if each["remark"])]))
    header = ["", "run", "sparsity", "best val loss", "final", "time"]
    return Table("Ranked by best validation loss [nats/token]", header, rows, 2, note)


def report(study: Path, found: Sequence[dict[str, Any]]) -> str:
    done = [each for each in found if each["success"]]
    failed = [f"- {each['test_id']}: {each['error']}" for each in found if each["error"]]
    lines = [f"{study.name}: {len(done)} of {runs_in_words(len(found))} finished", "", markdown([ranking(found)])]
    if failed:
        lines += ["", "Failed:", *failed]
    return "\n".join(lines) + "\n"


def as_json(study: Path, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What --json prints: the results without their lists over steps, which all_results.json has."""
    brief = [{key: value for key, value in each.items() if not isinstance(value, list | dict)} for each in found]
    return {"study_dir": str(study), "results": brief}


def _json(value: Any) -> bytes:
    return (json.dumps(value, allow_nan=False) + "\n").encode()
