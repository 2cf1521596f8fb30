from __future__ import annotations

import json
import random
import statistics
import tracemalloc

import numpy as np
import pytest

from gptmill.events import (
    Alarm,
    CheckpointSaved,
    EvalDone,
    Interrupted,
    Notice,
    PlanChanged,
    RunDone,
    RunStarted,
    Samples,
    StepDone,
)
from gptmill.report.columns import MOST_LOOKS, Looks, block_means, thin
from gptmill.report.folding import in_batches
from gptmill.report.runlog import read_run
from gptmill.track.jsonl import METRICS, read_events
from gptmill.track.summary import Fold
from gptmill.track.walltime import WallTime
from tests.report.example import LAYERS, events, write, write_example


def step(iter: int, loss: float, seconds: float = 0.5) -> StepDone:
    return StepDone(iter, loss=loss, lr=1e-3, grad_norm=0.7, tokens=100, seconds=seconds)


def test_a_folder_without_metrics_is_an_empty_log(tmp_path):
    log = read_run(tmp_path)
    assert (log.max_iters, len(log.steps), log.evals, log.summary, log.axes()) == (None, 0, {}, None, {})


def test_the_last_value_of_a_step_counts_and_steps_past_the_restored_one_do_not(tmp_path):
    late = (Alarm(3, "loss_spike", "a spike"), Samples(3, ({"prompt": "a", "text": "b"},)))
    write(
        tmp_path,
        RunStarted(0, 9, 100),
        step(1, 5.0),
        step(2, 4.0),
        step(3, 3.0),
        EvalDone(3, 3.0, 3.1, True, 0.1),
        *late,
    )
    write(tmp_path, RunStarted(1, 9, 100), step(2, 4.5))
    log = read_run(tmp_path)
    assert dict(zip(log.steps.iters.tolist(), log.steps["loss"].tolist())) == {1: 5.0, 2: 4.5}
    assert (log.evals, log.alarms, log.samples) == ({}, [], [])
    assert (log.max_iters, log.processes, log.summary) == (9, 2, None)
    assert log.redone == pytest.approx(1.0)


def test_a_rolled_back_run_keeps_the_alarm_that_says_why(tmp_path):
    alarm = Alarm(3, "loss_spike", "a spike", action="rollback")
    write(tmp_path, RunStarted(0, 9, 100), step(1, 5.0), step(2, 4.0), step(3, 9.0), alarm, step(2, 4.1), step(3, 3.9))
    log = read_run(tmp_path)
    assert log.steps["loss"].tolist() == [5.0, 4.1, 3.9]
    assert [found["kind"] for found in log.alarms] == ["loss_spike"]


def test_an_interruption_is_told_after_the_steps_it_cost_came_again(tmp_path):
    lost = Interrupted(2, "died", "rank 1 ended with SIGKILL", (16, 31), "restart")
    write(tmp_path, RunStarted(0, 9, 100), step(1, 5.0), step(2, 4.0), lost, RunStarted(1, 9, 100), step(2, 4.0))
    assert read_run(tmp_path).notices == ["step 2: rank 1 ended with SIGKILL: restart"]


def test_a_changed_plan_is_told_with_both_values_whatever_is_in_the_record(tmp_path):
    write(tmp_path, PlanChanged(3, {"max_iters": [9, 12], "world_size": [1, 2], "odd": "x"}))
    assert read_run(tmp_path).notices == ["step 3: max_iters 9 -> 12, world_size 1 -> 2, odd "]


def test_a_completed_run_has_its_summary_until_it_is_taken_further(tmp_path):
    saved = CheckpointSaved(2, "checkpoints/step_00000002", "end", False, 0.1, 10)
    write(tmp_path, RunStarted(0, 2, 100), step(1, 5.0), step(2, 4.0), Notice(2, "a word"), saved, RunDone(2, None))
    log = read_run(tmp_path)
    assert log.summary == {"iters": 2}
    assert [fields["path"] for fields in log.checkpoints] == ["checkpoints/step_00000002"]
    assert log.notices == ["a word"]
    write(tmp_path, RunStarted(2, 4, 100))
    assert read_run(tmp_path).summary is None


def test_damaged_lines_and_files_are_passed_over(tmp_path):
    write(tmp_path, RunStarted(0, 2, 100), step(1, 5.0))
    with open(tmp_path / METRICS, "ab") as file:
        file.write(b'{"event": "step_done", "iter": 99999999999999999999, "loss": 1.0}\n')
        file.write(b'\x00\xff\n{\n{"event": "step_done"}\n{"event": "step_done", "iter": 2, "lo')
    (tmp_path / "config.json").write_text('{"keys": {"n_layer": 3, "n_head": {"value": 4')
    (tmp_path / "plan.json").write_text("[1]")
    log = read_run(tmp_path)
    assert (log.steps.iters.tolist(), log.config, log.plan) == ([1], {}, {})


