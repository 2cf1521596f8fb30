"""The one entrance to a configuration: what was typed becomes a checked Config that knows where each value came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gptmill.config.files import read_config
from gptmill.config.flags import parse_flags
from gptmill.config.layers import ENTRANCE, Layer, Parts, Reading, Setting
from gptmill.config.names import KNOWN
from gptmill.config.own import NOW, OwnConfig, names_of, origin_of, read_own_config
from gptmill.config.resolve import Resolved, resolve
from gptmill.config.start import contradictions, start_of
from gptmill.config.wording import config_error
from gptmill.errors import ConfigError, GptmillError

FindRun = Callable[[str, bool], Path | None]  # (out_dir, a flag named it) -> the run that --resume continues
Describe = Callable[[str], Layer]  # a model that init_from names -> the settings that it has decided


def load(
    argv: list[str],
    entrance: dict[str, object] | None = None,
    parts: Parts | None = None,
    find_run: FindRun | None = None,
    describe: Describe | None = None,
    above_files: Layer | None = None,
) -> Resolved:
    """Read the configs and flags of a command line.

    Args:
        argv: config names and ``--key=value`` flags in any order, without the command's own options.
        entrance: defaults of the command itself, by key; above the schema's defaults, below presets.
        parts: names of imported parts, by the key that chooses among them.
        find_run: with it, ``--resume`` goes on with the values that the run recorded: in place of the entrance's, below
            presets, files and flags.
        describe: what it says of the model that init_from names is below everything else, and may not be contradicted.
        above_files: settings that outrank the files and not the flags: those of one run of a sweep.

    Raises:
        ConfigError: everything wrong in the files, the flags and their combination, one line each.
    """
    readings, base = _read(argv, entrance)
    readings.insert(-1, Reading(above_files or {}))
    problems = [problem for reading in readings for problem in reading.problems]
    notices = tuple(notice for reading in readings for notice in reading.notices)
    own = _own_config(readings, base, parts or {}, find_run)
    if own is not None:
        problems += own.problems
        base = {key: setting for key, setting in base.items() if key not in own.values} | own.layer()
        for reading in readings:
            _forget_same_presets(reading.layer, own)
    weights, decided = own.weights if own else start_of(readings), Layer()
    if weights is not None and own is None and describe:
        try:
            base = base | (decided := describe(weights))
        except GptmillError as error:
            problems += error.problems
    resolved = replace(resolve([reading.layer for reading in readings], base, problems, parts or {}), weights=weights)
    if contradicted := contradictions(resolved, decided):
        raise config_error(contradicted)
    if own is not None:
        resolved = replace(resolved, own=own)
        if own.values.get("preset") and not resolved.config.preset:
            config = resolved.config.model_copy(update={"preset": own.values["preset"]})
            origins = resolved.origins | {"preset": origin_of(own.run, own.origins["preset"])}
            resolved = replace(resolved, config=config, origins=origins)
    return replace(resolved, notices=notices + resolved.notices)


def glance(argv: list[str], entrance: dict[str, object] | None, *keys: str) -> Resolved | None:
    """What a command line says about some keys, whatever else is wrong with it; None when they are wrong themselves."""
    readings, base = _read(argv, entrance)
    return _only(keys, readings, base)


def _read(argv: list[str], entrance: dict[str, object] | None) -> tuple[list[Reading], Layer]:
    configs, flags = parse_flags(argv)
    base: Layer = {key: Setting(value, ENTRANCE) for key, value in (entrance or {}).items()}
    return [*(read_config(name, KNOWN) for name in configs), flags], base


def _only(keys: tuple[str, ...], readings: list[Reading], base: Layer) -> Resolved | None:
    names = {name for key in keys for name in names_of(key)}
    layers = [{n: setting for n, setting in layer.items() if n in names} for layer in _layers(readings, base)]
    try:
        return resolve(layers[1:], layers[0])
    except ConfigError:
        return None


def _layers(readings: list[Reading], base: Layer) -> list[Layer]:
    return [base, *(reading.layer for reading in readings)]


def _own_config(readings: list[Reading], base: Layer, parts: Parts, find_run: FindRun | None) -> OwnConfig | None:
    wish = _only(NOW, readings, base) if find_run else None
    if wish is None or wish.config.init_from != "resume" or find_run is None:
        return None
    folder = find_run(wish.config.out_dir, wish.origins["out_dir"].startswith("--"))
    return read_own_config(folder, parts) if folder is not None else None


def _forget_same_presets(layer: Layer, own: OwnConfig) -> None:
    for name in names_of("preset"):
        if name in layer and layer[name].value and own.has_presets(layer[name].value):
            del layer[name]
