"""``python test_imports.py``: ``gptmill doctor``."""

import sys

if __name__ == "__main__":  # a test runner that collects this file must find nothing in it
    from gptmill.cli.main import main

    main(["doctor", *sys.argv[1:]])
