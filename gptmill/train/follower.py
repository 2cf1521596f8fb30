"""What every process but the first does when a state that is shared out is saved."""

from __future__ import annotations

from gptmill.events import CheckpointDue, Event
from gptmill.train.behind import Behind
from gptmill.train.capture import capture, copied
from gptmill.train.checkpointer import worth_copying
from gptmill.train.shards import Company
from gptmill.train.state import TrainState


class Follower:
    """A recorder that writes this process's share when the first one saves."""

    def __init__(self, state: TrainState, company: Company) -> None:
        self.state, self.company = state, company
        self._behind = Behind[None]()

    def __call__(self, event: Event) -> None:
        if not isinstance(event, CheckpointDue) or not self.company.begin():
            return
        self._behind.finish()
        taken = capture(self.state)
        if worth_copying(taken, event.reason):
            taken = copied(taken)
            self._behind.start(lambda: self.company.follow(taken))
        else:
            self.company.follow(taken)

    def close(self) -> None:
        self._behind.finish()
        self._behind.close()
