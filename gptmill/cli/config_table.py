"""``gptmill configs --table``: what each named config trains, as its plan says, in Markdown."""

from __future__ import annotations

from gptmill.cli.configs import MANY, first_words
from gptmill.cli.dataset import as_prepared
from gptmill.cli.pretrained import as_layer
from gptmill.config import later
from gptmill.config.files import Found, packaged, read_found
from gptmill.config.load import load
from gptmill.config.names import KNOWN
from gptmill.config.schema import Config
from gptmill.plan.plan import make_plan
from gptmill.plan.types import DataFacts, Machine, Plan

ANYWHERE = Machine(kind="cpu", name="any", cores=1, memory=None, bf16=False)  # no figure here depends on the machine


def table() -> str:
    rows = [
        "| `gptmill train ...` | what it is | parameters | tokens per iteration | tokens in all |",
        "|---|---|---|---|---|",
    ]
    for found in packaged("configs"):
        name = found.source.name.rpartition(".")[0]
        rows.append(f"| `{name}` | {first_words(found)} | {' | '.join(_figures(found))} |")
    return "\n".join(rows)


def config_of(found: Found) -> Config | None:
    """A named config without what this version lacks; None when the file is many runs."""
    reading = read_found(found, KNOWN)
    if reading.problems:
        return None
    flags = []
    for name, setting in reading.layer.items():
        if name in later.KEYS and later.plain(setting.value) not in later.KEYS[name].inert:
            flags.append(f"--{name}={later.KEYS[name].inert[0]}")
    return load([found.source.name, *flags], describe=as_layer).config


def plan_of(config: Config, data: DataFacts | None = None) -> Plan:
    """The plan on any machine, with the tokenizer that preparing the dataset would choose."""
    return make_plan(as_prepared(config), data=data, machine=ANYWHERE)


def _figures(found: Found) -> list[str]:
    """Parameters, tokens per iteration, tokens in all; a length in epochs stays one until the data is there."""
    config = config_of(found)
    if config is None:
        (says,) = read_found(found, KNOWN).problems
        command = next(command for command in MANY if f"`gptmill {command}" in says)
        return ["", "", f"many runs: `gptmill {command}`"]
    plan = plan_of(config.model_copy(update={"epochs": None}))
    if config.eval_only:
        return [f"{plan.params:,}", "", "none, evaluates"]
    if config.epochs is not None:
        total = f"{config.epochs:g} epoch{'s' * (config.epochs != 1)}"
    else:
        total = f"{plan.total_tokens:,}"
    return [f"{plan.params:,}", f"{plan.tokens_per_iter:,}", total]
