"""Tiny Shakespeare from scratch, and from a model that was trained here on WikiText-2 before: the same steps, both curves.

    python -m benchmarks.finetuning DIR [--work DIR]

DIR holds tinyshakespeare/input.txt and wikitext-2/train.txt. Both texts are encoded by the vocabulary learned from WikiText-2; the
arms differ in their first weights and in nothing else, pair by pair. Results: benchmarks/results/finetuning.json, and
docs/guide/finetuning.svg. Given --work, what is there already is gone on with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gptmill.report.svg import Band, bands

ROOT = Path(__file__).parent.parent
RESULT, PICTURE = ROOT / "benchmarks/results/finetuning.json", ROOT / "docs/guide/finetuning.svg"
MODEL = ["--preset=gpt2", "--n_layer=4", "--n_head=4", "--n_embd=64", "--block_size=64"]
STEPS = ["--batch_size=16", "--gradient_accumulation_steps=1", "--learning_rate=2e-3", "--beta2=0.99", "--eval_iters=20",
         "--device=cpu"]  # fmt: skip
PRETRAINED, FINETUNED, SEEDS = 1500, 150, 3
STYLE = (
    "<style>svg{--run0:#66625a;--run1:#cf5a1c;background:#fffefb;font:12px system-ui,sans-serif}text{fill:#66625a}"
    ".grid{stroke:#e7e3da}.axis{stroke:#66625a}.band{opacity:.18}.line{fill:none;stroke-width:2}</style>"
)


def gptmill(work: Path, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "gptmill", *words], cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"gptmill {' '.join(words)}: exit {done.returncode}\n{done.stderr}")


def curve(run: Path) -> dict[int, float]:
    """Validation loss by step [nats/token]."""
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {event["iter"]: event["val_loss"] for event in events if event.get("val_loss") is not None}


def measure(data: Path, work: Path) -> dict[str, list[dict[int, float]]]:
    """The curves of each arm, one a seed."""
    if not (work / "data/wikitext-2/meta.json").exists():
        gptmill(
            work, "prepare", "--input", str(data / "wikitext-2/train.txt"), "--name=wikitext-2", "--tokenizer=bpe-1024"
        )
    gptmill(work, "prepare", "--input", str(data / "tinyshakespeare/input.txt"), "--name=shakespeare",
            "--tokenizer", "data/wikitext-2/tokenizer")  # fmt: skip
    if not (work / "out-wikitext").exists():
        gptmill(work, "train", *MODEL, *STEPS, "--dataset=wikitext-2", f"--max_iters={PRETRAINED}", "--warmup_iters=100",
                "--eval_interval=500", "--out_dir=out-wikitext")  # fmt: skip
    found: dict[str, list[dict[int, float]]] = {"scratch": [], "pretrained": []}
    for seed in range(1, SEEDS + 1):
        for arm, begins in (("scratch", MODEL), ("pretrained", ["--init_from=out-wikitext"])):
            name = f"out-{arm}-{seed}"
            gptmill(work, "train", *begins, *STEPS, "--dataset=shakespeare", f"--max_iters={FINETUNED}", "--warmup_iters=30",
                    "--eval_interval=25", f"--seed={seed}", f"--out_dir={name}", "--overwrite")  # fmt: skip
            found[arm].append(curve(work / name))
            last = found[arm][-1]
            print(f"{arm}, seed {seed}: {last[min(last)]:.3f} -> {last[max(last)]:.3f} nats/token", flush=True)
    return found


def draw(found: dict[str, Any]) -> str:
    """Both arms: the mean over seeds, and from the lowest to the highest."""
    curves = []
    for (arm, runs), colour in zip(found.items(), ("--run0", "--run1")):
        steps = sorted(map(int, runs[0]))
        by_step = [[{int(step): loss for step, loss in run.items()}[step] for run in runs] for step in steps]
        means = [sum(each) / len(each) for each in by_step]
        curves.append(Band(arm, colour, steps, means, [min(e) for e in by_step], [max(e) for e in by_step]))
    drawn = bands(curves, x_title="step", y_title="validation loss [nats/token]", tick=lambda step: f"{step:.0f}")
    names = "".join(
        f'<text x="640" y="{30 + 18 * n}" style="fill:var({each.colour})">{each.name}</text>'
        for n, each in enumerate(curves)
    )
    head, rest = drawn.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg">{STYLE}{rest.removesuffix("</svg>")}{names}</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(given.data.resolve(), given.work or Path(temporary))
    last = {arm: [run[max(run)] for run in runs] for arm, runs in found.items()}
    record = {
        "model": MODEL, "steps": STEPS, "pretrained_steps": PRETRAINED, "finetuned_steps": FINETUNED, "seeds": SEEDS,
        "last_val_loss": {arm: sum(losses) / SEEDS for arm, losses in last.items()}, "val_loss": found,
    }  # fmt: skip
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    PICTURE.write_text(draw(found))
    better = all(mine < other for mine, other in zip(last["pretrained"], last["scratch"]))
    print(f"after {FINETUNED} steps: {record['last_val_loss']}; pretrained is better in every pair: {better}")
    sys.exit(not better)


if __name__ == "__main__":
    main()
