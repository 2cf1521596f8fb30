"""The first thing a newcomer runs learns something, and the measure of that can fail."""

from __future__ import annotations

from pathlib import Path

from tests.cli.run import gptmill


def test_quick_beats_token_frequencies_and_does_not_at_learning_rate_zero(tmp_path: Path) -> None:
    words = ["train", "quick", "--warmup_iters=20", "--eval_iters=5", "--json"]
    learned = gptmill(tmp_path, *words, "--max_iters=150").json()
    frozen = gptmill(tmp_path, *words, "--max_iters=30", "--learning_rate=0", "--eval_interval=30").json()
    assert learned["unigram_entropy"] == frozen["unigram_entropy"] > 5
    assert learned["best_val_loss"] < learned["unigram_entropy"] - 0.3
    assert frozen["best_val_loss"] > frozen["unigram_entropy"] - 0.3
    assert frozen["final_train_loss"] > 7 and learned["run_dir"] != frozen["run_dir"]
