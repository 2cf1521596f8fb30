"""Where the processes of one attempt find each other, and nothing of an attempt before."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from torch import distributed

from gptmill.errors import REFUSALS, TryAgain
from gptmill.parallel.launch import Place

PATIENCE = 600.0  # seconds in which all must have come
LATE = 120.0  # seconds after which nobody else is waited for who could be told that there will be no run
PAUSE = 0.02  # seconds
REFUSED = "refused "


def fresh_store(place: Place) -> distributed.Store:
    """The store that torchrun's address leads to, under a name that only this attempt uses.

    torchrun keeps one store over restarts, and its count of restarts differs between nodes, so processes that start
    again would read the addresses of those that are gone (pytorch/pytorch issues 135712 and 167288; seen with 2.13).
    Here the first process invents a name, and tells it to whoever asks under a name of their own.

    Raises:
        TryAgain: not all processes came in time.
        GptmillError: the first process refused the run, with this exit code.
    """
    if place.rank:
        try:
            return _ask(place, _store())
        except distributed.DistError as error:
            raise TryAgain(
                f"the first process did not answer within {PATIENCE:.0f} s; look what it says, start all again"
            ) from error

    store, name = _store(), uuid.uuid4().hex
    fresh = distributed.PrefixStore(name, store)
    others, deadline = range(1, place.world_size), time.monotonic() + PATIENCE
    while (arrived := fresh.add("arrived", 0)) < len(others):
        if time.monotonic() > deadline:
            raise TryAgain(
                f"{arrived + 1} of {place.world_size} processes came within {PATIENCE:.0f} s; start them again"
            )
        for rank in others:  # a question of an earlier attempt gets an answer that nobody reads
            if store.check([f"gptmill/asks/{rank}"]):
                store.set(f"gptmill/answer/{store.get(f'gptmill/asks/{rank}').decode()}", name)
        time.sleep(PAUSE)
    return fresh


def refuse(place: Place, code: int) -> None:
    """In the first process: tell those on other machines that there will be no run, as soon as they ask.

    It stays until one on each machine has heard, for the store may end with it; the others of that machine end with that
    one, as those on this machine end with the first.
    """
    store, here = _store(), place.local_world_size
    others, heard = range(here, place.world_size), set[int]()
    deadline = time.monotonic() + LATE
    while len(heard) < len({rank // here for rank in others}) and time.monotonic() < deadline:
        for rank in others:
            if store.check([f"gptmill/asks/{rank}"]):
                question = store.get(f"gptmill/asks/{rank}").decode()
                store.set(f"gptmill/answer/{question}", f"{REFUSED}{code}")
                if store.check([f"gptmill/heard/{question}"]):
                    heard.add(rank // here)
        time.sleep(PAUSE)


def _store() -> distributed.Store:
    store: distributed.Store = next(distributed.rendezvous("env://", timeout=timedelta(seconds=PATIENCE)))[0]
    return store


def _ask(place: Place, store: distributed.Store) -> distributed.Store:
    question = uuid.uuid4().hex
    store.set(f"gptmill/asks/{place.rank}", question)
    answer = store.get(f"gptmill/answer/{question}").decode()
    if answer.startswith(REFUSED):
        store.set(f"gptmill/heard/{question}", "yes")
        raise REFUSALS[int(answer.removeprefix(REFUSED))]("the first process refused this run: see what that one says")
    fresh = distributed.PrefixStore(answer, store)
    fresh.add("arrived", 1)
    return fresh
