"""The tables of docs/guide/reliability.md, from the figures on file. A test holds the page equal.

python -m benchmarks.reliability.page
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.reliability.cost import told
from benchmarks.reliability.runs import ROOT
from benchmarks.reliability.sentences import sentences, sentences_on_inputs

RESULTS = ROOT / "benchmarks" / "results"


def tables(found: dict[str, Any], inputs: dict[str, Any]) -> str:
    """Markdown: what a run survived, what bad input did, what others make of damaged files, which removed guard was noticed.

    Args:
        found: benchmarks/results/reliability.json.
        inputs: benchmarks/results/reliability_inputs.json.
    """
    parts = [told(found, inputs), outcomes(found, sentences(found)), outcomes(inputs, sentences_on_inputs(inputs))]
    parts += [beside_others(found), overwritten(found["peers"])] if {"corruption", "peers"} <= found.keys() else []
    parts += [without_guards(found["controls"])] if "controls" in found else []
    return "\n\n".join(parts)


def outcomes(found: dict[str, Any], said: dict[str, tuple[str, str]]) -> str:
    rows = [["part", "what was done", "what came of it", "seconds"]]
    rows += [[f"`{name}`", *both, f"{found[name]['seconds']:,.0f}"] for name, both in said.items()]
    return table(rows)


def beside_others(found: dict[str, Any]) -> str:
    kinds = found["corruption"]["kinds"]
    ours = {
        name: {"damaged": row["damaged"], "silently_wrong": row["damaged"] - row["found"]}
        for name, row in kinds.items()
    }
    formats = {"gptmill": ours, **found["peers"]["formats"]}
    rows = [["loads wrong numbers without a word", *formats]]
    for name in kinds:
        counts = [kinds_of.get(name) for kinds_of in formats.values()]
        rows.append([name, *(f"{row['silently_wrong']:,}/{row['damaged']:,}" if row else "-" for row in counts)])
    return table(rows)


def overwritten(peers: dict[str, Any]) -> str:
    found = peers["in_place"]
    versions = "".join(f", {name} {number}" for name, number in peers.get("versions", {}).items())
    return (
        f"SIGKILL while `torch.save` writes over the checkpoint before: {found['nothing_left']} of {found['kills']} left none "
        f"that loads (torch {peers['machine']['torch']}{versions})."
    )


def without_guards(controls: dict[str, Any]) -> str:
    rows = [["guard removed", "trial that fails then"]]
    for guard, row in controls["rows"].items():
        rows.append([guard, f"`{row['part']}`" if row["good_with"] and not row["good_without"] else "none noticed"])
    return table(rows)


def table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def on_file() -> tuple[dict[str, Any], dict[str, Any]]:
    found, inputs = (
        json.loads((RESULTS / f"{name}.json").read_text()) for name in ("reliability", "reliability_inputs")
    )
    return found, inputs


if __name__ == "__main__":
    print(tables(*on_file()))
