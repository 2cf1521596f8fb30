"""Which ends are started again, after which pause, and which are the last."""

from __future__ import annotations

import signal

import pytest

from gptmill.supervise.failure import Failure, Retries


def failure(*codes: int, iter: int | None = 7, hung: bool = False, decided: bool = False) -> Failure:
    return Failure(dict(enumerate(codes)), iter, (16, 31), hung, decided, "rank 0 ended")


@pytest.mark.parametrize("code", [2, 3, 4])
def test_a_mistake_is_never_tried_again_and_keeps_its_code_beside_what_its_peers_died_of(code: int) -> None:
    for codes in ((code, 75), (75, code), (-signal.SIGKILL, code)):
        assert Retries().pause(failure(*codes)) is None and failure(*codes).exit_code == code


@pytest.mark.parametrize("codes", [(75,), (-signal.SIGKILL, 75), (143, 143), (-signal.SIGSEGV,), (1, 75)])
def test_what_may_go_better_next_time_is_tried_again(codes: tuple[int, ...]) -> None:
    assert Retries().pause(failure(*codes)) == 1.0


def test_a_decision_of_the_run_is_not_overruled_but_a_hang_decides_nothing() -> None:
    assert Retries().pause(failure(1, 75, decided=True)) is None
    assert Retries().pause(failure(hung=True, decided=True)) == 1.0


def test_the_third_failure_at_one_step_is_the_last_and_names_the_batch() -> None:
    retries = Retries()
    assert [retries.pause(failure(75, iter=9)) for _ in range(3)] == [1.0, 2.0, None]
    assert (
        retries.reason_to_stop(failure(75, iter=9)) == "3 attempts ended in step 10 (sequences 16 to 31): no accident"
    )


def test_pauses_double_while_nothing_is_gained_and_begin_anew_after_progress() -> None:
    retries = Retries()
    steps = [5, 4, 3, 4, 3, 4, 3, 4, 6, 2]
    assert [retries.pause(failure(75, iter=step)) for step in steps] == [1, 2, 4, 8, 16, 32, 60, 60, 1, 2]


def test_before_the_first_step_nothing_but_the_count_decides() -> None:
    retries = Retries()
    assert [retries.pause(failure(75, iter=None)) for _ in range(3)] == [2.0, 4.0, None]
    assert retries.reason_to_stop(failure(75, iter=None)) == "3 attempts ended before the first step"
