"""The schema as a Kconfig file, and a Config's values as the ``.config`` that Kconfig's own tools read and write.

The Kconfig is generated whenever it is needed, so there is nothing to keep in step with the schema. Kconfig has no
None, no fractions and no layers: a key that may be None is a text that may be empty, a fraction is a text, and what a
preset sets is a default that depends on its symbol.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_origin

from gptmill.config.aliases import aliases_of
from gptmill.config.coerce import arms, choices, expects, is_switch
from gptmill.config.files import packaged, read_found
from gptmill.config.names import KNOWN
from gptmill.config.resolve import EXCLUSIVE
from gptmill.config.rules.limits import LARGEST
from gptmill.config.schema import Config, groups
from gptmill.errors import UserError

if TYPE_CHECKING:
    from kconfiglib import Kconfig

UNBOUNDED = 2**63 - 1
TITLES = {"architecture": "Architecture", "size": "Size"}


def kconfig_text() -> str:
    """The Kconfig file: a menu for each group of keys, presets first."""
    lines = ['mainmenu "gptmill"', ""]
    values = preset_values()
    for kind, title in TITLES.items():
        lines += _preset_choice(kind, title, [name for name in values if _kind(values[name]) == kind])
    for group, fields in groups().items():
        lines += [f'menu "{group}"', ""]
        for key in fields:
            if key != "preset":
                lines += _entry(key, values)
        lines += ["endmenu", ""]
    return "\n".join(lines)


def load_kconfig() -> Kconfig:
    """The generated Kconfig, parsed by kconfiglib.

    Raises:
        UserError: kconfiglib is not installed.
    """
    try:
        import kconfiglib
    except ImportError:
        raise UserError("menus need kconfiglib; try pip install 'gptmill[kconfig]'") from None

    class Changes(kconfiglib.Kconfig):
        """Saves what was chosen other than the defaults, so that another preset, chosen later, still moves the rest."""

        def write_config(self, filename: str, *_: object, **__: object) -> str:
            return str(self.write_min_config(filename))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Kconfig")
        path.write_text(kconfig_text(), encoding="utf-8")
        return Changes(str(path), warn_to_stderr=False, suppress_traceback=True)


def assign(kconf: Kconfig, config: Config) -> None:
    """Give every symbol the value it has in a Config."""
    values = preset_values()
    named = config.preset.split(",") if config.preset else []
    for kind in TITLES:
        chosen = next((name for name in reversed(named) if _kind(values[name]) == kind), None)
        kconf.syms[preset_symbol(chosen) if chosen else f"PRESET_NO_{kind.upper()}"].set_value("y")
    for key in Config.model_fields:
        value = getattr(config, key)
        if key == "preset":
            continue
        if _is_choice(key):
            kconf.syms[f"{key}_{value}".upper()].set_value("y")
        elif isinstance(value, bool):
            kconf.syms[key.upper()].set_value("y" if value else "n")
        else:
            kconf.syms[key.upper()].set_value("" if value is None else str(value))


def preset_values() -> dict[str, dict[str, str]]:
    """What each preset sets: {'llama': {'normalization': 'rmsnorm', ...}, ...}; values as they are written."""
    return {
        found.source.name.removesuffix(".yaml"): {
            key: str(setting.value) for key, setting in read_found(found, KNOWN).layer.items()
        }
        for found in packaged("config/presets")
    }


def preset_symbol(name: str) -> str:
    return f"PRESET_{name}".upper().replace("-", "_")


def _kind(sets: dict[str, str]) -> str:
    return "size" if "n_embd" in sets else "architecture"


def _is_choice(key: str) -> bool:
    kinds = [kind for kind, _ in arms(key)]
    return all(kind is bool or get_origin(kind) is Literal for kind in kinds) and kinds != [bool]


def _preset_choice(kind: str, title: str, names: list[str]) -> list[str]:
    lines = ["choice", f'\tprompt "{title}"', f"\tdefault PRESET_NO_{kind.upper()}", ""]
    for symbol, name in [(f"PRESET_NO_{kind.upper()}", "none"), *((preset_symbol(name), name) for name in names)]:
        lines += [f"config {symbol}", f'\tbool "{name}"', ""]
    return [*lines, "endchoice", ""]


def _entry(key: str, presets: dict[str, dict[str, str]]) -> list[str]:
    """One key's lines, with the presets that set it as conditional defaults."""
    symbol = key.upper()
    default = Config.model_fields[key].default
    by_preset = {preset_symbol(name): sets[key] for name, sets in presets.items() if key in sets}
    prompt = f'"{key}: {_quotable(Config.model_fields[key].description or "")}"'
    if _is_choice(key):
        words = list(dict.fromkeys([*choices(key), *(["True", "False"] if is_switch(key) else [])]))
        defaults = [f"\tdefault {symbol}_{value.upper()} if {preset}" for preset, value in by_preset.items()]
        lines = [
            "choice",
            f"\tprompt {prompt}",
            *defaults,
            f"\tdefault {symbol}_{str(default).upper()}",
            *_help(key),
            "",
        ]
        for word in words:
            lines += [f"config {symbol}_{word.upper()}", f'\tbool "{word}"', ""]
        return [*lines, "endchoice", ""]
    kind, limits, write = _type(key)
    defaults = [f"\tdefault {write(value)} if {preset}" for preset, value in by_preset.items()]
    lines = [f"config {symbol}", f"\t{kind} {prompt}", *_dependence(key), *limits, *defaults]
    return [*lines, f"\tdefault {write(default)}", *_help(key), ""]


def _type(key: str) -> tuple[str, list[str], Any]:
    """The symbol's type, its range line, and how a value is written after ``default``."""
    kinds = [kind for kind, _ in arms(key)]
    if kinds == [bool]:
        return "bool", [], lambda value: "y" if str(value).lower() == "true" else "n"
    if kinds == [int]:
        bounds = [bound for _, found in arms(key) for bound in found]
        least = next((bound.ge for bound in bounds if hasattr(bound, "ge")), 0)
        return "int", [f"\trange {least} {LARGEST.get(key, UNBOUNDED)}"], str
    return "string", [], lambda value: f'"{"" if value is None else _quotable(str(value))}"'


def _dependence(key: str) -> list[str]:
    """Of keys of which one decides, a later one of the schema's group hides the earlier ones."""
    deciding = next((group[group.index(key) + 1 :] for group in EXCLUSIVE if key in group), ())
    return [f"\tdepends on {' && '.join(f'{other.upper()} = {chr(34) * 2}' for other in deciding)}"] if deciding else []


def _help(key: str) -> list[str]:
    names = aliases_of(key)
    also = [f"\t  also: {', '.join(names)}"] if names else []
    return ["\thelp", f"\t  {Config.model_fields[key].description}", f"\t  takes {expects(key)}", *also]


def _quotable(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "")
