"""The tables of docs/guide/time.md: what other trainers' documents say of time and cost, beside what a plan works out.

    python -m gptmill.cli.guide_tables

prints them in Markdown, from the same functions as ``gptmill plan``. A test holds the page equal.
"""

from __future__ import annotations

from typing import NamedTuple

from gptmill.cli.config_table import config_of
from gptmill.config.files import packaged
from gptmill.config.load import load
from gptmill.config.schema import Config
from gptmill.plan.cost import cost_of
from gptmill.plan.devices import find_device, machine_of
from gptmill.plan.fit import fits, largest_batch
from gptmill.plan.plan import make_plan
from gptmill.plan.time import Forecast, forecast
from gptmill.plan.types import DataFacts, Plan
from gptmill.units import count

# tokens of train.bin and val.bin as nanoGPT's readmes print them, and of WikiText-103 with GPT-2's tokenizer
OPENWEBTEXT = DataFacts("openwebtext", "data/openwebtext", 9_035_582_198, 4_434_897, 50257, "gpt2", None)
WIKITEXT = DataFacts("wikitext-103", "data/wikitext-103", 117_919_745, 247_289, 50257, "gpt2", None)
HOUR = 3600


class Claim(NamedTuple):
    """Args: words: a packaged config and settings. says: what the document has for time and money."""

    document: str
    words: str
    gpu: str
    gpus: int
    data: DataFacts
    says: str


CLAIMS = (
    Claim("default-configs", "gpt2_124m_single_gpu", "A100 80GB", 1, OPENWEBTEXT, '"300B tokens" in 15 to 20 days, $960 to $1,440'),
    Claim("default-configs", "gpt2_124m_single_gpu", "RTX 3090", 1, OPENWEBTEXT, '"300B tokens" in 25 to 30 days, $6 of electricity'),
    Claim("default-configs", "gpt2_124m_single_gpu --gradient_accumulation_steps=120", "A100 80GB", 1, OPENWEBTEXT, "the same, with 300B tokens"),
    Claim("default-configs", "gpt2_124m_single_gpu --gradient_accumulation_steps=120", "RTX 3090", 1, OPENWEBTEXT, "the same, with 300B tokens"),
    Claim("default-configs", "gpt2_124m_multi_gpu", "A100 40GB", 8, OPENWEBTEXT, "4 days, $1,920 to $2,880"),
    Claim("default-configs", "gpt2_124m_multi_gpu", "A100 40GB", 4, OPENWEBTEXT, "-"),
    Claim("default-configs", "finetune_gpt2_medium --max_iters=1000 --eval_interval=200", "A100 80GB", 1, OPENWEBTEXT, "2 to 4 hours, part of $20 to $60"),
    Claim("wikitext-training", "--preset=small --dropout=0.1 --bias --position_encoding=sinusoidal --activation=relu --epochs=1 --batch_size=32 --gradient_accumulation_steps=1 --eval_interval=epoch --dataset=wikitext-103", "RTX 4080", 1, WIKITEXT, "4 to 6 hours an epoch"),
    Claim("wikitext-training", "--preset=small --dropout=0.1 --bias --position_encoding=sinusoidal --activation=relu --epochs=20 --batch_size=32 --gradient_accumulation_steps=1 --eval_interval=epoch --dataset=wikitext-103", "RTX 4080", 1, WIKITEXT, "80 to 120 hours"),
    Claim("openwebtext-sweeps", "--epochs=2 --effective_batch_size=512 --batch_size=32", "A100 40GB", 1, OPENWEBTEXT, "2 to 3 hours, of 1,760 steps"),
    Claim("openwebtext-sweeps", "--epochs=2 --effective_batch_size=512 --batch_size=16", "RTX 3090", 1, OPENWEBTEXT, "3 to 5 hours, of 1,760 steps"),
    Claim("openwebtext-sweeps", "--epochs=2 --effective_batch_size=512 --batch_size=16", "RTX 4090", 1, OPENWEBTEXT, "3 to 5 hours, of 1,760 steps"),
)  # fmt: skip

