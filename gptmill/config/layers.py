"""A layer is one source of settings (a file, the flags, a preset); each setting remembers where it was written.

Origins read like ``--batch_size``, ``config/train.py:12``, ``preset llama``, ``entrance`` or ``default``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

DEFAULT = "default"
ENTRANCE = "entrance"


@dataclass(frozen=True)
class Setting:
    """A value as it was written: text from YAML and flags, a Python literal from a ``.py`` file."""

    value: object
    origin: str

    @property
    def from_flag(self) -> bool:
        return self.origin.startswith("--")


Layer = dict[str, Setting]  # by the name the user wrote, dashes turned into underscores
Parts = Mapping[str, Collection[str]]  # key -> names it accepts besides the schema's: parts that came by --import


@dataclass
class Reading:
    """What one file or one command line gave: settings, sentences worth saying, and every problem found."""

    layer: Layer = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
