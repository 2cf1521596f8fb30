from __future__ import annotations

import math

import pytest

from gptmill.events import EvalDone, RunStarted, StepDone
from gptmill.report.runlog import read_run
from gptmill.report.verdict import judge
from tests.report.example import write


def judged(folder, val, *, train=None, losses=None):
    """The verdict on a run with an evaluation every 10 steps, from 0 on; training losses may be given step by step."""
    found = [RunStarted(0, 10 * len(val), 100)]
    for n, loss in enumerate(val):
        found.append(EvalDone(10 * n, (train or val)[n], loss, False, 0.1))
        for iter in range(10 * n + 1, 10 * n + 11):
            each = losses[iter - 1] if losses else (train or val)[n]
            found.append(StepDone(iter, loss=each, lr=1e-3, grad_norm=1.0, tokens=10, seconds=0.1))
    write(folder, *found)
    return judge(read_run(folder))


@pytest.mark.parametrize(
    ("val", "train", "word", "number"),
    [
        ([5.0, 4.0, 3.0, 2.5, 2.2, 2.0], None, "learning", "2.000"),
        ([5.0, 3.0, 2.0, 2.0, 2.0, 1.995], None, "plateau", "1.995"),
        ([5.0, 3.0, 2.5, 2.6, 2.7, 2.8], [5.0, 2.9, 2.4, 2.1, 1.9, 1.79], "overfitting", "1.01"),
        ([5.0, 3.0, 2.5, 2.6, 2.7, 2.8], [5.0, 2.9, 2.4, 2.1, 1.9, 1.81], "plateau", "2.500"),
        ([5.0, 4.0, 3.0, 5.5], None, "diverged", "5.50"),
        ([5.0, 4.0, 3.0], None, "too short to tell", "3 evaluations"),
        ([5.0], None, "too short to tell", "1 evaluation in"),
    ],
)  # fmt: skip
def test_a_verdict_names_what_the_losses_do_and_the_number_it_rests_on(tmp_path, val, train, word, number):
    verdict = judged(tmp_path, val, train=train)
    assert verdict.word == word
    assert number in verdict.because


def test_a_last_loss_that_is_no_number_is_divergence_whatever_the_evaluations_say(tmp_path):
    losses = [4.0] * 49 + [math.nan]
    assert judged(tmp_path, [5.0, 4.0, 3.0, 2.5, 2.2], losses=losses).word == "diverged"


def test_a_training_loss_that_ends_above_its_start_is_divergence(tmp_path):
    losses = [5.0, *[3.0] * 40, *[9.0] * 9]
    verdict = judged(tmp_path, [5.0, 4.0, 3.0, 2.5, 2.2], losses=losses)
    assert (verdict.word, "9.00" in verdict.because) == ("diverged", True)


def test_a_single_spike_is_no_divergence(tmp_path):
    losses = [5.0, *[3.0] * 30, 40.0, *[3.0] * 18]
    assert judged(tmp_path, [5.0, 4.0, 3.0, 2.5, 2.2], losses=losses).word == "learning"


def test_an_empty_run_is_too_short_to_tell(tmp_path):
    assert judge(read_run(tmp_path)).word == "too short to tell"
