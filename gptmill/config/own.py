"""What a run recorded about itself in config.json, as a layer: ``--resume`` goes on with these values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from gptmill.config.aliases import aliases_of
from gptmill.config.coerce import choices, coerce
from gptmill.config.files import MAX_BYTES, read_bytes
from gptmill.config.layers import DEFAULT, Layer, Parts, Setting
from gptmill.config.schema import Config
from gptmill.config.wording import blame, one_line
from gptmill.plain import read_plain

FILE = "config.json"
NOW = ("init_from", "out_dir", "eval_only")  # this command line says what to do and where, never the record
LONGEST_ORIGIN = 300


@dataclass(frozen=True)
class OwnConfig:
    """A run's recorded values.

    Args:
        values: every key that was recorded, typed.
        origins: where each came from when the run began.
        weights: the model that it began with, by init_from's name for it.
    """

    run: str
    values: dict[str, object]
    origins: dict[str, str]
    problems: list[str] = field(default_factory=list)
    weights: str | None = None

    def layer(self) -> Layer:
        """The settings that decide. Presets have done their work: what they set is among the values."""
        return {
            key: Setting(value, origin_of(self.run, self.origins[key]))
            for key, value in self.values.items()
            if key != "preset" and not self._as_ever(key) and self._decides(key)
        }

    def has_presets(self, names: object) -> bool:
        """Whether the run was made with all of these: then naming them again asks for nothing new."""
        return set(_words(names)) <= set(_words(self.values.get("preset")))

    def _as_ever(self, key: str) -> bool:
        default = Config.model_fields[key].default
        return self.values[key] == default and (default is None or self.origins[key].startswith(DEFAULT))

    def _decides(self, key: str) -> bool:
        return not self.origins[key].startswith("not used")


def origin_of(run: str, first: str) -> str:
    """``run out: --lr``: restored from run out, where --lr set it."""
    return f"run {run}: {first}"


def read_own_config(folder: Path, parts: Parts) -> OwnConfig:
    """The values in a run's config.json. Whatever is no key or no value of one becomes a problem, never an exception."""
    path = folder / FILE
    shown = one_line(str(path), 200)
    own = OwnConfig(str(folder), {}, {}, weights=_weights(folder))
    try:
        raw = read_bytes(path)
        if len(raw) > MAX_BYTES:
            raise ValueError
        keys = json.loads(raw)["keys"]
        recorded = {key: (entry["value"], str(entry["origin"])) for key, entry in keys.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        state = "damaged" if path.exists() else "missing"
        own.problems.append(f"{shown}: {state}; put it back from a copy, or start a new run in another out_dir")
        return own
    for key, (value, origin) in recorded.items():
        if key not in Config.model_fields or key in NOW:
            continue  # of another version: a key that decides what the weights are is in every checkpoint too
        try:
            typed = value if value is None else coerce(key, value, parts.get(key, ()))
        except ValueError as reason:
            imported = isinstance(value, str) and choices(key)
            try_ = "name the module it came from with --import" if imported else f"put {FILE} back from a copy"
            own.problems.append(f"{blame(shown, key, value)}: {reason}; {try_}")
            continue
        own.values[key] = typed
        own.origins[key] = one_line(origin, LONGEST_ORIGIN)
    return own


def _weights(folder: Path) -> str | None:
    """Kept in plan.json: in config.json, init_from is this command's."""
    try:
        found = json.loads(read_plain(folder / "plan.json"))["weights"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def names_of(key: str) -> list[str]:
    """Every spelling of a key."""
    return [key, *aliases_of(key)]


def _words(names: object) -> list[str]:
    return [word.strip() for word in str(names or "").split(",") if word.strip()]
