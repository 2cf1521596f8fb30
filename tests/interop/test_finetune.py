"""Finetuning end to end, as the guide prints it: a foreign model in, a few steps, resumed, measured, sampled, and out again."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tests.cli.run import gptmill
from tests.interop import theirs

PAGE = (Path(__file__).parents[2] / "docs/guide/finetune.md").read_text()
FEW = ["--device=cpu", "--batch_size=2", "--gradient_accumulation_steps=2", "--eval_iters=4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GPT-2 medium of transformers' own, and questions with answers."""
    here = tmp_path_factory.mktemp("finetune")
    theirs.model("gpt2-medium", vocab_size=257).save_pretrained(here / "models/gpt2")
    lines = [{"prompt": f"Question: what is {n} plus 3? Answer:", "response": f" {n + 3}"} for n in range(150)]
    (here / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return here


def test_the_guides_commands_learn_the_answers(folder: Path) -> None:
    section = PAGE.split("## On prompts and responses")[1]
    words = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^    (gptmill .*)$", section, re.MULTILINE)]
    assert [command[0] for command in words] == ["import", "prepare", "train", "eval", "sample", "export"]
    steps = [*FEW, "--max_iters=40", "--eval_interval=20", "--warmup_iters=0", "--learning_rate=1e-2"]
    steps += ["--generate_interval=20", "--generate_max_length=80", "--num_generate_samples=3"]
    more = {"import": ["--tokenizer=byte"], "train": steps, "eval": ["--json"], "sample": ["--max_new_tokens=4"]}
    done = {command[0]: gptmill(folder, *command, *more.get(command[0], [])) for command in words}
    assert {name: found.code for name, found in done.items()} == dict.fromkeys(done, 0), done
    assert "count, prompts are only read" in done["prepare"].out
    before = gptmill(folder, "eval", "--run", "base", "--dataset", "questions", "--json").json()
    after = json.loads(done["eval"].out)
    assert after["loss"] < before["loss"] and after["tokens"] == before["tokens"] < after["read_tokens"]
    lines = [json.loads(line) for line in (folder / "out-answers/metrics.jsonl").read_text().splitlines()]
    shown = [sample["text"] for line in lines if line["event"] == "samples" for sample in line["samples"]]
    assert len(shown) == 6 and not any("<|endoftext|>" in text for text in shown), "what training shows ends there too"
    likeliest = (*words[4][:-2], "--prompt=Question:", "--temperature=0", "--max_new_tokens=30", "--json")
    ids = gptmill(folder, *likeliest).json()["samples"][0]["ids"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "answers-hf")
    prompt_BT = torch.tensor([list(b"Question:")])
    theirs_T = model.generate(prompt_BT, do_sample=False, max_new_tokens=30, pad_token_id=0)[0, prompt_BT.shape[1] :]
    assert ids == theirs_T.tolist()
    assert ids[-1] == model.generation_config.eos_token_id == 256 and len(ids) < 30, "both stop at the end of text"


def test_finetune_gpt2_medium_resumes_bit_for_bit_and_goes_out_with_the_loss_it_had(folder: Path) -> None:
    assert (
        gptmill(
            folder, "prepare", "--input", "questions.jsonl", "--text_key=prompt", "--name=mine", "--tokenizer=byte"
        ).code
        == 0
    )
    run = ["train", "finetune_gpt2_medium", "--init_from=models/gpt2", "--dataset=mine", "--learning_rate=3e-3", *FEW,
           "--eval_interval=2"]  # fmt: skip
    straight = gptmill(folder, *run, "--max_iters=6", "--out_dir=straight", "--json").json()
    assert gptmill(folder, *run, "--max_iters=3", "--out_dir=halves").code == 0
    halves = gptmill(folder, "train", "--resume", "--out_dir=halves", "--max_iters=6", "--json").json()
    assert halves["weights_sha256"] == straight["weights_sha256"]
    assert gptmill(folder, "import", "models/gpt2", "--out", "start", "--tokenizer=byte").code == 0
    evaluation = ("--dataset=mine", "--json", "--device=cpu")
    found = gptmill(folder, "eval", "--run", "straight", *evaluation).json()
    assert found["loss"] < gptmill(folder, "eval", "--run", "start", *evaluation).json()["loss"]
    assert gptmill(folder, "sample", "--run", "halves", "--max_new_tokens=3").code == 0
    assert gptmill(folder, "export", "--run", "straight", "--out", "hf").code == 0
    ids = np.fromfile(folder / "data/mine/val.bin", np.uint16).astype(np.int64)
    ids_T = torch.from_numpy(ids[: theirs.CONTEXT + 1])
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "hf")
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(ids_T[None, :-1]).logits[0], ids_T[1:]).item()
    window = gptmill(folder, "eval", "--run", "straight", *evaluation, f"--max_tokens={theirs.CONTEXT}").json()
    assert math.isclose(window["loss"], loss, rel_tol=1e-5)
