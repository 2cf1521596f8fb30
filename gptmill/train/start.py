"""``checkpoint_file``: the checkpoint of another run that a new one begins with, judged before torch is imported."""

from __future__ import annotations

import os
from pathlib import Path

from gptmill.errors import UserError
from gptmill.plan.types import Plan
from gptmill.train.manifest import MANIFEST, read_manifest


def check_start(plan: Plan) -> None:
    """Raise UserError when checkpoint_file is no checkpoint, or leaves nothing to train."""
    if plan.checkpoint_file is None:
        return
    given = plan.checkpoint_file
    folder = Path(os.path.realpath(given))  # best is a link, and a checkpoint knows its own name
    if not (folder / MANIFEST).exists():
        raise UserError(
            f"checkpoint_file={given}: not a checkpoint; name a folder such as RUN/checkpoints/step_00001000"
        )
    step = read_manifest(folder).iter
    if step >= plan.max_iters and not plan.eval_only:
        raise UserError(
            f"checkpoint_file={given}: is of step {step}, so max_iters={plan.max_iters} leaves nothing to train; "
            f"steps count on from there: try max_iters={2 * step}"
        )
