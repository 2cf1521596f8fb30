from __future__ import annotations

import pytest

from gptmill.events import Alarm
from gptmill.train.state import TrainState
from tests.train.small import SETTLED, events, new_state, small_plan


@pytest.fixture(scope="session")
def settled() -> TrainState:
    """The small model after N_SETTLED steps; copy it (deepcopy) before training on."""
    plan = small_plan(**SETTLED)
    state = new_state(plan)
    assert not [event for event in events(plan, state) if isinstance(event, Alarm)]
    return state
