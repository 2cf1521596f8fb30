"""The Python standard library's own source code: real text that every machine already has.

Which text exactly depends on the installed Python; the fingerprint in meta.json tells two apart.
"""

from __future__ import annotations

import os
import platform
import sysconfig
from pathlib import Path

from gptmill.data.corpora.base import CORPORA, Corpus
from gptmill.data.texts import TextFiles
from gptmill.errors import DataError

# installed packages are not the standard library; tests are a third of it and much of them is generated
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def stdlib_files(root: Path | None = None) -> TextFiles:
    """Every .py below the standard library's folder, by relative path; files that are not UTF-8 are left out and counted.

    ``config-*`` and ``_sysconfigdata*`` are left out too: they describe one build, not Python.
    """
    root = root or Path(sysconfig.get_path("stdlib"))
    files: list[tuple[Path, str]] = []
    skipped = 0
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for path in [Path(folder, name) for name in names if name.endswith(".py")]:
            key = path.relative_to(root).as_posix()
            if key.startswith(("config-", "_sysconfigdata")):
                continue
            try:
                path.read_bytes().decode()
                files.append((path, key))
            except (OSError, UnicodeDecodeError):
                skipped += 1
    if not files:
        raise DataError(
            f"{root}: this Python came without its source files; use your own text: gptmill prepare --input"
        )
    files.sort(key=lambda file: file[1])
    description = f"Python {platform.python_version()} standard library, {len(files)} source files"
    return TextFiles(files, description, skipped=skipped)


CORPORA.register("python_stdlib")(
    Corpus(
        source="source files of the Python standard library of this machine (PSF License)",
        tokenizer="bpe-2048",
        val_fraction=0.1,
        open=lambda place, max_samples: stdlib_files(),
        on_demand=True,
    )
)
