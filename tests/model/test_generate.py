"""What is generated: the cache changes nothing, and draws follow the distribution asked for."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from gptmill.errors import GptmillError, UserError
from gptmill.interop.huggingface import gpt2_weights
from gptmill.model.generate import draw, generate, next_token_probabilities, penalized
from gptmill.model.gpt import GPT, build
from gptmill.model.kernels import ATTENTION
from gptmill.shapes import ModelShape
from tests.model.shapes import SMALL, every_combination, label


def lively(shape: ModelShape, seed: int = 1) -> GPT:
    """A model whose next token depends on what came before: initial weights are too small for that."""
    model = build(shape, seed=seed).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.mul_(15)
    return model


def textbook(model: GPT, prompt: list[int], n: int, seed: int, number: int) -> list[int]:
    """nanoGPT's loop: crop to the context, run everything, draw."""
    ids = list(prompt)
    for _ in range(n):
        logits_V = model(torch.tensor([ids[-model.shape.block_size :]]))[0, -1]
        ids.append(draw(torch.softmax(logits_V, 0)[None], seed, len(ids), number)[0])
    return ids[len(prompt) :]


@pytest.mark.parametrize("shape", every_combination(), ids=label)
def test_cached_tokens_are_those_of_the_textbook_loop(shape: ModelShape) -> None:
    """A batch of prompts of three lengths, each beyond the context; each combination by one kernel, drawn for it."""
    kernel = random.Random(label(shape)).choice(sorted(ATTENTION))
    model = lively(replace(shape, attention_backend=kernel))
    prompts = [[3], [1, 4, 1, 5], [9, 2, 6, 5, 3, 5, 8, 9, 7]]
    n = shape.block_size - 1
    columns = zip(*generate(model, prompts, n, seed=7))
    written = [[token for token in column if token is not None] for column in columns]
    assert written == [textbook(model, prompt, n, seed=7, number=b) for b, prompt in enumerate(prompts)]
    assert len({tuple(tokens) for tokens in written}) == 3


def test_the_cache_reads_each_token_once() -> None:
    model = lively(SMALL)
    lengths: list[int] = []
    model.position.register_forward_hook(lambda module, given, result: lengths.append(given[0].shape[1]))
    assert len(list(generate(model, [[1, 2, 3]], 10, seed=0))) == 10
    assert lengths == [3] + [1] * 9


def both() -> tuple[transformers.GPT2LMHeadModel, GPT]:
    """The same weights in Hugging Face's code and in ours."""
    config = transformers.GPT2Config(vocab_size=130, n_positions=48, n_embd=64, n_layer=3, n_head=4, bos_token_id=0)
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(config).double().eval()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.3)
    torch.nn.init.zeros_(theirs.transformer.ln_f.bias)  # else it decides, and every token is the same
    torch.nn.init.normal_(theirs.transformer.wpe.weight, std=2)
    shape = ModelShape(
        n_layer=3, n_head=4, n_embd=64, block_size=48, vocab_size=130, ffn_dim=256, bias=True, activation="gelu_tanh"
    )
    ours = build(shape, seed=1).double()
    ours.load_state_dict(dict(gpt2_weights(theirs.state_dict())), strict=True)
    return theirs, ours


def test_greedy_tokens_equal_hugging_faces() -> None:
    theirs, ours = both()
    prompt = [5, 100, 77]
    expected = theirs.generate(
        torch.tensor([prompt]), max_new_tokens=40, do_sample=False, pad_token_id=0, eos_token_id=None
    )
    written = [tokens[0] for tokens in generate(ours, [prompt], 40, seed=0, temperature=0.0)]
    assert prompt + written == expected[0].tolist()


def test_every_sequence_ends_where_hugging_faces_does_and_the_last_end_ends_the_work() -> None:
    theirs, ours = both()
    prompts, end = [[5, 100, 77], [8], [9, 2, 6, 5], [30, 31]], 60
    steps = list(generate(ours, prompts, 30, seed=0, temperature=0.0, end=end))
    found = [[token for token in column if token is not None] for column in zip(*steps)]
    for prompt, tokens in zip(prompts, found):
        expected = theirs.generate(
            torch.tensor([prompt]), max_new_tokens=30, do_sample=False, pad_token_id=0, eos_token_id=end
        )
        assert prompt + tokens == expected[0].tolist()
    assert len({len(tokens) for tokens in found}) > 2 and all(tokens[-1] == end for tokens in found)
    last = max(len(prompt) + len(tokens) for prompt, tokens in zip(prompts, found))
    assert len(steps) == last - min(map(len, prompts))


@pytest.mark.parametrize("top_k", [None, 1, 3, 50])
@pytest.mark.parametrize("top_p", [None, 0.2, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_filtered_probabilities_equal_hugging_faces(top_k: int | None, top_p: float | None, temperature: float) -> None:
    logits_BV = torch.randn(6, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    warpers: list[transformers.LogitsProcessor] = [transformers.TemperatureLogitsWarper(temperature)]
    if top_k is not None:
        warpers.append(transformers.TopKLogitsWarper(top_k))
    if top_p is not None:
        warpers.append(transformers.TopPLogitsWarper(top_p))
    expected_BV = logits_BV
    for warper in warpers:
        expected_BV = warper(None, expected_BV)
    ours_BV = next_token_probabilities(logits_BV, temperature=temperature, top_k=top_k, top_p=top_p)
    torch.testing.assert_close(ours_BV, expected_BV.softmax(-1), rtol=1e-12, atol=1e-12)


def test_draws_have_the_frequencies_asked_for() -> None:
    p_V = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05])
    n = 20_000
    counts = np.bincount([draw(p_V.repeat(100, 1), 3, place)[b] for place in range(n // 100) for b in range(100)])
    assert counts[1] == 0
    for count, p in zip(counts, p_V.tolist()):
        assert abs(count - n * p) <= 4 * math.sqrt(n * p * (1 - p))


def test_a_sample_is_the_same_alone_and_in_a_batch() -> None:
    model = lively(SMALL)
    together = list(zip(*generate(model, [[1, 2]] * 5, 12, seed=3)))
    alone = [next(zip(*generate(model, [[1, 2]], 12, seed=3, first=b))) for b in range(5)]
    assert together == alone
    assert len(set(together)) == 5


def test_padding_of_the_vocabulary_is_never_drawn() -> None:
    model = build(SMALL, seed=1)
    drawn = [token for tokens in generate(model, [[0]] * 20, 30, seed=0, vocab_size=5) for token in tokens]
    assert max(filter(None, drawn)) == 4


def test_weights_that_are_not_numbers_are_reported() -> None:
    model = build(SMALL, seed=1)
    torch.nn.init.constant_(model.norm_f.weight, math.nan)
    with pytest.raises(GptmillError, match="not a number"):
        list(generate(model, [[1]], 3, seed=0))


def test_more_tokens_than_the_context_are_refused_in_one_line() -> None:
    model = build(SMALL, seed=1)
    with pytest.raises(UserError, match="17 tokens: the context holds block_size=16"):
        model(torch.zeros(1, 17, dtype=torch.long))


@pytest.mark.parametrize("penalty", [1.0, 1.3, 0.7])
def test_the_repetition_penalty_is_hugging_faces(penalty: float) -> None:
    torch.manual_seed(0)
    logits_BV, ids_BT = torch.randn(3, 20), torch.randint(20, (3, 7))
    theirs = transformers.RepetitionPenaltyLogitsProcessor(penalty)(ids_BT, logits_BV.clone())
    assert torch.equal(penalized(logits_BV, ids_BT, penalty), theirs)
