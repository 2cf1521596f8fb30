"""Finds a config by path or by name, on disk first and then among the named configs inside the package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from gptmill.config.layers import Reading
from gptmill.config.literal import read_python
from gptmill.config.wording import nearest, one_line
from gptmill.config.yamlfile import read_yaml
from gptmill.errors import UserError
from gptmill.plain import open_plain

SUFFIXES = (".py", ".yaml", ".yml", ".config")
FOLDERS = ("configs", "config")  # nanoGPT says config/, other systems configs/: both answer
MAX_BYTES = 64 * 1024  # parsing can take 600 bytes and two microseconds for each byte


@dataclass(frozen=True)
class Found:
    """A config file: the name to show for it, and where its bytes are."""

    shown: str
    source: Path | Traversable


def packaged(folder: str) -> list[Found]:
    """The files that ship with gptmill: ``configs`` (named configs) or ``config/presets``, sorted by name."""
    root = resources.files("gptmill").joinpath(*folder.split("/"))
    files = [Found(f"{folder}/{f.name}", f) for f in root.iterdir() if f.name.endswith(SUFFIXES)]
    return sorted(files, key=lambda found: found.shown)


def read_config(name: str, known: frozenset[str]) -> Reading:
    """The settings of the config a person calls ``name``: a path, ``configs/NAME.py``, ``config/NAME.py`` or ``NAME``.

    Args:
        known: every name that is a key, see ``read_python``.
    """
    found = _find(os.path.expanduser(name))  # a shell leaves the ~ of --config=~/x.py alone
    return read_found(found, known) if isinstance(found, Found) else Reading(problems=[found])


def find_config(name: str) -> Found:
    """The file that a person calls ``name``, as ``read_config`` finds it.

    Raises:
        UserError: there is none.
    """
    found = _find(os.path.expanduser(name))
    if isinstance(found, Found):
        return found
    raise UserError(found)


def read_found(found: Found, known: frozenset[str]) -> Reading:
    try:
        text = text_of(found)
    except UserError as error:
        return Reading(problems=list(error.problems))
    if found.shown.endswith(".py"):
        return read_python(text, found.shown, known)
    if found.shown.endswith(".config"):
        from gptmill.config.dotconfig import read_dotconfig  # its symbols include the presets, read by this file

        return read_dotconfig(text, found.shown)
    return read_yaml(text, found.shown)


def text_of(found: Found) -> str:
    """What the file says.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        raw = read_bytes(found.source)
    except OSError as error:
        raise UserError(f"{found.shown}: cannot be read: {error.strerror or 'not a regular file'}") from None
    if len(raw) > MAX_BYTES:
        raise UserError(f"{found.shown}: over {MAX_BYTES // 1024} KiB; is this a config file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(f"{found.shown}:{line}: not UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{found.shown}:{line}: holds a NUL byte; save the file as UTF-8 text")
    return text


def _find(name: str) -> Found | str:
    """The file, or the one-line problem."""
    shown = one_line(name, 200)
    if not name or not name.isprintable():
        return f"{shown!r}: not a config name; give a path or a name listed by `gptmill configs`"
    path = Path(name)
    if name.endswith(SUFFIXES) and os.path.lexists(path):
        return Found(shown, path)
    stem = path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name
    wanted = [path.name] if path.suffix in SUFFIXES else [stem + suffix for suffix in SUFFIXES]
    folder = os.path.dirname(name)
    if folder == "":
        for candidate in (Path(f, w) for f in FOLDERS for w in wanted):
            if os.path.isfile(candidate):  # a name too long is none, where Path.is_file raises
                return Found(str(candidate), candidate)
    if folder in ("", *FOLDERS):
        for found in packaged("configs"):
            if found.source.name in wanted:
                return found
    return _missing(name, shown, stem)


def _missing(name: str, shown: str, stem: str) -> str:
    if os.path.lexists(name):
        if os.path.isdir(name):
            return (
                f"{shown}: is a folder; configs end in {', '.join(SUFFIXES)}, and a run's folder is --out_dir={shown}"
            )
        return f"{shown}: is not a config file; configs end in {', '.join(SUFFIXES)}"
    if "=" in name:
        return f"{shown}: no such config file; a setting is written with two dashes: --{shown}"
    if name == ".config":
        return f"{shown}: no such file here; `make defconfig-NAME` or `make menuconfig` writes one"
    if any(found.source.name == f"{stem}.yaml" for found in packaged("config/presets")):
        return f"{shown}: is a preset, not a config; try --preset={stem}"
    names = known_configs()
    listed = f"; known: {', '.join(names[:8])}; see `gptmill configs`"
    return f"{shown}: no such config file{nearest(stem, names) or listed}"


def known_configs() -> list[str]:
    """Bare names that ``read_config`` answers to here."""
    names = {Path(found.source.name).stem for found in packaged("configs")}
    for folder in FOLDERS:
        if os.path.isdir(folder):
            names |= {Path(entry).stem for entry in os.listdir(folder) if entry.endswith(SUFFIXES)}
    return sorted(names)


def read_bytes(source: Path | Traversable) -> bytes:
    """At most MAX_BYTES + 1 bytes of a regular file; a pipe or a device could block or never end."""
    if not isinstance(source, Path):
        return source.read_bytes()
    with open_plain(source) as file:
        return file.read(MAX_BYTES + 1)
