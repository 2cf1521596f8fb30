"""Validation text that is also training text is found, all of it and no more, and said where that is worth a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gptmill.data.overlap import BEGINS, PART, SAMPLED, WINDOW, overlap
from gptmill.data.tokens import Tokens
from tests.cli.run import SMALL, gptmill


def ids(n: int, vocab: int, seed: int) -> np.ndarray:
    """Tokens as uneven as words are (Zipf's law)."""
    likely = 1 / np.arange(1, vocab + 1)
    return np.random.default_rng(seed).choice(vocab, size=n, p=likely / likely.sum()).astype(np.uint16)


@pytest.mark.parametrize("vocab", [65, 50_257])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_that_is_in_both_is_found(vocab: int, share: float) -> None:
    train, val = ids(5 * PART + 77, vocab, 0), ids(3 * PART + 5, vocab, 1)
    copied = int(share * len(val))
    val[:copied] = train[1234 : 1234 + copied]
    found = overlap(Tokens(train), Tokens(val))
    assert found.windows == SAMPLED and found.looked_at == 1
    assert found.found / SAMPLED == pytest.approx(share, abs=0.03 if 0 < share < 1 else 0)
    assert (found.notice() is None) == (share == 0)


def test_it_is_what_looking_for_every_window_everywhere_finds() -> None:
    train, val = ids(3000, 65, 0), ids(1500, 65, 1)
    for start in (0, 400, 900):  # copies of 64 tokens and more, and of one less, which does not count
        val[start : start + WINDOW + 5] = train[2 * start + 7 : 2 * start + WINDOW + 12]
    val[700 : 700 + WINDOW - 1] = train[1000 : 1000 + WINDOW - 1]

    def windows(of: np.ndarray) -> set[bytes]:
        return {of[at : at + WINDOW].tobytes() for at in range(len(of) - WINDOW + 1)}

    # the rule, once more: two tokens' hash is a small one; every window here has 8 different tokens
    def begins(window: bytes) -> bool:
        a, b = (int(token) for token in np.frombuffer(window, np.uint16)[:2])
        return (a * 0x9E3779B1 * 0x85EBCA6B + b * 0x9E3779B1) % 2**32 < int(BEGINS)

    wanted = {window for window in windows(val) if begins(window)}
    found = overlap(Tokens(train), Tokens(val))
    assert (found.windows, found.found) == (len(wanted), len(wanted & windows(train))) and found.found > 0


def test_wherever_a_copy_begins_it_is_found_also_across_the_parts_that_are_read() -> None:
    train = ids(2 * PART + 1000, 50_257, 0)
    for start in (0, 1, PART - WINDOW, PART - 1, PART, 2 * PART - 100, len(train) - 300):
        copy = train[start : start + 300]
        assert overlap(Tokens(train), Tokens(copy)).windows == overlap(Tokens(train), Tokens(copy)).found > 0, start


def test_rules_and_blank_lines_are_no_text_and_a_short_split_says_nothing() -> None:
    lines = np.tile(np.arange(7, dtype=np.uint16), 3000)
    assert overlap(Tokens(lines), Tokens(lines)).windows == 0
    assert overlap(Tokens(lines), Tokens(lines[: WINDOW - 1])).notice() is None


def test_of_a_long_text_a_part_is_looked_at_and_that_is_said() -> None:
    train = ids(20 * PART, 50_257, 0)
    found = overlap(Tokens(train), Tokens(train), most=5 * PART)
    assert found.looked_at == pytest.approx(0.25) and found.share > 0.5  # validation is looked at in the same places
    other = overlap(Tokens(train), Tokens(train[7 * PART : 9 * PART]), most=5 * PART)
    assert 0 <= other.found < other.windows
    half = replace(found, windows=4000, found=500)
    assert half.share == pytest.approx(0.5)
    assert half.notice() == (
        "500 of 4,000 sampled validation windows of 64 tokens also occur in the 25% looked at of the training text (so "
        "about 50% of all): the validation loss will flatter; take out what is in both, or choose another text"
    )
    assert replace(half, found=150).notice() is None is replace(half, windows=4, found=3).notice()


def test_prepare_and_train_say_it_and_go_on(tmp_path: Path) -> None:
    line = "the quick brown fox {} jumps over {} lazy dogs while {} others sleep on.\n"
    texts = [line.format(n, n * n, n % 13) for n in range(600)]
    rows = [f'{{"text": "{text.strip()} {text.strip()} {text.strip()}"}}\n' for text in texts]
    (tmp_path / "twice.jsonl").write_text("".join(rows + rows))
    done = gptmill(
        tmp_path, "prepare", "--input", "twice.jsonl", "--tokenizer", "char", "--val_samples", "600", "--json"
    )
    told = done.json()
    assert told["val_windows"] == told["val_windows_in_train"] > 100
    assert (
        "data/twice: " in done.err and "also occur in the training text: the validation loss will flatter" in done.err
    )
    (tmp_path / "once.jsonl").write_text("".join(rows))
    done = gptmill(tmp_path, "prepare", "--input", "once.jsonl", "--tokenizer", "char")
    assert done.code == 0 and "flatter" not in done.err

    bare = tmp_path / "data" / "bare"
    bare.mkdir()
    tokens = (np.arange(9000) ** 2 % 61).astype(np.uint16) + ids(9000, 20, 3)
    tokens.tofile(bare / "train.bin")
    tokens[-2000:].tofile(bare / "val.bin")
    words = [*SMALL[:-1], "--dataset=bare", "--vocab_size=96", "--max_iters=1", "--out_dir=run"]
    trained = gptmill(tmp_path, "train", *words)
    assert trained.code == 0 and trained.err.count("data/bare: ") == 2 and trained.err.count("loss will flatter") == 1
    assert "flatter" not in gptmill(tmp_path, "train", *words, "--max_iters=2", "--resume").err
