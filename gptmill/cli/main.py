"""The ``gptmill`` command: finds the subcommand, and turns every error into lines and an exit code.

Subcommands are named as strings, so that ``gptmill --help`` imports none of them, and none imports torch before its
input is known to be good.
"""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError, UnusedCliTokensError

from gptmill import __version__
from gptmill.cli.say import say
from gptmill.config.wording import one_line
from gptmill.errors import GptmillError, UserError, is_out_of_memory

LONGEST = 1000  # characters of a line on stderr

app = App(
    name="gptmill",
    help="Plan, train and measure GPT language models, from a laptop core up.",
    help_format="plaintext",
    version=__version__,
)
COMMANDS = {
    "train": "Train a model, or go on with a run (--resume).",
    "train-lm": "Train by epochs, into lm_DATASET: train with other defaults.",
    "launch": "Train on several devices, and start again what dies or hangs.",
    "plan": "Say what train would do, and run nothing.",
    "schedule": "Draw the learning rate over a run.",
    "prepare": "Turn text into token files.",
    "sample": "Generate text with a trained run.",
    "eval": "Measure a run on any text: loss, perplexity, bits per byte.",
    "import": "Make a run folder of another program's model.",
    "export": "Write a run's weights for other programs.",
    "configs": "List the configs and presets that can be named.",
    "verify": "Check a run's checkpoints.",
    "doctor": "Check this machine: what works, what is missing, how fast it is.",
    "report": "Write one HTML page about a run.",
    "sweep": "Carry out a W&B sweep file here: a list of runs, ranked at the end.",
    "matrix": "Train every combination of optimizers, pruning methods and sparsities.",
    "ablate": "Compare arms over several seeds, and say which differ.",
    "compare": "Rank runs: a table, and one HTML page.",
}
RESERVED = ("import", "eval")  # words of Python's own; the functions have an underscore
for name, says in COMMANDS.items():
    function = name.replace("-", "_") + "_" * (name in RESERVED)
    app.command(f"gptmill.cli.{function}:{function}", name=name, help=says)


def main(argv: list[str] | None = None) -> None:
    """Run one command and leave with its exit code (errors.py lists them)."""
    tokens = sys.argv[1:] if argv is None else argv
    try:
        code = run(tokens)
        if sys.stdout is not None:  # closed by who started us
            sys.stdout.flush()  # a full disk or a closed pipe shows here, not while Python shuts down
    except GptmillError as error:
        complain(*error.problems)
        code = error.exit_code
    except UnusedCliTokensError as error:
        command = tokens[0] if tokens else ""
        words = " ".join(error.unused_tokens or tokens)
        complain(f"{words}: gptmill {command} takes no such word by itself; see gptmill {command} --help")
        code = UserError.exit_code
    except CycloptsError as error:
        complain(str(error).replace("\n", " "))
        code = UserError.exit_code
    except KeyboardInterrupt:
        code = 130
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        complain("out of memory: lower batch_size, block_size or the size of the model")
        code = GptmillError.exit_code
    except BrokenPipeError:  # the reader (head, less) has seen enough
        sys.stdout = None
        code = 141
    except OSError as error:
        complain(f"{one_line(str(error.filename or 'output'))}: {error.strerror}; free space or choose another place")
        code = GptmillError.exit_code
    sys.exit(code)


def complain(*problems: str) -> None:
    """One line each, whatever file names and values they quote."""
    say(*(f"error: {one_line(problem, LONGEST)}" for problem in problems))


def run(tokens: list[str]) -> int:
    """Carry out one command line; the exit code is the command's own, 0 unless it says otherwise."""
    code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    if tokens and tokens[0] in ("train", "train-lm", "plan", "schedule") and ("--help" in tokens or "-h" in tokens):
        from gptmill.cli.keyhelp import print_key_help

        print_key_help(_entrance(tokens[0]))
    return code if isinstance(code, int) else 0


def _entrance(command: str) -> dict[str, object]:
    if command != "train-lm":
        return {}
    from gptmill.cli.train_lm import entrance

    return entrance([])
