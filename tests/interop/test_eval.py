"""``gptmill eval``: the perplexity that Hugging Face's model gives on the exported weights, whatever the stride."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from gptmill.model.gpt import build
from gptmill.model.scoring import score, windows
from gptmill.shapes import ModelShape
from tests.cli.run import SMALL, gptmill, prepare_tiny
from tests.interop.theirs import CONTEXT, model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run named ``out`` with its exported weights in ``hf``, beside the text it was trained on."""
    here = tmp_path_factory.mktemp("eval")
    prepare_tiny(here)
    assert gptmill(here, "train", *SMALL, "--out_dir=out").code == 0
    assert gptmill(here, "export", "--run", "out", "--out", "hf").code == 0
    return here


def evaluated(folder: Path, *words: str) -> dict[str, Any]:
    return gptmill(folder, "eval", "--run", "out", "--device=cpu", "--json", *words).json()


def their_loss(folder: Path, ids: list[int], block_size: int, stride: int) -> float:
    """Hugging Face's recipe for a fixed-length model: slide a window, count only what no earlier window counted.

    Source: https://huggingface.co/docs/transformers/perplexity. A window here reads one token more, the target of its last.
    """
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "hf").eval().double()
    total, counted = 0.0, 0
    for begin in range(0, len(ids) - 1, stride):
        end = min(begin + block_size, len(ids) - 1)
        new = end - counted
        if new <= 0:
            break
        with torch.no_grad():
            logits = theirs(torch.tensor([ids[begin:end]])).logits[0]
        targets = torch.tensor(ids[begin + 1 : end + 1])
        total += torch.nn.functional.cross_entropy(logits[-new:], targets[-new:], reduction="sum").item()
        counted = end
    return total / counted


@pytest.mark.parametrize("stride", [16, 8, 5])
def test_perplexity_is_hugging_faces_on_the_exported_weights(stride: int, folder: Path) -> None:
    ids = np.fromfile(folder / "data/tiny/val.bin", dtype=np.uint16).tolist()
    ours = evaluated(folder, "--stride", str(stride))
    theirs = their_loss(folder, ids, 16, stride)
    assert ours["tokens"] == len(ids) - 1
    assert abs(ours["loss"] - theirs) < 5e-6
    assert f"{ours['perplexity']:.4f}" == f"{math.exp(theirs):.4f}"


def test_bits_per_byte_are_the_same_nats_over_the_bytes_of_the_text(folder: Path) -> None:
    text = "7 green bottles hanging on the wall\n" * 5
    (folder / "letter.txt").write_text(text)
    found = evaluated(folder, "--input", "letter.txt")
    assert (found["tokens"], found["bytes"]) == (len(text) - 1, len(text.encode()) - 1)
    assert math.isclose(found["bits_per_byte"], found["loss"] * found["tokens"] / math.log(2) / found["bytes"])


