"""Processes of several machines meet, or hear at once that there is nothing to meet for; and what they say when one is lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch import distributed

from gptmill.errors import DataError, GptmillError
from gptmill.parallel import meeting
from gptmill.parallel.launch import Place, in_short

NODES, EACH = 3, 2  # machines, and processes on each


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> distributed.Store:
    """One store for the threads that stand for processes here."""
    made = distributed.HashStore()
    monkeypatch.setattr(meeting, "_store", lambda: made)
    return made


def place_of(rank: int) -> Place:
    return Place(rank, rank % EACH, NODES * EACH, EACH)


def test_other_machines_hear_at_once_that_the_first_process_refuses(store: distributed.Store) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(3) as threads:
        early = threads.submit(meeting.fresh_store, place_of(2))
        refusing = threads.submit(meeting.refuse, place_of(0), DataError.exit_code)
        with pytest.raises(DataError, match="the first process refused this run"):
            early.result(timeout=20)
        assert not refusing.done()  # nobody of the third machine has come
        with pytest.raises(DataError):
            meeting.fresh_store(place_of(5))
        refusing.result(timeout=20)
    assert time.monotonic() - began < 10 < meeting.LATE < meeting.PATIENCE


def test_a_question_of_those_that_are_gone_is_not_taken_for_a_machine_that_heard(
    store: distributed.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "LATE", 0.5)
    for rank in (2, 4):  # on each of the other machines
        store.set(f"gptmill/asks/{rank}", "asked before a restart")
    with ThreadPoolExecutor(1) as threads:
        refusing = threads.submit(meeting.refuse, place_of(0), 2)
        time.sleep(0.2)
        assert not refusing.done()
        refusing.result(timeout=20)


def test_all_meet_under_a_name_of_this_attempt(store: distributed.Store) -> None:
    store.set("gptmill/asks/3", "asked before a restart")
    with ThreadPoolExecutor(NODES * EACH) as threads:
        stores = list(threads.map(meeting.fresh_store, map(place_of, range(NODES * EACH))))
    stores[0].set("here", "yes")
    assert all(each.get("here") == b"yes" for each in stores) and not store.check(["here"])


def test_every_exit_code_of_a_refusal_has_its_error() -> None:
    def kinds(of: type[GptmillError]) -> set[type[GptmillError]]:
        return {of}.union(*(kinds(kind) for kind in of.__subclasses__()))

    assert {kind.exit_code for kind in kinds(GptmillError)} == set(meeting.REFUSALS)
    assert all(kind.exit_code == code for code, kind in meeting.REFUSALS.items())


@pytest.mark.parametrize(
    ("text", "short"),
    [  # as torch 2.13 says them, for a process that was killed and one that was stopped
        (
            "[/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:9434: Connection "
            "reset by peer. This is typically caused by a remote worker hanging or bugs in the application. Check the logs.",
            "Read error [127.0.0.1]:9434: Connection reset by peer",
        ),
        (
            "[/__w/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 3000ms for recv operation",
            "Timed out waiting 3000ms for recv operation",
        ),
        (
            "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:94, remote process exited or there was a network "
            "error, NCCL version 2.27.3\nncclRemoteError: A call failed\nLast error:\nnothing",
            "NCCL error in: remote process exited or there was a network error, NCCL version 2.27.3",
        ),
        ("first line \nsecond", "first line"),
        ("x" * 1000, "x" * 120),
    ],
)
def test_what_a_backend_says_is_quoted_in_short(text: str, short: str) -> None:
    assert in_short(text) == short
