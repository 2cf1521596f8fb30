"""Where a run may end: a scaling law, for what it was fitted to and nothing else."""

from __future__ import annotations

from gptmill.plan.types import Plan

# L(N, D) = E + A / N^a + B / D^b: Hoffmann et al. 2022, arXiv:2203.15556, approach 3, fitted again by Besiroglu et al. 2024,
# arXiv:2404.10102, whose correction is used
E, A, B, ALPHA, BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658
# The law is of another text and tokenizer. GPT-2 124M ends above it on web text in GPT-2's tokens: by 9% after 10B
# tokens of FineWeb (3.28, github.com/karpathy/llm.c discussion 481), by 6% on OpenWebText (2.85, nanoGPT's readme)
ABOVE = 1.10
PARAMS, VOCABULARY = (44e6, 16e9), (32_000, 52_000)  # of the models it was fitted to; tokenizers of about its size
PER_PARAMETER = (1, 2500)  # tokens
REPEATS = 4  # that are as good as new text: Muennighoff et al. 2023, arXiv:2305.16264
WEB_TEXT = ("openwebtext", "fineweb", "slimpajama")


def expected_loss(plan: Plan) -> tuple[float, float] | None:
    """Validation loss at the end of the run, from and to [nats/token]; None where the law says nothing.

    It says nothing of small models, short or much repeated text, other text than the web's, and other vocabularies.
    """
    N, D = plan.params, plan.total_tokens
    known = (
        PARAMS[0] <= N <= PARAMS[1]
        and VOCABULARY[0] <= plan.shape.vocab_size <= VOCABULARY[1]
        and PER_PARAMETER[0] <= D / N <= PER_PARAMETER[1]
        and plan.dataset.startswith(WEB_TEXT)
        and plan.epochs is not None
        and plan.epochs <= REPEATS
    )
    return (law(N, D), ABOVE * law(N, D)) if known else None


def law(params: float, tokens: float) -> float:
    """Loss [nats/token] of a model of this size after this many tokens, each seen once."""
    return E + A / params**ALPHA + B / tokens**BETA
