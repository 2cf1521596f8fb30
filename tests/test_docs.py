"""What the README shows is what the commands print, and its figures are those on file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gptmill.config.coerce import choices
from tests.cli.run import gptmill
from tests.model.shapes import every_combination

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def shown(command: str) -> str:
    """The output under ``$ command`` in the README."""
    return README.split(f"$ {command}\n")[1].split("```")[0].rstrip("\n")


def test_the_readmes_plan_is_the_commands(tmp_path: Path) -> None:
    printed = gptmill(tmp_path, "plan", "quick").out
    for line in shown("gptmill plan quick").splitlines():
        # what depends on this machine and on the version of the standard library is left out
        if line and not re.match(r"machine|data |run|          = [\d.]+ tokens", line):
            assert line.rstrip() in printed, line


def test_the_readmes_mistakes_are_answered_as_shown(tmp_path: Path) -> None:
    done = gptmill(tmp_path, "train", "quick", "--n_layrs=6", "--n_head=5")
    assert (done.code, done.err.rstrip("\n")) == (2, shown("gptmill train quick --n_layrs=6 --n_head=5"))


ARCHITECTURES = (ROOT / "docs/guide/architectures.md").read_text()


@pytest.mark.parametrize(
    ("command", "output"), re.findall(r"```\n\$ gptmill ([^\n]*)\n(.*?)\n```", ARCHITECTURES, re.DOTALL)
)
def test_the_guides_tables_of_architectures_are_the_commands(tmp_path: Path, command: str, output: str) -> None:
    assert gptmill(tmp_path, *command.split()).out.rstrip("\n") == output


def test_the_guides_architectures_are_those_of_the_code(tmp_path: Path) -> None:
    assert f"takes {len(every_combination())} combinations" in ARCHITECTURES
    openai = re.search(r"gptmill (plan .*vocab_size=50257)", ARCHITECTURES)
    assert openai and gptmill(tmp_path, *openai[1].split(), "--json").json()["params"] == 124_439_808
    for key in ("normalization", "position_encoding", "ffn_type", "activation", "norm_position", "attention_backend"):
        row = re.search(rf"^\| `{key}` \| (.*?) \|", ARCHITECTURES, re.MULTILINE)
        assert row and set(re.findall(r"`(\w+)`", row[1])) == set(choices(key)), key


def test_the_guides_speed_of_generation_is_the_one_on_file() -> None:
    found = json.loads((ROOT / "benchmarks/results/generation_cpu.json").read_text())["tokens_per_second"]["10M"]
    page = " ".join((ROOT / "docs/guide/sample.md").read_text().split())
    assert found["over_nanogpt"] > 2 and f"{found['over_nanogpt']:.1f} times as fast as from nanoGPT" in page
    assert f"{found['over_transformers']:.2f} times as fast as from transformers" in page


def test_the_guides_gain_of_finetuning_is_the_one_on_file() -> None:
    found = json.loads((ROOT / "benchmarks/results/finetuning.json").read_text())
    page = " ".join((ROOT / "docs/guide/finetune.md").read_text().split())
    scratch, pretrained = (found["last_val_loss"][arm] for arm in ("scratch", "pretrained"))
    assert pretrained < scratch and f"{pretrained:.2f} nats/token against {scratch:.2f} from scratch" in page
    assert f"after {found['finetuned_steps']} steps" in page and f"{found['seeds']} seeds" in page


def test_what_a_checkpoint_a_minute_costs_is_on_file() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "stall_cpu.json").read_text())
    behind, waiting = (f"{100 * found[way]['share_of_a_minute']:.1f}%" for way in ("behind", "waiting"))
    words = " ".join((ROOT / "docs" / "guide" / "resume.md").read_text().split())
    assert f"a checkpoint a minute: {behind} of the time goes into saving, {waiting} where" in words


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
