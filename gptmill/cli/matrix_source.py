"""One config file of a matrix: what it lists, and what it sets for all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gptmill.cli.say import say
from gptmill.config.dotconfig import read_dotconfig
from gptmill.config.files import Found, find_config, text_of
from gptmill.config.layers import Layer
from gptmill.config.wording import config_error
from gptmill.study.matrix import Axes, axes_of
from gptmill.study.matrixfile import is_matrix, read_matrix


@dataclass(frozen=True)
class Source:
    """

    Args:
        words: what follows it on every command line of a run, and it itself where training reads it.
        axes: what it lists; an empty axis has one value, which its settings and the words decide.
    """

    path: str
    text: str
    words: tuple[str, ...]
    axes: Axes
    layer: Layer = field(default_factory=dict)
    jobs: int | None = None

    @property
    def settings(self) -> dict[str, str | None]:
        return {name: None if each.value is None else str(each.value) for name, each in self.layer.items()}

    @property
    def origins(self) -> dict[str, str]:
        return {name: each.origin for name, each in self.layer.items()}


def read_source(name: str, configs: Sequence[str], flags: Sequence[str], path: Path | None = None) -> Source:
    """
    Args:
        name: of a config.
        path: of a ``.config`` that is called otherwise.

    Raises:
        ConfigError: what is wrong with it, but for the keys and values of runs.
    """
    found = Found(name, path) if path else find_config(name)
    text = text_of(found)
    if path or found.shown.endswith(".config"):
        symbols: dict[str, str | bool] = {}
        reading = read_dotconfig(text, found.shown, symbols)
        if reading.problems:
            raise config_error(reading.problems)
        say(*reading.notices)
        jobs = str(symbols.get("PARALLEL_JOBS", ""))
        axes = axes_of(found.shown, symbols)
        n_jobs = int(jobs) if jobs.isdecimal() and int(jobs) > 1 else None
        return Source(found.shown, text, (*configs, *flags), axes, reading.layer, n_jobs)
    if is_matrix(text, found.shown):
        axes, layer = read_matrix(text, found.shown)
        return Source(found.shown, text, (*configs, *flags), axes, layer)
    return Source(found.shown, text, (name, *configs, *flags), Axes())
