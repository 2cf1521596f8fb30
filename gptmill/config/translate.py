"""One layer, from the names and words a person wrote to canonical keys with typed values."""

from __future__ import annotations

import os
from collections.abc import Iterable

from gptmill.config import aliases, later
from gptmill.config.coerce import as_bool, coerce
from gptmill.config.layers import Layer, Parts, Setting
from gptmill.config.names import KNOWN
from gptmill.config.wording import MAX_PROBLEMS, blame, nearest, one_line, show

FOLDERS = ("data_dir", "out_dir", "checkpoint_file", "init_from")


class Translation:
    """Collects what all layers said: problems, keys whose value is unusable, and things worth a notice."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.problems: list[str] = []
        self.notices: list[str] = []
        self.bad: set[str] = set()
        self.without_effect: dict[str, list[str]] = {}  # reason -> names
        self.decided: set[str] = set()  # by layers above the one at hand

    def layer(self, written: Layer, above: Iterable[Layer] = ()) -> Layer:
        """Canonical key -> typed Setting (None resets the key); whatever cannot be used becomes a problem.

        Args:
            above: the layers that outrank this one; a capability they turn off is not missed here.
        """
        found: Layer = {}
        self.decided = {key_of(name) for layer in above for name in layer}
        for name, setting in written.items():
            if name in aliases.NO_EFFECT:
                self.without_effect.setdefault(aliases.NO_EFFECT[name], []).append(name)
            elif name in later.KEYS:
                self._later(name, setting)
            elif name not in KNOWN:
                few = len(self.problems) < MAX_PROBLEMS  # a hint takes milliseconds, and later ones are not shown
                hint = (nearest(name, KNOWN) if few else "") or "; gptmill train --help lists them"
                self.problems.append(f"{_at(setting, name)}: unknown key{hint}")
            else:
                self._known(name, setting, found)
        return found

    def all_notices(self) -> tuple[str, ...]:
        said = [f"{', '.join(dict.fromkeys(names))}: no effect: {why}" for why, names in self.without_effect.items()]
        return tuple(dict.fromkeys(self.notices + said))

    def _known(self, name: str, setting: Setting, found: Layer) -> None:
        key, value = name, setting.value
        origin = setting.origin
        if name in aliases.SWITCHES:
            key, on, off = aliases.SWITCHES[name]
            chosen = as_bool(value)
            if value is not None and chosen is None:
                self.bad.add(key)
                self.problems.append(f"{blame(origin, name, value)}: must be True or False")
                return
            value = value if chosen is None else on if chosen else off
        elif name in aliases.RENAMED:
            key = aliases.RENAMED[name]
        elif name in aliases.SIZES:
            key = aliases.SIZES[name]
            if value not in (None, "", "None", *aliases.MODEL_NAMES):
                says = f"must be one of {', '.join(aliases.MODEL_NAMES)}{nearest(str(value), aliases.MODEL_NAMES)}"
                self.bad.add(key)
                self.problems.append(f"{blame(origin, name, value)}: {says}")
                return
            value = aliases.MODEL_NAMES.get(str(value))
        if isinstance(value, str) and (key, value) in aliases.MOVED:
            key, value = aliases.MOVED[key, value]
        if key != name and not setting.from_flag:
            origin = f"{origin} ({name})"
        typed = self._typed(key, value, origin)
        if typed is None:
            return
        first = found.get(key)
        if first is not None and typed.value is None and name in aliases.SWITCHES:
            return  # use_fsdp=False beside use_zero1=True
        taken_back = first is not None and first.value is None and name in aliases.SWITCHES
        if first is not None and not taken_back and first.value != typed.value:
            self.bad.add(key)
            says = f"{key} is set twice, to {show(first.value)} and to {show(typed.value)}"
            self.problems.append(f"{first.origin} and {origin}: {says}; keep one")
        found[key] = typed

    def _typed(self, key: str, value: object, origin: str) -> Setting | None:
        if value is None or value == "None":
            return Setting(None, origin)
        word = value if isinstance(value, str) else ""
        if word in aliases.SAME_VALUE.get(key, {}):
            value, why = aliases.SAME_VALUE[key][word]
            self.notices.append(f"{blame(origin, key, word)} means {key}={value}: {why}")
        try:
            typed = coerce(key, value, self.parts.get(key, ()))
            # a shell leaves the ~ of --out_dir=~/x alone
            return Setting(os.path.expanduser(typed) if key in FOLDERS and isinstance(typed, str) else typed, origin)
        except ValueError as reason:
            self.bad.add(key)
            self.problems.append(f"{blame(origin, key, value)}: {reason}")
            return None

    def _later(self, name: str, setting: Setting) -> None:
        missing = later.KEYS[name]
        if later.plain(setting.value) in missing.inert or name in self.decided:
            return
        says = f"{blame(setting.origin, name, setting.value)}: {missing.capability} is not in this version"
        amount = later.plain(setting.value).replace(".", "").isdigit()
        off = "0" if amount else {"false": "False", "true": "True"}.get(missing.inert[0], missing.inert[0])
        turn_off = "" if setting.from_flag else f", or add --{name}={off}"
        self.problems.append(f"{says}; leave {name} out{turn_off}")


def key_of(name: str) -> str:
    """The key that a name stands for."""
    return (aliases.RENAMED | aliases.SIZES).get(name) or aliases.SWITCHES.get(name, (name,))[0]


def _at(setting: Setting, name: str) -> str:
    return setting.origin if setting.from_flag else f"{setting.origin}: {one_line(name) or repr(name)}"
