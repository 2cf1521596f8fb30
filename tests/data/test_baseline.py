"""The unigram baseline against distributions whose entropy is known in closed form."""

import math
from pathlib import Path

import numpy as np
import pytest

from gptmill.data.baseline import cross_entropy, unigram_loss
from gptmill.data.shards import open_tokens
from gptmill.shapes import ModelShape
from tests.data.toys import bare


def test_known_distributions() -> None:
    assert cross_entropy(np.tile(np.arange(50), 7), np.array([3, 49]), 50) == pytest.approx(math.log(50))
    # 0 was seen 3 times and 1 once: 4/6 and 2/6 with one more of each
    assert cross_entropy(np.array([0, 0, 0, 1]), np.array([[0, 1]]), 2) == pytest.approx(
        -(math.log(4 / 6) + math.log(2 / 6)) / 2
    )
    assert cross_entropy(np.array([0, 0]), np.array([1]), 2) == pytest.approx(math.log(4))  # never seen: 1 of 4


def test_it_does_not_depend_on_how_few_tokens_are_judged(tmp_path: Path) -> None:
    """The entropy of the judged tokens' own frequencies would: it can never exceed the log of their number."""
    bare(tmp_path / "d", train=np.random.default_rng(0).integers(5000, size=400_000).tolist(), val=list(range(100)))
    tokens = open_tokens(tmp_path / "d" / "train.bin")
    shape = ModelShape(block_size=64, vocab_size=5000)
    for few in (20, 200):
        judged = np.random.default_rng(1).integers(5000, size=few)
        assert unigram_loss(tokens, judged, shape) == pytest.approx(math.log(5000), rel=0.01)
