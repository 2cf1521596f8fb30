"""The one entrance to a configuration: what was typed becomes a checked Config that knows where each value came from."""

from __future__ import annotations

from gptmill.config.files import read_config
from gptmill.config.flags import parse_flags
from gptmill.config.layers import ENTRANCE, Layer, Parts, Setting
from gptmill.config.names import KNOWN
from gptmill.config.resolve import Resolved, resolve


def load(argv: list[str], entrance: dict[str, object] | None = None, parts: Parts | None = None) -> Resolved:
    """Read the configs and flags of a command line.

    Args:
        argv: config names and ``--key=value`` flags in any order, without the command's own options.
        entrance: defaults of the command itself, by key; above the schema's defaults, below presets.
        parts: names of imported parts, by the key that chooses among them.

    Raises:
        ConfigError: everything wrong in the files, the flags and their combination, one line each.
    """
    configs, flags = parse_flags(argv)
    readings = [*(read_config(name, KNOWN) for name in configs), flags]
    base: Layer = {key: Setting(value, ENTRANCE) for key, value in (entrance or {}).items()}
    problems = [problem for reading in readings for problem in reading.problems]
    notices = tuple(notice for reading in readings for notice in reading.notices)
    resolved = resolve([reading.layer for reading in readings], base, problems, parts or {})
    return Resolved(resolved.config, resolved.origins, notices + resolved.notices)
