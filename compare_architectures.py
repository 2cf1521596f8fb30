"""``python compare_architectures.py RUN...``: ``gptmill compare``."""

import sys

from gptmill.cli.main import main

main(["compare", *sys.argv[1:]])