def test_a_document_does_not_see_the_one_before_it(tmp_path: Path) -> None:
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 32, "vocab_size": 257}
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).eval()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.3)
    theirs.save_pretrained(tmp_path / "theirs")
    texts = {"a.txt": "abcabc", "b.txt": "zz yy xx"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert gptmill(tmp_path, "import", "theirs", "--out", "out", "--tokenizer=byte").code == 0
    alone = 0.0
    for text in texts.values():
        ids = torch.tensor([256, *text.encode(), 256])
        with torch.no_grad():
            logits = theirs(ids[None, :-1]).logits[0]
        alone += torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum").item()
    for order in (["a.txt", "b.txt"], ["b.txt", "a.txt"]):
        found = evaluated(tmp_path, "--documents", "--input", *order)
        assert (found["documents"], found["tokens"], found["bytes"]) == (2, 6 + 8 + 2, 6 + 8)
        assert math.isclose(found["loss"] * found["tokens"], alone, rel_tol=1e-5)
    together = evaluated(tmp_path, "--input", "a.txt", "b.txt")
    assert together["documents"] is None and together["tokens"] == 6 + 1 + 8 - 1


def test_of_examples_only_completions_are_measured(tmp_path: Path) -> None:
    theirs = model("gpt2", vocab_size=257)
    theirs.save_pretrained(tmp_path / "hf")
    lines = [{"prompt": f"{n}+{n}=", "response": f"{2 * n}, {'yes' * (n % 4)}"} for n in range(60)]
    (tmp_path / "ex.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert gptmill(tmp_path, "prepare", "--input", "ex.jsonl", "--tokenizer=byte", "--completions").code == 0
    assert gptmill(tmp_path, "import", "hf", "--out", "out", "--tokenizer=byte").code == 0
    ids, mask = (np.fromfile(tmp_path / f"data/ex/train.{kind}", t) for kind, t in (("bin", "<u2"), ("mask", "u1")))
    labels = np.where(mask == 1, ids.astype(np.int64), -100)
    total = 0.0
    for begin in range(0, len(ids) - 1, CONTEXT):
        x_T, y_T = (torch.tensor(part.astype(np.int64)) for part in (ids[begin : begin + CONTEXT], labels[begin + 1 :]))
        logits = theirs(x_T[None]).logits[0, : len(y_T)].detach()
        total += torch.nn.functional.cross_entropy(logits, y_T[: len(x_T)], reduction="sum", ignore_index=-100).item()
    words = ("--dataset", "ex", "--split", "train")
    found = evaluated(tmp_path, *words)
    assert found["tokens"] == mask[1:].sum() < found["read_tokens"] == len(ids) - 1
    assert math.isclose(found["loss"], total / mask[1:].sum(), rel_tol=2e-6)
    page = gptmill(tmp_path, "eval", "--run", "out", "--device=cpu", *words).out
    assert f"{mask[1:].sum():,} tokens that count of" in page


def test_an_imported_model_asks_for_a_text_and_a_tokenizer(tmp_path: Path) -> None:
    model("gpt2").save_pretrained(tmp_path / "hf")
    done = gptmill(tmp_path, "import", "hf", "--out", "out", "--tokenizer=byte")
    assert done.code == 2 and done.err.count("\n") == 1 and not (tmp_path / "out").exists()
    assert all(says in done.err for says in ("--tokenizer byte", "257", "130", "leave --tokenizer out"))
    done = gptmill(tmp_path, "import", "hf", "--out", "out")
    assert done.code == 0 and "try it" not in done.err
    for command in ("eval", "sample"):
        done = gptmill(tmp_path, command, "--run", "out")
        assert done.code == 2 and done.err.count("\n") == 1
        assert "was imported without a tokenizer" in done.err and "--tokenizer NAME" in done.err
    model("gpt2", vocab_size=257).save_pretrained(tmp_path / "hf")
    again = ("import", "hf", "--out", "out", "--tokenizer=byte")
    done = gptmill(tmp_path, *again)
    assert done.code == 2 and done.err.count("\n") == 1 and "--overwrite" in done.err and "--resume" not in done.err
    assert gptmill(tmp_path, *again, "--overwrite").code == 0
    done = gptmill(tmp_path, "eval", "--run", "out")
    assert done.code == 2 and done.err.count("\n") == 1
    assert "was imported, so no text belongs to it" in done.err and "openwebtext" not in done.err


@pytest.mark.parametrize(
    ("n", "T", "stride"), [(2, 4, 4), (5, 4, 4), (6, 4, 4), (40, 7, 3), (40, 7, 7), (3, 7, 2), (40, 7, 1)]
)
def test_every_token_is_scored_once_with_the_context_that_the_stride_leaves(n: int, T: int, stride: int) -> None:
    seen: list[int] = []
    for window in windows(n, T, stride):
        end = min(window.begin + T, n - 1)
        new = range(end - window.scored + 1, end + 1)
        assert all(token - window.begin >= min(token, T - stride + 1) for token in new)
        seen += new
    assert seen == list(range(1, n))


def test_batches_of_windows_and_single_ones_add_up_to_the_same() -> None:
    shape = ModelShape(n_layer=1, n_head=2, n_embd=16, block_size=8, vocab_size=32, ffn_dim=32)
    ours = build(shape, seed=0)
    ids = np.random.default_rng(0).integers(32, size=60)
    alone = sum(
        torch.nn.functional.cross_entropy(
            ours(torch.from_numpy(ids[begin : begin + 8])[None])[0, : len(ids) - 1 - begin].detach(),
            torch.from_numpy(ids[begin + 1 : begin + 9]),
            reduction="sum",
        ).item()
        for begin in range(0, 59, 8)
    )
    assert abs(score(ours, ids, 8, "cpu") - alone) < 1e-3


WRONG = {
    "stride": (["--stride", "17"], 2, "--stride 17"),
    "both": (["--dataset", "tiny", "--input", "tiny.txt"], 2, "not both"),
    "no dataset": (["--dataset", "nowhere"], 2, "nowhere"),
    "documents": (["--documents"], 2, "--documents"),
    "two models": (["--init_from", "gpt2"], 2, "--init_from"),
    "an empty text": (["--input", "empty.txt"], 3, "no token"),
    "a stranger": (["--input", "stranger.txt"], 2, "U+00E9"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_one_line(what: str, folder: Path) -> None:
    (folder / "empty.txt").write_text("")
    (folder / "stranger.txt").write_text("hé")
    words, code, says = WRONG[what]
    done = gptmill(folder, "eval", "--run", "out", "--device=cpu", *words)
    assert (done.code, done.out) == (code, "") and done.err.count("\n") == 1 and says in done.err, done.err


def test_the_page_and_the_json_say_the_same(folder: Path) -> None:
    found = evaluated(folder)
    page = gptmill(folder, "eval", "--run", "out", "--device=cpu").out
    assert f"loss           {found['loss']:.4f}" in page and f"perplexity     {found['perplexity']:.4f}" in page
    assert json.dumps(found, allow_nan=False)
