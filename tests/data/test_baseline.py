"""The unigram baseline against distributions whose entropy is known in closed form."""

import math

import numpy as np
import pytest

from gptmill.data.baseline import unigram_entropy


def test_known_distributions() -> None:
    assert unigram_entropy(np.tile(np.arange(50), 7)) == pytest.approx(math.log(50))
    assert unigram_entropy(np.full((3, 4), 9)) == 0.0
    assert unigram_entropy(np.array([0, 0, 0, 5])) == pytest.approx(math.log(4) - 0.75 * math.log(3))
