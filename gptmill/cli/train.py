"""``gptmill train``: the command line, up to a valid config; ``training.py`` goes on from there.

Little is imported before, so that a mistake shows within half a second.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.own_parts import Import, import_parts
from gptmill.cli.profiling import Profile
from gptmill.cli.refusals import refusals_told
from gptmill.cli.resuming import load_run
from gptmill.parallel.launch import find_place

Flag = Annotated[bool, Parameter(negative="")]


def train(
    *argv: Annotated[str, Parameter(allow_leading_hyphen=True)],
    json: Flag = False,
    explain: Flag = False,
    overwrite: Flag = False,
    force: Flag = False,
    profile: Profile = None,
    import_: Import = None,
) -> int:
    """Train a model, or with --resume go on with a run.

    Parameters
    ----------
    argv
        Config files (a path, or a name that `gptmill configs` lists) and --key=value settings; the later wins.
    json
        Print one JSON object with the result on stdout; progress goes to stderr as always.
    explain
        Print every setting and where it came from, and train nothing.
    overwrite
        Delete the run that is in the run folder and start anew.
    force
        Start what does not fit in memory or on the disk, by the plan.
    import_
        A Python module with parts of your own, registered when it is imported.
    """
    if (place := find_place()).rank:
        from gptmill.cli.ranks import follow

        return 0 if explain else follow(place, import_)
    with refusals_told(place):
        resolved = load_run(list(argv), parts=import_parts(import_))
    if explain:
        from gptmill.cli.explain import explain as show

        return show(resolved)
    from gptmill.cli.training import carry_out

    return carry_out(resolved, json=json, overwrite=overwrite, force=force, profile=profile)
