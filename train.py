"""``python train.py CONFIG --key=value``: the same command as ``gptmill train``; torchrun launches this file."""

import sys

from gptmill.cli.main import main

main(["train", *sys.argv[1:]])
