"""How much memory and time it takes to have GPT-2 XL in memory as float32, from a folder in Hugging Face's layout.

    python -m benchmarks.loading [--size gpt2-xl] [--folder DIR]

Each way in a process of its own: ours (one tensor at a time into an empty model), transformers' from_pretrained, and nanoGPT's
(from_pretrained, then copied into a model of its own). Weights are random; the folder takes 6.2 GB. Peak memory is the most
that the process held (ru_maxrss), mapped files included, until every weight was read once: a file that is only mapped
takes its memory when it is used. Results: benchmarks/results/loading.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "loading.json"
WAYS = ("gptmill", "transformers", "nanogpt")


def write(folder: Path, size: str) -> int:
    """A folder with random weights; returns their bytes."""
    import torch

    from gptmill.interop.architecture import PUBLISHED, config_of
    from gptmill.interop.huggingface import as_gpt2
    from gptmill.model.gpt import GPT
    from gptmill.train.tensorfile import write_tensors

    shape = PUBLISHED[size]
    with torch.device("meta"):
        named = {name: tuple(weight.shape) for name, weight in GPT(shape).named_parameters()}
    ours = {name: torch.empty(wanted).normal_(std=0.02) for name, wanted in named.items()}
    write_tensors(folder / "model.safetensors", dict(as_gpt2(ours, shape)), {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config_of(shape, 50256)))
    return sum(weight.nbytes for weight in ours.values())


def load(way: str, folder: Path) -> dict[str, float]:
    """In this process; the difference to a process that has imported as much and loaded nothing."""
    import torch

    if way == "gptmill":
        from gptmill.cli.pretrained import find, load_into
        from gptmill.model.gpt import build
    else:
        import transformers

        transformers.GPT2LMHeadModel  # noqa: B018 - imported when it is looked at
    before = peak()
    began = time.perf_counter()
    if way == "gptmill":
        model: torch.nn.Module = build(find(str(folder)).shape, seed=None)
        load_into(model, str(folder))
    else:
        model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    if way == "nanogpt":
        from gptmill.cli.pretrained import find
        from gptmill.interop.huggingface import gpt2_weights
        from gptmill.model.gpt import build

        theirs = model.state_dict()  # as nanoGPT's from_pretrained: into a model of random weights, tensor by tensor
        model = build(find(str(folder)).shape, seed=0)
        model.load_state_dict(dict(gpt2_weights(theirs)))
    sum_ = sum(float(weight.detach().sum(dtype=torch.float64)) for weight in model.parameters())
    return {"peak_bytes": peak(), "before_bytes": before, "seconds": time.perf_counter() - began, "sum": sum_}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="gpt2-xl")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--way", choices=WAYS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(load(given.way, given.folder)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        # in a process of its own: what it takes is not the loader's
        n_bytes = int(subprocess.run(
            [sys.executable, "-c", f"from benchmarks.loading import *; print(write(Path({name!r}), {given.size!r}))"],
            check=True, capture_output=True, text=True,
        ).stdout)  # fmt: skip
        found: dict[str, dict[str, float]] = {}
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.loading", "--way", way, "--folder", name]
            found[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            found[way]["peak_over_weights"] = round(found[way]["peak_bytes"] / n_bytes, 3)
            print(
                f"{way:<13} {found[way]['peak_over_weights']:.2f} x the weights, {found[way]['seconds']:.1f} s",
                flush=True,
            )
        assert len({round(ways["sum"], 3) for ways in found.values()}) == 1, "not the same weights"
    from gptmill.plan.hardware import detect_machine

    machine = {"cpu": detect_machine("cpu").name, "load": os.getloadavg()[0], "python": platform.python_version()}
    if given.size == "gpt2-xl":  # others are for a quick look
        RESULT.write_text(
            json.dumps({"size": given.size, "weights_bytes": n_bytes, "machine": machine, "ways": found}, indent=1)
            + "\n"
        )


if __name__ == "__main__":
    main()
