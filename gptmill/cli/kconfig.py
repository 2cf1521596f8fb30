"""``python -m gptmill.cli.kconfig``: what the Makefile's defconfig, menuconfig and savedefconfig do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gptmill.cli.configs import first_words
from gptmill.cli.main import complain
from gptmill.cli.say import say
from gptmill.config.files import Found, packaged, read_bytes, read_found
from gptmill.config.kconfig import assign, kconfig_text, load_kconfig
from gptmill.config.load import load
from gptmill.config.names import KNOWN
from gptmill.config.symbols import MATRIX
from gptmill.config.wording import config_error, nearest, one_line
from gptmill.errors import GptmillError, UserError

DOT_CONFIG = ".config"


def main(argv: list[str]) -> int:
    """``list``, ``defconfig NAME``, ``menuconfig``, ``savedefconfig`` or ``show``; the exit code."""
    commands: dict[tuple[str, int], Callable[..., None]] = {
        ("list", 0): list_defconfigs,
        ("defconfig", 1): defconfig,
        ("menuconfig", 0): menuconfig,
        ("savedefconfig", 0): savedefconfig,
        ("show", 0): lambda: print(kconfig_text()),
    }
    command = commands.get((argv[0], len(argv) - 1)) if argv else None
    try:
        if command is None:
            raise UserError("say one of: list, defconfig NAME, menuconfig, savedefconfig, show")
        command(*argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
    except GptmillError as error:
        complain(*error.problems)
        return error.exit_code
    except BrokenPipeError:  # the reader (head, less) has seen enough
        sys.stdout = None
        return 141
    except OSError as error:
        complain(f"{one_line(str(error.filename or 'output'))}: {error.strerror}; free space or choose another place")
        return GptmillError.exit_code
    return 0


def defconfigs() -> dict[str, Found]:
    return {
        found.source.name.removesuffix(".config"): found
        for found in packaged("configs")
        if found.shown.endswith(".config")
    }


def list_defconfigs() -> None:
    """Print ``defconfig-NAME`` for each defconfig, with what it is for."""
    for name, found in defconfigs().items():
        print(f"  defconfig-{name}\n      {first_words(found)}")


def defconfig(name: str) -> None:
    """Copy a defconfig to ``.config``, keeping the one that is there as ``.config.old``."""
    known = defconfigs()
    if name not in known:
        hint = nearest(name, known) or f"; one of {', '.join(known)}"
        raise UserError(f"{one_line(name)}: no such defconfig{hint}")
    text = read_bytes(known[name].source)
    if os.path.lexists(DOT_CONFIG):
        os.replace(DOT_CONFIG, f"{DOT_CONFIG}.old")
    Path(DOT_CONFIG).write_bytes(text)
    many = any(f"CONFIG_{symbol}=y" in text.decode() for symbol in MATRIX)
    say(f".config written; `{'make test-matrix' if many else 'make'}` starts it")


def menuconfig() -> None:
    """Kconfig's menus on ``.config``, which is made if there is none."""
    kconf = load_kconfig()
    _read_into(kconf)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError(
            "menuconfig: needs a terminal; edit .config by hand, or use `gptmill train .config --key=value`"
        )
    from menuconfig import menuconfig as menus

    kconf.write_config(DOT_CONFIG)  # in the names of the menus, which cannot show any other
    menus(kconf)


def savedefconfig() -> None:
    """Write ``defconfig``: what ``.config`` has other than the defaults."""
    kconf = load_kconfig()
    if not _read_into(kconf):
        raise UserError(".config: no such file here; `make defconfig-NAME` or `make menuconfig` writes one")
    kconf.write_min_config("defconfig")
    say("defconfig written")


def _read_into(kconf: Any) -> bool:
    """Give the symbols the values of ``.config``; False when there is none."""
    if not os.path.lexists(DOT_CONFIG):
        return False
    reading = read_found(Found(DOT_CONFIG, Path(DOT_CONFIG)), KNOWN)
    if reading.problems:
        raise config_error(reading.problems)
    resolved = load([DOT_CONFIG])
    say(*resolved.notices)
    assign(kconf, resolved.config)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
