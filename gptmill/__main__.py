"""``python -m gptmill`` is the ``gptmill`` command."""

from gptmill.cli.main import main

main()
