"""Every name a person may write for a setting."""

from __future__ import annotations

from gptmill.config import later
from gptmill.config.aliases import NO_EFFECT, RENAMED, SIZES, SWITCHES
from gptmill.config.schema import Config

KNOWN: frozenset[str] = frozenset(
    [*Config.model_fields, *RENAMED, *SWITCHES, *SIZES, *NO_EFFECT, *later.KEYS],
)
