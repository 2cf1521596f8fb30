"""``python visualize_lr_schedule.py --warmup_steps=500 ...``: ``gptmill schedule``, without a config."""

import sys

from gptmill.cli.main import main

main(["schedule", "--standalone", *sys.argv[1:]])
