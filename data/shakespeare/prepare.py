"""``python prepare.py`` here: ``gptmill prepare --dataset shakespeare``, into this folder."""

import sys
from pathlib import Path

from gptmill.cli.main import main

main(["prepare", "--dataset", "shakespeare", "--data_dir", str(Path(__file__).resolve().parents[1]), *sys.argv[1:]])
