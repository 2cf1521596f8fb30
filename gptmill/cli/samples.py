"""The recorder that has the model write while it trains: the same three beginnings each time, to watch it learn.

The numbers behind the drawing are functions of the seed, the sample and the place in it, so samples of two steps differ
by what was learned in between, and training never sees that they were made.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from gptmill.cli.sampling.batches import BUDGET, sequence_bytes
from gptmill.cli.sampling.prompts import Prompt, start_of_document
from gptmill.data.tokenizers import Tokenizer
from gptmill.errors import GptmillError, UserError
from gptmill.events import Event, Notice, RunStarted, Samples, StepDone
from gptmill.model.generate import generate
from gptmill.model.gpt import GPT
from gptmill.optim.averaging import averaged
from gptmill.parallel.single import Stop
from gptmill.plan.types import Plan
from gptmill.train.state import TrainState

PROMPTS = ("The quick brown fox", "Once upon a time", "In the beginning")


class SampleRecorder:
    """Answers every generate_interval-th step with Samples; a failure is a Notice and never ends the run.

    Args:
        state: its model is in training mode before and after.
        tokenizer: None when the dataset came without one; there is nothing to show then.
        stop: a request to end the run also ends a sample.
    """

    def __init__(self, state: TrainState, tokenizer: Tokenizer | None, plan: Plan, stop: Stop) -> None:
        assert isinstance(state.model, GPT)
        self._model, self._optimizer = state.model, state.optimizer
        self._plan = plan
        self._stop = stop
        self._tokenizer = tokenizer
        self._prompts: list[Prompt] = []
        self._skipped = ""  # characters of the prompts that the tokenizer does not know
        if tokenizer is not None:
            self._vocab_size = min(tokenizer.vocab_size, plan.shape.vocab_size)
            self._prompts = [self._encode(text, tokenizer) for text in PROMPTS]

    def __call__(self, event: Event) -> Iterable[Event]:
        if isinstance(event, RunStarted):
            return [Notice(event.iter, says) for says in self._remarks()]
        if not isinstance(event, StepDone) or event.iter % self._plan.generate_interval or not self._prompts:
            return []
        try:
            with averaged(self._optimizer):
                samples = self._write()
        except (GptmillError, torch.OutOfMemoryError) as error:
            return [Notice(event.iter, f"no samples at step {event.iter}: {str(error).splitlines()[0]}")]
        finally:
            self._model.train()
        return [Samples(event.iter, tuple(samples))] if self._stop.signal is None else []

    def _write(self) -> list[dict[str, str]]:
        assert self._tokenizer is not None
        plan, samples, end = self._plan, [], self._tokenizer.end_of_text
        n = plan.num_generate_samples
        most = max(1, BUDGET // sequence_bytes(plan.shape, plan.generate_max_length))
        for first in range(0, n, most):
            prompts = [self._prompts[i % len(PROMPTS)] for i in range(first, min(n, first + most))]
            rooms = [self._room(prompt) for prompt in prompts]
            written: list[list[int]] = [[] for _ in prompts]
            steps = generate(
                self._model,
                [prompt.ids for prompt in prompts],
                max(rooms),
                seed=plan.seed,
                first=first,
                temperature=plan.temperature,
                top_k=plan.generate_top_k,
                top_p=plan.top_p,
                vocab_size=self._vocab_size,
                end=end,
            )
            for tokens_B in steps:
                if self._stop.signal is not None:
                    return []
                for ids, token in zip(written, tokens_B):
                    if token is not None:
                        ids.append(token)
            for prompt, ids, room in zip(prompts, written, rooms):
                text = self._tokenizer.decode(token for token in ids[:room] if token != end)
                samples.append({"prompt": prompt.text, "text": text})
        return samples

    def _room(self, prompt: Prompt) -> int:
        """Tokens that fit after a prompt."""
        return max(0, self._plan.generate_max_length - len(prompt.ids))

    def _encode(self, text: str, tokenizer: Tokenizer) -> Prompt:
        known = "".join(c for c in text if self._knows(c, tokenizer))
        self._skipped += "".join(c for c in text if c not in known and c not in self._skipped)
        return Prompt(known, [int(i) for i in tokenizer.encode(known)] or [start_of_document(tokenizer)])

    def _knows(self, character: str, tokenizer: Tokenizer) -> bool:
        try:
            return all(i < self._vocab_size for i in tokenizer.encode(character))
        except UserError:
            return False

    def _remarks(self) -> Iterable[str]:
        if self._tokenizer is None:
            yield "no samples: the dataset came without a tokenizer, so ids cannot be turned into text"
        if self._skipped:
            yield f"samples: the tokenizer does not know {self._skipped!r}: left out of the prompts"
        if any(self._room(prompt) == 0 for prompt in self._prompts):
            yield f"samples: generate_max_length={self._plan.generate_max_length} counts the prompt and leaves no room after it"
