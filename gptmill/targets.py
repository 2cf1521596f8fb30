"""Which tokens of a window are targets. Those that are only read, as a prompt is, stand in it as ``~id``: below zero.

Legend: B sequences, S = T + 1 tokens of a window: the inputs are all but the last, the targets all but the first.
"""

from __future__ import annotations

import numpy as np

IGNORE = -100  # a target with this value counts for nothing, as in torch.nn.functional.cross_entropy


def marked(ids_BS: np.ndarray, counts_BS: np.ndarray) -> np.ndarray:
    """Ids int64 with those that do not count turned into ~id."""
    return np.where(counts_BS != 0, ids_BS, ~ids_BS)


def ids_of(windows_BS: np.ndarray) -> np.ndarray:
    """The ids alone, whether they count or not."""
    return np.where(windows_BS < 0, ~windows_BS, windows_BS)


def inputs_and_targets(windows_BS: np.ndarray) -> np.ndarray:
    """int64 [2, B, T]: what the model reads, and what follows each of it, or IGNORE."""
    return np.stack((ids_of(windows_BS)[:, :-1], np.where(windows_BS < 0, IGNORE, windows_BS)[:, 1:]))


def sequences_of(windows_BS: np.ndarray) -> float:
    """How many targets count, in whole sequences: B where all of them do."""
    return float((windows_BS[:, 1:] >= 0).sum()) / (windows_BS.shape[1] - 1)
