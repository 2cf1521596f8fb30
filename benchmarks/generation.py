"""New tokens per second beside nanoGPT's and transformers' ``generate``: same weights, same draw, 256 tokens after one.

    python -m benchmarks.generation --nanogpt PATH_TO_A_NANOGPT_CHECKOUT [--rounds 5]

The three take turns, each time in a process of its own, in float32; loading and the first 8 tokens are not counted. nanoGPT's is
what its sample.py calls. Machines are noisy, so only the ratio of medians from one run means anything. That all of them
have the same weights is seen from 32 tokens of the likeliest kind. Results: benchmarks/results/generation_cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "generation_cpu.json"
SIDES = ("nanogpt", "transformers", "gptmill")
NEW, CHECKED, WARMUP = 256, 32, 8
TEMPERATURE, TOP_K = 0.8, 200  # as nanoGPT's and our sample draw
SIZES = {
    "10M": {"n_layer": 6, "n_head": 6, "n_embd": 384, "n_positions": 512, "vocab_size": 65},
    "51M": {"n_layer": 8, "n_head": 8, "n_embd": 512, "n_positions": 1024, "vocab_size": 50257},
}
START = 1  # the id that every text begins with


def write(folder: Path, size: dict[str, int]) -> None:
    """The same random model as a folder of transformers', a run of gptmill's and a checkpoint of nanoGPT's."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(**size, activation_function="gelu")
    model = transformers.GPT2LMHeadModel(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)  # so that the likeliest token depends on the text
    model.save_pretrained(folder / "hf")
    for words in (["import", "hf", "--out", "run"], ["export", "--run", "run", "--format", "nanogpt", "--out", "nano"]):
        subprocess.run([sys.executable, "-m", "gptmill", *words], cwd=folder, check=True, capture_output=True)


def by_gptmill(folder: Path) -> Callable[[int, bool], list[int]]:
    from gptmill.cli.weights import load_model, read_weights
    from gptmill.model.generate import generate

    model = load_model(read_weights(folder / "run"), "cpu")

    def go_on(count: int, likeliest: bool) -> list[int]:
        heat = 0.0 if likeliest else TEMPERATURE
        steps = generate(model, [[START]], count, seed=1, temperature=heat, top_k=TOP_K)
        return [token for [token] in steps if token is not None]

    return go_on


def by_transformers(folder: Path) -> Callable[[int, bool], list[int]]:
    import torch
    import transformers

    model = transformers.GPT2LMHeadModel.from_pretrained(folder / "hf").eval()
    drawn = {"do_sample": True, "temperature": TEMPERATURE, "top_k": TOP_K}

    def go_on(count: int, likeliest: bool) -> list[int]:
        how = {"do_sample": False} if likeliest else drawn
        ids_BT = torch.tensor([[START]])
        out_BT = model.generate(
            ids_BT, attention_mask=torch.ones_like(ids_BT), max_new_tokens=count, min_new_tokens=count, pad_token_id=0,
            eos_token_id=None, **how,
        )  # fmt: skip
        return out_BT[0, 1:].tolist()

    return go_on


def by_nanogpt(folder: Path, source: Path) -> Callable[[int, bool], list[int]]:
    """As its sample.py loads and calls it."""
    import torch

    sys.path.insert(0, str(source))
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    checkpoint = torch.load(folder / "nano/ckpt.pt", map_location="cpu")
    model = GPT(GPTConfig(**checkpoint["model_args"]))
    model.load_state_dict(checkpoint["model"])
    model.eval()

    @torch.no_grad()
    def go_on(count: int, likeliest: bool) -> list[int]:
        found_BT = model.generate(
            torch.tensor([[START]]), count, temperature=TEMPERATURE, top_k=1 if likeliest else TOP_K
        )
        return found_BT[0, 1:].tolist()

    return go_on


def time_side(side: str, folder: Path, nanogpt: Path) -> dict[str, object]:
    if side == "nanogpt":
        go_on = by_nanogpt(folder, nanogpt)
    else:
        go_on = {"gptmill": by_gptmill, "transformers": by_transformers}[side](folder)
    likeliest = go_on(CHECKED, True)
    go_on(WARMUP, False)
    began = time.perf_counter()
    tokens = go_on(NEW, False)
    seconds = time.perf_counter() - began
    assert len(tokens) == NEW, len(tokens)
    return {"tokens_per_second": NEW / seconds, "likeliest": likeliest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout of nanoGPT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=SIZES, help="one only, for a quick look: nothing is kept")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(time_side(given.side, given.folder, given.nanogpt)))
        return
    if not (given.nanogpt / "sample.py").is_file():
        raise SystemExit(f"--nanogpt {given.nanogpt}: no sample.py there; clone nanoGPT and name its folder")
    found: dict[str, dict[str, float]] = {}
    for name in [given.size] if given.size else SIZES:
        with tempfile.TemporaryDirectory() as temporary:
            write(Path(temporary), SIZES[name])
            speeds: dict[str, list[float]] = {side: [] for side in SIDES}
            texts: dict[str, list[int]] = {}
            for _ in range(given.rounds):
                for side in SIDES:
                    command = [sys.executable, "-m", "benchmarks.generation", "--side", side, "--folder", temporary]
                    done = subprocess.run(
                        [*command, "--nanogpt", given.nanogpt.resolve()], capture_output=True, text=True
                    )
                    if done.returncode:
                        raise SystemExit(f"{side} failed:\n{done.stderr[-2000:]}")
                    told = json.loads(done.stdout.splitlines()[-1])
                    speeds[side].append(told["tokens_per_second"])
                    texts[side] = told["likeliest"]
            assert texts["gptmill"] == texts["nanogpt"] == texts["transformers"], f"not the same model: {texts}"
        medians = {side: statistics.median(values) for side, values in speeds.items()}
        found[name] = {
            **medians,
            "over_nanogpt": medians["gptmill"] / medians["nanogpt"],
            "over_transformers": medians["gptmill"] / medians["transformers"],
        }
        row = ", ".join(f"{side} {value:,.1f}" for side, value in medians.items())
        print(f"{name}: tokens/s {row}; {found[name]['over_nanogpt']:.1f}x nanoGPT, "
              f"{found[name]['over_transformers']:.2f}x transformers", flush=True)  # fmt: skip
        if not given.size:
            keep(given.rounds, found)


def keep(rounds: int, found: dict[str, dict[str, float]]) -> None:
    import torch
    import transformers

    from gptmill.plan.hardware import detect_machine

    machine = {
        "processor": detect_machine("cpu").name, "threads": torch.get_num_threads(), "load": os.getloadavg()[0],
        "torch": torch.__version__, "transformers": transformers.__version__, "python": platform.python_version(),
    }  # fmt: skip
    record = {"machine": machine, "rounds": rounds, "new_tokens": NEW,
              "sizes": {name: SIZES[name] for name in found}, "tokens_per_second": found}  # fmt: skip
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
