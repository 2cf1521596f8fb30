"""The score to beat: what is reached by knowing how often each token occurs, and nothing else."""

from __future__ import annotations

import numpy as np


def unigram_entropy(ids: np.ndarray) -> float:
    """Entropy of the ids' own frequencies [nats/token], the lowest loss of any model that ignores context."""
    counts = np.bincount(ids.ravel())
    share = counts[counts > 0] / ids.size
    return float(-(share * np.log(share)).sum())
