"""``python sample.py --out_dir=RUN --start=PROMPT``: the same command as ``gptmill sample``."""

import sys

from gptmill.cli.main import main

main(["sample", *sys.argv[1:]])
