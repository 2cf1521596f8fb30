"""``python train.py CONFIG --key=value``: the same command as ``gptmill train``."""

import sys

from gptmill.cli.main import main

main(["train", *sys.argv[1:]])
