"""What state.json may hold: the types and ranges of the numbers that a run saves, checked before they are believed.

A hash shows that a file is the one that was saved, not that whoever saved it was a run of ours.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gptmill.errors import CheckpointError
from gptmill.train.early_stop import EarlyStop
from gptmill.train.spikes import Recent

MOST = 10**18  # sequences and tokens; numpy counts the former in 64 bits
Total = Annotated[int, Field(ge=0, le=MOST)]
Pair = Annotated[list[Total], Field(min_length=2, max_length=2)]


class _Numbers(BaseModel):
    """state.json as ``members.numbers_of`` makes it."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    iter: Total
    sequences: Total
    tokens: Total
    best_val_loss: float | None
    evaluated: Annotated[int, Field(ge=-1, le=MOST)]
    early_stop: EarlyStop
    recent: Recent
    passed: list[Pair] = Field(alias="recent.passed")
    scaler: dict[str, float | int] | None


def check_numbers(path: Path, saved: Any) -> None:
    """Raise CheckpointError where a value is none that a run saves; names the first one.

    Args:
        saved: state.json, parsed.
    """
    try:
        # a dataclass of lists says nothing of their length, so pairs are held against a type of their own; as JSON,
        # because strictly taken an object is no dataclass
        _Numbers.model_validate_json(json.dumps({**saved, "recent.passed": saved["recent"]["passed"]}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path / 'state.json'}: {where}: {first['msg']}; no run of ours saved it") from None
    except (KeyError, TypeError):
        raise CheckpointError(f"{path / 'state.json'}: not what a run of ours saves") from None