def test_values_of_any_kind_where_numbers_belong_are_unknown(tmp_path):
    odd = {"event": "step_done", "iter": 1, "loss": "NaN", "time_ms": None, "tokens": [], "mfu": -100.0, "memory": 3,
           "times_ms": None, "gradients": {"layers": None}, "weights": {"layers": {"a": 1}, "frozen": None}}  # fmt: skip
    (tmp_path / METRICS).write_text(json.dumps(odd) + "\n")
    log = read_run(tmp_path)
    assert np.isnan([log.steps[name][0] for name in ("loss", "time_ms", "tokens", "mfu", "host_gb", "data_ms")]).all()
    assert log.update_ratios.looks == [(1, {})]


def test_axes_add_up_tokens_seconds_and_flop_and_leave_out_what_compiling_took(tmp_path):
    write_example(tmp_path, n_steps=50)
    log, axes = read_run(tmp_path), read_run(tmp_path).axes()
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    seconds = [line["time_ms"] / 1e3 for line in lines if line["event"] == "step_done"]
    assert seconds[0] > 3
    assert axes["time"][-1] == pytest.approx(sum(seconds[1:]) + statistics.median(seconds[1:]))
    assert axes["tokens"].tolist() == [1024 * n for n in range(1, 51)]
    assert axes["flops"][-1] == 50 * 1024 * log.plan["flops_per_token"]
    assert list(log.update_ratios.looks[-1][1]) == LAYERS and log.frozen == ["wpe.weight"]


def test_many_steps_at_a_time_add_up_to_what_the_runs_own_summary_says_of_them_one_by_one(tmp_path):
    found = events(500, 1.4, random.Random(0))
    write(tmp_path, *found[:300], *found[301:400])  # a lost record
    again = [event for event in found if event.iter > 250]
    write(tmp_path, RunStarted(250, 500, 1024), *again, EvalDone(500, 9.0, 9.0, False, 0.1))
    log, fold, wall = read_run(tmp_path), Fold(), WallTime()
    for fields in read_events(tmp_path):
        fold.add(fields)
        wall.add(fields)
    assert len(list(in_batches(read_events(tmp_path)))) < 100, "steps do come together"
    assert log.steps.useful_seconds() == pytest.approx(fold.seconds)
    assert log.steps.median_speed() == pytest.approx(fold.tokens_per_second)
    assert log.steps.median_mfu() == pytest.approx(fold.mfu)
    assert (log.best_val_loss, log.steps.last_iter) == (fold.best_val_loss, fold.iters)
    assert log.wall.seconds == pytest.approx(wall.seconds) and log.wall.split() == pytest.approx(wall.split())


def test_a_lost_record_counts_as_the_step_after_it(tmp_path):
    write(tmp_path, RunStarted(0, 9, 100), step(1, 5.0), step(2, 4.0), step(4, 3.0))
    assert read_run(tmp_path).axes()["tokens"].tolist() == [100, 200, 400]


def test_thinning_keeps_every_spike_and_both_ends():
    chance = np.random.default_rng(0)
    values = chance.normal(size=600_000)
    values[[123_456, 500_000]] = [99.0, -99.0]
    values[1000:1500] = np.nan
    kept = thin(values, 600)
    assert len(kept) <= 1202 and kept[0] == 0 and kept[-1] == len(values) - 1
    assert {123_456, 500_000} <= set(kept.tolist())
    assert np.isfinite(values[kept]).all() and (np.diff(kept) > 0).all()


def test_block_means_are_means_of_what_is_known():
    values = np.arange(1000, dtype=float)
    values[::7] = np.nan
    middles, means, size = block_means(values, 100)
    expected = [statistics.mean(x for x in values[n : n + size].tolist() if x == x) for n in range(0, 1000, size)]
    assert means.tolist() == pytest.approx(expected) and size == 10 and middles[0] == 5


def test_a_heat_map_never_holds_more_looks_than_fit_and_spreads_them_evenly():
    looks = Looks()
    for iter in range(10, 100_001, 10):
        looks.add(iter, {"a": float(iter)})
    iters = [iter for iter, _ in looks.looks]
    assert MOST_LOOKS / 2 <= len(iters) <= MOST_LOOKS
    assert len(set(np.diff(iters))) == 1 and iters[0] == 10


def test_a_log_takes_a_few_hundred_bytes_a_step_in_memory(tmp_path):
    line = '{"event": "step_done", "iter": %d, "loss": 3.25, "lr": 0.001, "grad_norm": 0.5, "tokens": 1000, "time_ms": 100.0}\n'
    (tmp_path / METRICS).write_text("".join(line % n for n in range(1, 20_001)))
    tracemalloc.start()
    log = read_run(tmp_path)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(log.steps) == 20_000 and log.axes()["tokens"][-1] == 20_000_000
    assert held < 300 * 20_000


def test_a_name_that_is_no_unicode_does_not_hide_its_line(tmp_path):
    write(tmp_path, RunStarted(0, 2, 100), Notice(0, "from /data/\udcff.txt"), step(1, 5.0))
    assert read_run(tmp_path).notices == ["from /data/\udcff.txt"]
