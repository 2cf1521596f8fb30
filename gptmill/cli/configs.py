"""``gptmill configs``: what ``train NAME`` and ``--preset=NAME`` answer to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gptmill.config.files import FOLDERS, SUFFIXES, Found, packaged, read_found
from gptmill.config.load import load
from gptmill.config.names import KNOWN
from gptmill.config.wording import one_line
from gptmill.errors import GptmillError

MANY = ("sweep", "matrix", "ablate")  # commands that carry out many runs


def configs(*, table: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the named configs and the presets, each with the first line of its own description.

    Parameters
    ----------
    table
        Print what each named config trains, as its plan says, as a Markdown table.
    """
    if table:
        from gptmill.cli.config_table import table as rows

        print(rows())
        return
    on_disk = [
        Found(f"{folder}/{entry.name}", Path(entry.path))
        for folder in FOLDERS
        if os.path.isdir(folder)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)
        if entry.name.endswith(SUFFIXES) and entry.is_file()
    ]
    here = {Path(found.shown).stem for found in on_disk}
    shipped = [found for found in packaged("configs") if Path(found.shown).stem not in here]
    runs = {found: _missing(found) for found in on_disk + shipped}
    _section("Configs: gptmill train NAME", [found for found, missing in runs.items() if not missing])
    for command in MANY:
        if lists := [found for found, missing in runs.items() if missing == command]:
            print()
            _section(f"Many runs: gptmill {command} NAME", lists)
    if waiting := {found: missing for found, missing in runs.items() if missing and missing not in MANY}:
        print()
        _section("Configs that need what is not in this version", list(waiting), waiting)
    widths = {found: read_found(found, KNOWN).layer.get("n_embd") for found in packaged("config/presets")}
    print()
    _section("Architectures: --preset=NAME", [found for found, width in widths.items() if width is None])
    print()
    sizes = {found: int(str(width.value)) for found, width in widths.items() if width is not None}
    _section("Sizes: --preset=NAME, or both: --preset=llama,small", sorted(sizes, key=sizes.__getitem__))


def _section(title: str, files: list[Found], missing: dict[Found, str] | None = None) -> None:
    print(title)
    width = max((len(_name(found)) for found in files), default=0)
    for found in files:
        needs = f" ({missing[found]})" if missing else ""
        print(f"  {_name(found):<{width}}  {first_words(found)}{needs}".rstrip())


def _missing(found: Found) -> str:
    """What a config asks for that this version has not, or the command for its many runs; '' when it is one run."""
    try:
        load([found.shown])
    except GptmillError as error:
        told = [problem for problem in error.problems if "not in this version" in problem]
        if told:
            return told[0].partition(" is not in this version")[0].rpartition(": ")[2]
        if many := [command for command in MANY if any(f"`gptmill {command}" in p for p in error.problems)]:
            return many[0]
    return ""


def _name(found: Found) -> str:
    return one_line(Path(found.shown).stem)


def first_words(found: Found) -> str:
    """The first line of a config's docstring or of its leading comment, '' when it has neither."""
    try:
        text = found.source.read_bytes()[:4096].decode("utf-8-sig", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        said = line.strip()
        if said.startswith("#"):
            if said.strip("#!- "):
                return one_line(said.strip("# "), 200)
        elif said.startswith(('"', "'")):
            return one_line(_docstring_start(text), 200)
        elif said:
            return ""
    return ""


def _docstring_start(text: str) -> str:
    quote = text.lstrip()[:3] if text.lstrip()[:3] in ('"""', "'''") else text.lstrip()[:1]
    body = text.lstrip()[len(quote) :].split(quote)[0].strip()
    return body.splitlines()[0] if body else ""
