"""``python sample.py --out_dir=RUN --start=PROMPT``: ``gptmill sample`` with nanoGPT's defaults."""

import sys

from gptmill.cli.main import main

main(["sample", "--nanogpt", *sys.argv[1:]])
