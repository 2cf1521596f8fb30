"""What an ablation compares: arms that differ in some settings and share all others, the seeds among them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, cast, get_args

from gptmill.config.coerce import as_bool
from gptmill.config.wording import nearest, one_line
from gptmill.config.yamltree import Node
from gptmill.errors import ConfigError, UserError

T = TypeVar("T")
View = Literal["tokens", "flops", "time"]  # what every arm may spend as much of as the baseline
KEYS = ("base", "settings", "baseline", "arms", "seeds", "view", "detect", "drop_hopeless")
OURS = ("seed", "out_dir", "output_dir", "resume")  # settings that no arm may have of its own
NAME = re.compile(r"[A-Za-z0-9+][A-Za-z0-9 _.,+=-]{0,59}")  # also the name of a folder
BASELINE = "baseline"
SEEDS = 5  # find 2.5 times the spread between seeds in one of four arms: docs/guide/ablate.md
DETECT = 0.01  # nats/token


@dataclass(frozen=True)
class Arm:
    """Args: flags: what it has besides what all arms have, as ``--key=value``."""

    name: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Design:
    """A study before its first run.

    Args:
        base: configs and flags of every arm, as ``gptmill train`` takes them; those of an arm outrank them.
        arms: the baseline first.
        seeds: how many runs of each arm.
        detect: the difference worth seeing [nats/token].
        drop_hopeless: give an arm up after some seeds when it is surely worse.
    """

    base: tuple[str, ...]
    arms: tuple[Arm, ...]
    seeds: int = SEEDS
    view: View = "tokens"
    detect: float = DETECT
    drop_hopeless: bool = False

    @property
    def baseline(self) -> str:
        return self.arms[0].name


def read_design(root: Node, path: str) -> Design:
    """A study file.

    Raises:
        ConfigError: what is wrong in it, with its line.
    """
    found = _mapping(root, path, "a study")
    for key, node in found.items():
        if key not in KEYS:
            known = f"no key of a study{nearest(key, KEYS)}; one of {', '.join(KEYS)}"
            raise ConfigError(f"{path}:{node.line}: {one_line(key)}: {known}")
    if "arms" not in found:
        raise ConfigError(f"{path}: a study needs arms: a name for each, and its settings below")
    base = [_text(node, path, "base") for node in _listed(found["base"])] if "base" in found else []
    settings = _flags(found["settings"], path, "settings") if "settings" in found else ()
    written = _mapping(found["arms"], path, "arms")
    for name, node in written.items():
        _check_name(name, f"{path}:{node.line}")
    arms = {name: Arm(name, _flags(node, path, f"arm {name}")) for name, node in written.items()}
    if len(arms) < 2:
        raise ConfigError(f"{path}:{found['arms'].line}: one arm has nothing to be compared with; write two or more")
    first = _text(found["baseline"], path, "baseline") if "baseline" in found else next(iter(arms))
    if first not in arms:
        says = f"baseline: no arm is called {one_line(first)!r}{nearest(first, arms)}"
        raise ConfigError(f"{path}:{found['baseline'].line}: {says}")

    def value(key: str, read: Callable[[str, str], T], default: T) -> T:
        node = found.get(key)
        return default if node is None else read(_text(node, path, key), f"{path}:{node.line}: {key}")

    return Design(
        base=(*base, *settings),
        arms=(arms[first], *(arm for name, arm in arms.items() if name != first)),
        seeds=value("seeds", whole_number, SEEDS),
        view=value("view", view_named, "tokens"),
        detect=value("detect", positive_number, DETECT),
        drop_hopeless=value("drop_hopeless", truth, False),
    )


def vary(options: Sequence[str], base: Sequence[str], same: Callable[[Sequence[str]], bool]) -> Design:
    """A study of ``--vary key=value,value``: one setting changed at a time.

    The baseline is the config as it is, where its value is among those listed or only one is; else it takes the first.

    Args:
        same: whether the base with these flags more is the base itself.

    Raises:
        UserError: an option that cannot be read, or nothing to compare.
    """
    arms: list[Arm] = []
    fixed: list[str] = []
    for option in options:
        key, equals, listed = option.partition("=")
        values = [value.strip() for value in listed.split(",") if value.strip()]
        key = key.strip().lstrip("-").replace("-", "_")
        if not equals or not values or not re.fullmatch(r"\w+", key):
            raise UserError(
                f"--vary {one_line(option)}: write --vary KEY=VALUE,VALUE, such as normalization=layernorm,rmsnorm"
            )
        if key in OURS:
            more = "; --seeds=N takes N of them, and --seed=N is the first" if key == "seed" else ""
            raise UserError(f"--vary {one_line(option)}: the study sets {key} for every run; leave it out{more}")
        if len(set(values)) < len(values):
            raise UserError(f"--vary {one_line(option)}: a value is listed twice; list values that differ")
        own = next((value for value in values if same([f"--{key}={value}"])), None)
        if own is None and len(values) > 1:
            own = values[0]
            fixed.append(f"--{key}={own}")
        arms += [Arm(f"{key}={value}", (f"--{key}={value}",)) for value in values if value != own]
        baseline = f"{key}={own}" if own is not None and len(options) == 1 else BASELINE
    for name in (names := [arm.name for arm in arms]):
        _check_name(name, "--vary")
    if not arms or len(set(names)) < len(names):
        why = "a value is listed twice" if arms else "the config has these values already"
        raise UserError(f"--vary {' --vary '.join(map(one_line, options))}: {why}; list values that differ")
    return Design((*base, *fixed), (Arm(baseline), *arms))


def folder_of(arm: str, seed: int) -> str:
    """The id of a run, which names its folder."""
    return f"{re.sub(r'[^A-Za-z0-9_.+=-]', '-', arm)}-seed{seed}"


def _mapping(node: Node, path: str, what: str) -> dict[str, Node]:
    """The lines of key: value that must stand here; nothing counts as none."""
    if node.value is None:
        return {}
    if not isinstance(node.value, dict):
        raise ConfigError(f"{path}:{node.line}: {what}: must be lines of key: value")
    return node.value


def _listed(node: Node) -> list[Node]:
    return node.value if isinstance(node.value, list) else [node]


def _text(node: Node, path: str, what: str) -> str:
    if not isinstance(node.value, str):
        raise ConfigError(f"{path}:{node.line}: {what}: must be one word or number")
    return node.value


def _flags(node: Node, path: str, what: str) -> tuple[str, ...]:
    """``--key=value`` of each line; a setting that would undo the pairing is refused."""
    flags = []
    for key, value in _mapping(node, path, what).items():
        name = key.replace("-", "_")
        if name in OURS:
            raise ConfigError(f"{path}:{value.line}: {key}: the study sets it for every run; leave it out")
        text = "None" if value.value is None else _text(value, path, f"{what}: {one_line(key)}")
        flags.append(f"--{name}={text}")
    return tuple(flags)


def _check_name(name: str, place: str) -> None:
    if not NAME.fullmatch(name):
        says = "the name of an arm, and so of a folder: up to 60 letters, digits, spaces and _.,+=-"
        raise ConfigError(f"{place}: {one_line(name)!r}: is no name for an arm; {says}")


def whole_number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise ConfigError(f"{where}={one_line(text)}: must be a whole number from 1 to 1000")
    return int(text)


def positive_number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ConfigError(f"{where}={one_line(text)}: must be a loss above 0 [nats/token], such as {DETECT}")
    return value


def view_named(text: str, where: str) -> View:
    views = get_args(View)
    if text not in views:
        raise ConfigError(f"{where}={one_line(text)}: must be one of {', '.join(views)}{nearest(text, views)}")
    return cast(View, text)


def truth(text: str, where: str) -> bool:
    value = as_bool(text)
    if value is None:
        raise ConfigError(f"{where}={one_line(text)}: must be True or False")
    return value
