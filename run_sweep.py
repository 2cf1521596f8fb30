"""``python run_sweep.py --config sweep_lambda.yaml``: ``gptmill sweep``."""

import sys

from gptmill.cli.main import main

main(["sweep", *sys.argv[1:]])
