"""What the other processes of a run hear when the first finds that it cannot be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gptmill.cli.main import complain
from gptmill.errors import GptmillError
from gptmill.parallel.launch import Place


@contextmanager
def refusals_told(place: Place) -> Iterator[None]:
    """While the first process settles: when it refuses, the others on other machines hear of it, and leave too.

    Those on this machine end with it, by whatever started them.
    """
    try:
        yield
    except GptmillError as error:
        if place.world_size == place.local_world_size:
            raise
        complain(*error.problems)  # before anybody is waited for
        from gptmill.parallel.meeting import refuse

        refuse(place, error.exit_code)
        sys.exit(error.exit_code)
