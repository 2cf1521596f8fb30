"""What being told costs a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gptmill.cli.recording import Recording, meter, watchers
from gptmill.config.schema import Config
from gptmill.events import RunStarted, StepDone
from gptmill.track.summary import Summary
from tests.train.small import events, new_state, small_plan

SIZE = {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256, "batch_size": 2, "max_iters": 1000}
STEPS = 400


def test_telling_takes_less_than_a_hundredth_of_a_step(tmp_path: Path, record_property) -> None:
    """Six layers of 384, everything on at its default; looks come as often as they do in a run.

    Two sequences of 256: telling costs the same whatever the batch, so this holds for the usual 16, eight times over.
    """
    looking = small_plan(**SIZE, gradient_log_interval=1, weight_monitor_interval=1)
    state = new_state(looking)
    state.evaluated = 0  # or the run would begin with an evaluation
    step = next(event for event in events(looking, state) if isinstance(event, StepDone))
    assert step.gradients and step.weights and step.memory and step.times
    seconds = step.seconds

    plan = small_plan(**SIZE)
    summary = Summary(
        tmp_path, params=plan.params, flops_per_token=plan.flops_per_token, unigram_entropy=3.0, weights_sha256=str
    )
    with Recording(watchers(plan, Config(), tmp_path, state, summary), meter(plan)) as recording:
        recording.tell(RunStarted(0, plan.max_iters, plan.tokens_per_iter))
        for iter in range(1, STEPS + 1):
            recording.tell(
                replace(
                    step,
                    iter=iter,
                    gradients=step.gradients if iter % plan.gradient_log_interval == 0 else None,
                    weights=step.weights if iter % plan.weight_monitor_interval == 0 else None,
                )
            )
    assert (tmp_path / "metrics.jsonl").read_text().count('"step_done"') == STEPS
    assert len(list(tmp_path.glob("run_*.json"))) == 1
    each = recording.seconds / STEPS
    record_property("counted", (round(each * 1e6), f"microseconds to tell of a step of {seconds * 1e3:.0f} ms"))
    assert each < 0.01 * seconds, f"{each * 1e3:.2f} ms of {seconds * 1e3:.0f} ms"
