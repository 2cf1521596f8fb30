"""What a rule says of a config that breaks it."""

from __future__ import annotations

from typing import NamedTuple


class Broken(NamedTuple):
    """Args: says: the reason and what to try; about a single key it follows ``origin: key=value: ``."""

    keys: tuple[str, ...]
    says: str
