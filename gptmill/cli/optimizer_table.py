"""The table of docs/guide/optimizers.md: what each update rule keeps, and under which strategies it runs.

    python -m gptmill.cli.optimizer_table

prints it in Markdown, from the same functions as ``gptmill plan``. A test holds the page equal.
"""

from __future__ import annotations

from typing import NamedTuple

from gptmill.config.rules.devices import SHARED
from gptmill.config.schema import Config
from gptmill.plan.devices import find_device, machine_of
from gptmill.plan.optimizer import state_bytes
from gptmill.plan.plan import make_plan
from gptmill.plan.saving import checkpoint_bytes
from gptmill.plan.types import DataFacts
from gptmill.units import size

OPENWEBTEXT = DataFacts("openwebtext", "data/openwebtext", 9_035_582_198, 4_434_897, 50257, "gpt2", None)


class Row(NamedTuple):
    """Args: words: settings. keys: its own, besides learning_rate, weight_decay, beta1, beta2, eps and grad_clip."""

    words: str
    keys: str = ""


ROWS = (
    Row("--optimizer=sgd", "`momentum`; no `beta1`, `beta2`, `eps`"),
    Row("--optimizer=adam", "no `weight_decay`"),
    Row("--optimizer=adamw"),
    Row("--optimizer=adamwadv"),
    Row("--optimizer=adamwspam", "`spam_*`"),
    Row("--optimizer=adamwspam --spam_variant=spikes", "`spam_*`"),
    Row("--optimizer=adamwprune", "`adamwprune_*` in place of betas and decay"),
    Row("--optimizer=muon", "`muon_momentum`, `muon_learning_rate`"),
    Row("--optimizer=schedule_free_adamw"),
)


def optimizer_table() -> str:
    lines = [
        "| | state, bytes a parameter | of GPT-2 124M | its checkpoint | zero1 | fsdp | keys |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        config = Config.model_validate(dict(word.removeprefix("--").split("=") for word in row.words.split()))
        plan = make_plan(config, data=OPENWEBTEXT, machine=machine_of(find_device("A100 80GB")))
        lacking = SHARED.get(plan.base_optimizer, ("", ""))[0]
        marks = " | ".join("no" if strategy == lacking else "yes" for strategy in ("zero1", "fsdp"))
        each = state_bytes(plan) / plan.params
        lines.append(
            f"| `{row.words}` | {each:.3g} | {size(state_bytes(plan))} | {size(checkpoint_bytes(plan))} | {marks} | {row.keys} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(optimizer_table())
