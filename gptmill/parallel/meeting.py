"""Where the processes of one attempt find each other, and nothing of an attempt before."""

from __future__ import annotations

import time
import uuid

from torch import distributed

from gptmill.errors import TryAgain
from gptmill.parallel.launch import Place

PATIENCE = 600.0  # seconds in which all must have come
PAUSE = 0.02  # seconds


def fresh_store(place: Place) -> distributed.Store:
    """The store that torchrun's address leads to, under a name that only this attempt uses.

    torchrun keeps one store over restarts, and its count of restarts differs between nodes, so processes that start
    again would read the addresses of those that are gone (pytorch/pytorch issues 135712 and 167288; seen with 2.13).
    Here the first process invents a name, and tells it to whoever asks under a name of their own.

    Raises:
        TryAgain: not all processes came in time.
    """
    store, _, _ = next(distributed.rendezvous("env://"))
    if place.rank:
        question = uuid.uuid4().hex
        store.set(f"gptmill/asks/{place.rank}", question)
        name = store.get(f"gptmill/answer/{question}").decode()
        fresh = distributed.PrefixStore(name, store)
        fresh.add("arrived", 1)
        return fresh

    name = uuid.uuid4().hex
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
