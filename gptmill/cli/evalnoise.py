"""How far an evaluation's choice of text moves the difference between two runs: it reads a part of the validation split."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from gptmill.cli.say import say
from gptmill.cli.weights import load_model, read_weights
from gptmill.errors import GptmillError
from gptmill.plain import read_plain

TOKENS = 32_768  # read of each run: enough to know the noise within a tenth
LEAST = 32  # sequences
SAME = ("data_path", "seed", "eval_sequences")  # of the plans: else the windows are not the same


def evaluation_noise(run: Path, other: Path) -> float | None:
    """Standard error of the difference between two runs' losses [nats/token], of one evaluation of the same windows.

    The windows are a sample without replacement, so what reads all of the text has none. None where it cannot be told:
    the runs read different windows, or windows of which not all counts, or their weights are gone.
    """
    try:
        plans = [json.loads(read_plain(folder / "plan.json")) for folder in (run, other)]
        if any(plans[0][key] != plans[1][key] for key in SAME) or _length(plans[0]) != _length(plans[1]):
            return None
        return _noise(run, other, plans[0])
    except GptmillError as error:
        say(f"evaluation noise: {error}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def _length(plan: dict[str, Any]) -> int:
    return int(plan["shape"]["block_size"])


def _noise(run: Path, other: Path, plan: dict[str, Any]) -> float | None:
    import numpy as np
    import torch

    from gptmill.data.batches import Windows, fixed_batches
    from gptmill.data.shards import open_tokens

    T, tokens = _length(plan), open_tokens(Path(plan["data_path"]) / "val.bin")
    if tokens.mask is not None:
        return None
    windows_NS = fixed_batches(tokens, T, int(plan["seed"]), int(plan["eval_sequences"]))
    n, there = len(windows_NS), Windows(tokens, T).n_windows
    read_MS = windows_NS[np.linspace(0, n - 1, min(n, max(LEAST, TOKENS // T))).astype(int)]
    device = str(plan["device"]) if torch.cuda.is_available() else "cpu"

    @torch.no_grad()
    def losses(folder: Path) -> np.ndarray:
        model, ids_MS = load_model(read_weights(folder), device).eval(), torch.from_numpy(read_MS).to(device)
        return np.array([model(ids_S[None, :-1], ids_S[None, 1:]).item() for ids_S in ids_MS])

    apart_M = losses(run) - losses(other)
    return float(np.std(apart_M, ddof=1) / math.sqrt(n) * math.sqrt(max(0.0, 1 - n / there)))