# of the OpenWebText document: batch sizes and steps of 512 sequences a second
STEPS = (
    ("RTX 3060", "6-8", "0.2-0.3"),
    ("RTX 3090", "16-24", "0.3-0.4"),
    ("RTX 4090", "20-28", "0.3-0.5"),
    ("A100 40GB", "32-48", "0.4-0.5"),
    ("A100 80GB", "64", "0.4-0.5"),
)


def config_from(words: str) -> Config:
    """A packaged config without what this version lacks, and settings; or settings alone."""
    name, *flags = words.split()
    if name.startswith("--"):
        return load([name, *flags]).config
    found = next(found for found in packaged("configs") if found.source.name == f"{name}.py")
    config = config_of(found)
    assert config
    settings = load([*flags]).config if flags else Config()
    given = {flag.removeprefix("--").partition("=")[0] for flag in flags}
    return config.model_copy(update={key: getattr(settings, key) for key in given})


def planned(claim: Claim) -> Plan:
    machine = machine_of(find_device(claim.gpu))
    return make_plan(config_from(claim.words), data=claim.data, machine=machine, world_size=claim.gpus)


def time_table() -> str:
    lines = [
        "| document | run | on | it said | tokens | steps | time | first checkpoint | rent | electricity |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        plan = planned(claim)
        time = forecast(plan)
        assert time
        cost = cost_of(plan, time)
        rent = "-" if cost.least is None or cost.most is None else f"${_sig(cost.least)} to ${_sig(cost.most)}"
        gpu = f"{claim.gpus} x {claim.gpu}" if claim.gpus > 1 else claim.gpu
        words = (
            claim.words
            if len(claim.words) < 70
            else " ".join(w for w in claim.words.split() if w[:7] in ("--prese", "--epoch", "--batch", "--datas"))
        )
        first = "-" if time.first_checkpoint is None else _hours(time.first_checkpoint)
        lines.append(
            f"| {claim.document} | `{words}` | {gpu} | {claim.says} | {count(plan.total_tokens)} | {plan.max_iters:,} | "
            f"{_interval(time)} | {first} | {rent} | {_kwh(cost.kwh)} |"
        )  # fmt: skip
    return "\n".join(lines)


def steps_table() -> str:
    """GPT-2 124M at 512 sequences of 1,024 a step, with the largest divisor of 512 that fits."""
    lines = [
        "| GPU | it said: batch_size | steps a second | it is: batch_size that fits, at most | used | steps a second |",
        "|---|---|---|---|---|---|",
    ]
    for gpu, batch_said, steps_said in STEPS:
        machine = machine_of(find_device(gpu))
        one = make_plan(Config(effective_batch_size=512, batch_size=1), data=OPENWEBTEXT, machine=machine)
        most = largest_batch(one)
        used = max(b for b in range(1, min(most, 64) + 1) if 512 % b == 0)
        plan = make_plan(Config(effective_batch_size=512, batch_size=used), data=OPENWEBTEXT, machine=machine)
        time = forecast(plan)
        assert time and fits(plan)
        low, high = (time.seconds / other / time.step for other in (time.longest, time.shortest))
        lines.append(f"| {gpu} | {batch_said} | {steps_said} | {most} | {used} | {low:.2f} to {high:.2f} |")
    return "\n".join(lines)


def _interval(time: Forecast) -> str:
    mark = "" if time.basis == "calibrated" else " ?"
    if time.seconds > 48 * HOUR:
        return f"{time.shortest / HOUR / 24:.1f} to {time.longest / HOUR / 24:.1f} days{mark}"
    return f"{_hours(time.shortest)} to {_hours(time.longest)}{mark}"


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR:.1f} h" if seconds >= HOUR else f"{seconds / 60:.0f} min"


def _kwh(kwh: float | None) -> str:
    return "-" if kwh is None else f"{kwh:,.1f} kWh"


def _sig(usd: float) -> str:
    return f"{usd:,.0f}" if usd >= 10 else f"{usd:.2f}"


if __name__ == "__main__":
    print(time_table(), steps_table(), sep="\n\n")
