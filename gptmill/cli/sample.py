"""``gptmill sample``: text from a trained run, shown while it is made."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from gptmill.cli.device import autocast, find_device, usable_device
from gptmill.cli.models import choose
from gptmill.cli.own_parts import Import, import_parts
from gptmill.cli.sampling.batches import Speed, generate_batches
from gptmill.cli.sampling.conversation import converse
from gptmill.cli.sampling.prompts import Prompt, check_ids, encode, read_text
from gptmill.cli.sampling.request import Asked, settle
from gptmill.cli.sampling.writer import Writer, show, text_of
from gptmill.cli.say import say
from gptmill.data.tokenizers import Tokenizer
from gptmill.errors import UserError

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
# empty = not given; name_transform keeps nanoGPT's underscores in messages; values are checked in request.py
Text = Annotated[str, Parameter(name_transform=str, show_default=False)]


def sample(
    *configs: str,
    run: Annotated[Text, Parameter(name=["--run", "--out_dir"])] = "",
    prompt: Annotated[list[str] | None, Parameter(name=["--prompt", "--start"], negative="")] = None,
    max_new_tokens: Text = "",
    num_samples: Text = "",
    temperature: Text = "",
    top_k: Text = "",
    top_p: Text = "",
    repetition_penalty: Text = "",
    stop: Annotated[bool | None, Parameter(show_default=False)] = None,
    seed: Text = "",
    device: Text = "",
    dtype: Text = "",
    init_from: Text = "",
    compile: Annotated[bool | None, Parameter(show_default=False)] = None,
    interactive: Flag = False,
    json: Flag = False,
    nanogpt: Flag = False,
    import_: Import = None,
) -> None:
    """Generate text with a run's best checkpoint, or with another model.

    Parameters
    ----------
    configs
        Config files with some of these settings; flags win, and keys of training are passed over.
    run
        Run folder; without it, the newest one named out* here.
    prompt
        Text to go on from, or FILE:PATH; may be given several times. Without it, the start of a document.
    max_new_tokens
        Tokens to generate per sample (200).
    num_samples
        Samples per prompt (1). Sample k is the same however many there are.
    temperature
        Below 1 plays safe, above 1 takes risks, 0 always takes the likeliest token (0.8).
    top_k
        Draw only from the k likeliest tokens; None = from all (200).
    top_p
        Draw only from the likeliest tokens that together reach this probability; None = from all.
    repetition_penalty
        Above 1, tokens that stand in the context already are less likely to come again (1).
    stop
        Let a sample end where the model writes the end of text (yes); --no-stop goes on past it.
    seed
        The same seed gives the same text (1337).
    device
        auto, cpu, cuda, cuda:N, mps (auto).
    dtype
        float32, bfloat16, float16; auto = float32: with the others, num_samples can change a sample.
    init_from
        A model that is no run: gpt2, gpt2-medium, gpt2-large, gpt2-xl, a folder, OWNER/NAME on the Hub; or resume.
    compile
        Accepted, without effect.
    interactive
        Ask for prompts, one line each, until the end of input; in place of --prompt.
    json
        Print one JSON object on stdout instead of the text.
    nanogpt
        nanoGPT's defaults: 10 samples of 500 tokens after a line break, past any end of text.
    import_
        A Python module with parts of your own that the run was trained with.
    """
    written: dict[str, object] = {
        "max_new_tokens": max_new_tokens, "num_samples": num_samples, "temperature": temperature, "top_k": top_k,
        "top_p": top_p, "repetition_penalty": repetition_penalty, "seed": seed, "device": device, "dtype": dtype, "init_from": init_from, "run": run,
    }  # fmt: skip
    flags = {name: text for name, text in written.items() if text != ""}
    flags |= {
        name: value for name, value in (("prompt", prompt), ("compile", compile), ("stop", stop)) if value is not None
    }
    if interactive and (json or prompt is not None):
        raise UserError(f"--interactive: asks for prompts and shows text; leave {'--json' if json else '--prompt'} out")
    asked = settle(flags, configs, nanogpt=nanogpt)
    answer(asked, import_, Writer(sys.stdout) if not json else None, interactive=interactive)


def answer(asked: Asked, modules: list[str] | None, writer: Writer | None, *, interactive: bool = False) -> None:
    """Carry out a request; without a writer, as JSON. What can be wrong with it is found before torch is imported."""
    request, demanded = asked.request, "device" in asked.flags
    device = find_device(request.device, demanded=demanded)
    texts = [read_text(given) for given in request.start]
    chosen = choose(request.out_dir, asked.model)
    tokenizer = chosen.tokenizer
    prompts = [encode(given, text, tokenizer) for given, text in zip(request.start, texts)]
    opened = chosen.open()
    check_ids(prompts, opened.shape.vocab_size)
    say(*remarks(asked, prompts, opened.shape.block_size, tokenizer))
    import_parts(modules)
    device = usable_device(device, demanded=demanded and request.device != "auto")
    model = opened.load(device)

    if interactive and writer is not None:
        converse(model, request, tokenizer, writer, device)
        return
    total = Speed()
    samples: list[dict[str, object]] = []
    try:
        with autocast(device, request.dtype):
            for number, prompt in enumerate(prompts, 1):
                speed = Speed()
                for batch in generate_batches(model, prompt.ids, request, tokenizer, speed):
                    for ids in show(batch, prompt, tokenizer, writer):
                        if writer is None:
                            samples.append(
                                {"prompt": prompt.text, "text": tokenizer.decode(text_of(ids, batch)), "ids": ids}
                            )
                total += speed
                if len(prompts) > 1:
                    say(f"prompt {number} of {len(prompts)}: {speed}")
    finally:
        if writer is not None:
            writer.end()  # interrupted: the terminal goes on in a line of its own
    if writer is None:
        settings = request.model_dump(include={"seed", "temperature", "top_k", "top_p", "repetition_penalty", "stop"})
        result = {"run": chosen.name, "step": opened.step, **settings, "samples": samples}
        print(json_format.dumps({**result, "tokens_per_second": total.tokens_per_second}, allow_nan=False))
    say(str(total))


def remarks(asked: Asked, prompts: list[Prompt], block_size: int, tokenizer: Tokenizer) -> Iterator[str]:
    """What a person may not expect, one line each."""
    for number, prompt in enumerate(prompts, 1):
        if len(prompt.ids) > block_size:
            name = f"prompt {number}" if len(prompts) > 1 else "the prompt"
            yield f"{name} has {len(prompt.ids):,} tokens; the model reads the last {block_size:,} (block_size)"
    if asked.request.stop and "stop" in asked.flags and tokenizer.end_of_text is None:
        yield f"--stop: no effect: {tokenizer.name} tokens have no end of text"
    if asked.request.compile is True:
        yield "compile=True: no effect: a step of one token is not compiled"
