"""``python prepare.py`` here: ``gptmill prepare --dataset shakespeare_char``, into this folder."""

import sys
from pathlib import Path

from gptmill.cli.main import main

main(
    ["prepare", "--dataset", "shakespeare_char", "--data_dir", str(Path(__file__).resolve().parents[1]), *sys.argv[1:]]
)
