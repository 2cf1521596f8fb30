"""Everything that changes while training. What is not here is a function of the plan and ``sequences``."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from gptmill.optim.pruning.pruner import Pruner
from gptmill.train.early_stop import EarlyStop
from gptmill.train.spikes import Recent


@dataclass
class TrainState:
    """The run's memory: weights, optimizer moments and a few numbers. Saved and restored whole.

    Args:
        model: the plain module; a compiled or wrapped view of it is never stored, so names stay canonical.
        scaler: fp16 only.
        pruner: masks over the weights, where the run prunes.
        iter: optimizer steps taken.
        sequences: training sequences consumed; with the seed it decides which data comes next and every dropout mask.
        tokens: training tokens consumed.
        evaluated: ``iter`` at the latest evaluation, so that resuming does not repeat it; -1 before the first.
        early_stop: what early stopping remembers of the evaluations so far.
        recent: what the guards remember of the steps so far.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None = None
    pruner: Pruner | None = None
    iter: int = 0
    sequences: int = 0
    tokens: int = 0
    best_val_loss: float | None = None
    evaluated: int = -1
    early_stop: EarlyStop = field(default_factory=EarlyStop)
    recent: Recent = field(default_factory=Recent)
