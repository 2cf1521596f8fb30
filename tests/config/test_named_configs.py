"""The named configs: they load everywhere, and what their comments say of them is what the plan computes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gptmill.cli.config_table import config_of, plan_of, table
from gptmill.cli.configs import MANY
from gptmill.config.dotconfig import read_dotconfig
from gptmill.config.files import Found, packaged, read_found
from gptmill.config.load import load
from gptmill.config.names import KNOWN
from gptmill.config.symbols import MATRIX
from gptmill.errors import ConfigError
from gptmill.plan.types import DataFacts
from tests.cli.run import gptmill

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "configs.md"
NAMED = {found.source.name.rpartition(".")[0]: found for found in packaged("configs")}
DOCUMENTS = [
    *("gpt2_124m_single_gpu", "gpt2_124m_multi_gpu", "finetune_gpt2_medium", "full_gpt2_124m", "full_llama_124m"),
    *("full_gpt2_1.36b", "full_llama_1.36b", "full_team_124m", "full_custom", "preset_quick_test", "preset_gpt2_owt"),
    *("openwebtext_adaptive_batch", "sweep_lambda_openwebtext", "gpt2-shakespeare", "gpt2-shakespeare-conservative"),
    *("gpt2-shakespeare-simple", "gpt2-shakespeare-l4", "gpt2-shakespeare-w7900", "gpt2-shakespeare-matrix"),
]
STUDIES = ["ablate_gpt2_to_llama", "ablate_optimizers", "ablate_small"]
NANOGPT = [
    *("train_gpt2", "train_shakespeare_char", "finetune_shakespeare"),
    *("eval_gpt2", "eval_gpt2_medium", "eval_gpt2_large", "eval_gpt2_xl"),
]
# Training tokens under GPT-2's tokenizer: nanoGPT's data/shakespeare/readme.md and data/openwebtext/readme.md.
TRAIN_TOKENS = {"shakespeare": 301_966, "openwebtext": 9_035_582_198}


def text_of(name: str) -> str:
    return NAMED[name].source.read_text(encoding="utf-8")


def comment(name: str) -> str:
    """The leading comment on one line."""
    lines = re.match(r"(#[^\n]*\n)+", text_of(name))
    assert lines, f"{name} begins with no comment"
    return " ".join(line.lstrip("# ") for line in lines[0].splitlines())


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_config_of_the_documents_and_of_nanogpt_is_there() -> None:
    assert set(NAMED) == {*DOCUMENTS, *NANOGPT, *STUDIES, "quick", "shakespeare_char_cpu"}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_named_config_loads_or_names_what_is_missing_under_all_three_spellings(name: str) -> None:
    said = set()
    for spelling in (name, f"configs/{NAMED[name].source.name}", f"config/{NAMED[name].source.name}"):
        try:
            said.add(load([spelling]).config.model_dump_json(exclude={"wandb_run_name"}))  # some have the time in it
        except ConfigError as error:
            assert len(error.problems) <= 3
            said_of = ("is not in this version", *(f"gptmill {command}" for command in MANY))
            assert all(any(words in p for words in said_of) for p in error.problems)
            said.add(str(error.problems))
    assert len(said) == 1


def alone(name: str) -> Found:
    """The file; one of many runs without the lines that make it so, as one of its runs."""
    kept = [line for line in text_of(name).splitlines() if not any(f"CONFIG_{symbol}=y" in line for symbol in MATRIX)]
    Path(NAMED[name].source.name).write_text("\n".join(kept))
    return Found(NAMED[name].source.name, Path(NAMED[name].source.name))


@pytest.mark.parametrize("name", [name for name in [*DOCUMENTS, *NANOGPT] if not name.startswith("sweep")])
def test_the_comments_figures_are_the_plans(name: str) -> None:
    config = config_of(alone(name))
    assert config is not None
    vocab_size = 65 if config.dataset.endswith("_char") else None
    tokens = TRAIN_TOKENS.get(config.dataset, 10**10)
    data = DataFacts(config.dataset, "data", tokens, 10**6, vocab_size, None, None)
    plan = plan_of(config, data)
    words = comment(name)
    assert f"{plan.params:,} parameters" in words
    if config.eval_only:
        assert f"{plan.eval_iters} batches of {plan.batch_size} sequences" in words
    else:
        assert f"{plan.tokens_per_iter:,} tokens per iteration, {plan.total_tokens:,} tokens in all" in words
    if config.epochs is not None:
        assert f"{plan.max_iters:,} iterations" in words and f"{tokens:,} training tokens" in words


@pytest.mark.parametrize("name", sorted(NAMED))
def test_the_first_line_is_one_description(name: str) -> None:
    first = text_of(name).splitlines()[0]
    assert len(first) > 30 and not first.rstrip('"').endswith(",")


@pytest.mark.parametrize(
    ("argv", "params"),
    [
        (["full_llama_1.36b"], 1_294_159_104),  # V = 32,000, untied
        (["full_llama_1.36b", "--vocab_size=50304"], 1_378_503_936),
        (["full_gpt2_1.36b"], 1_404_968_832),
        (["full_gpt2_124m"], 124_373_760),  # V = 50,304, no biases
        (["full_gpt2_124m", "--vocab_size=50257", "--bias", "--normalization=layernorm"], 124_439_808),  # OpenAI's
        (["full_llama_124m"], 162_220_800),
        (["full_llama_124m", "--vocab_size=32000"], 134_105_856),
        (["--preset=tiny", "--vocab_size=50257", "--bias"], 16_090_880),
        (["--preset=small", "--vocab_size=50257", "--bias"], 44_909_056),
        (["--preset=medium", "--vocab_size=50257", "--bias"], 124_439_808),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_sizes_are_those_of_the_specification(argv: list[str], params: int) -> None:
    assert plan_of(load(argv).config).params == params


@pytest.mark.parametrize(
    ("name", "tokens_per_iter", "total_tokens"),
    [
        ("gpt2_124m_single_gpu", 4 * 12 * 1024, 29_491_200_000),
        ("gpt2_124m_multi_gpu", 12 * 40 * 1024, 294_912_000_000),
        ("full_gpt2_1.36b", 262_144, 6_553_600_000),
        ("full_llama_1.36b", 262_144, 6_553_600_000),
        ("preset_quick_test", 64 * 256, 81_920_000),
    ],
)
def test_lengths_are_those_of_the_specification(name: str, tokens_per_iter: int, total_tokens: int) -> None:
    plan = plan_of(load([name]).config)
    assert (plan.tokens_per_iter, plan.total_tokens) == (tokens_per_iter, total_tokens)


@pytest.mark.parametrize(("part", "value"), [("position_encoding", "rope"), ("normalization", "rmsnorm")])
def test_a_flag_changes_one_part_of_a_named_config(part: str, value: str) -> None:
    config = load(["full_gpt2_124m", f"--{part}={value}"]).config
    assert config == load(["full_gpt2_124m"]).config.model_copy(update={part: value})


def test_flags_turn_off_what_a_named_config_asks_for_and_this_version_lacks() -> None:
    off = ["--auto_batch_size=False", "--penalty_type=none", "--penalty_weight=0"]
    config = load(["openwebtext_adaptive_batch", *off]).config
    assert (config.effective_batch_size, config.batch_size, config.epochs) == (512, 8, 2.0)
    assert load(["openwebtext_adaptive_batch", *off, "--batch_size=16"]).config.effective_batch_size == 512
    assert load(["finetune_gpt2_medium", "--init_from=scratch"]).config.learning_rate == 3e-5


def test_batch_and_accumulation_that_contradict_the_effective_batch_are_a_tie(tmp_path: Path) -> None:
    Path("c.yaml").write_text("batch_size: 8\ngradient_accumulation_steps: 63\neffective_batch_size: 512\n")
    with pytest.raises(ConfigError, match="only one of"):
        load(["c.yaml"])


@pytest.mark.parametrize(("size", "n_layer"), [("gpt2", 12), ("gpt2-medium", 24), ("gpt2-large", 36), ("gpt2-xl", 48)])
def test_model_name_is_a_size(size: str, n_layer: int) -> None:
    assert load([f"--model_name={size}"]).config.n_layer == n_layer


def test_an_unknown_model_name_is_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        load(["--model_name=gpt2-mediun"])
    assert len(caught.value.problems) == 1 and "'gpt2-medium'" in caught.value.problems[0]


def test_a_sweep_is_not_a_config_and_says_where_it_belongs(tmp_path: Path) -> None:
    done = gptmill(tmp_path, "train", "sweep_lambda_openwebtext")
    assert done.code == 2
    assert done.err.count("\n") == 1 and "is a sweep" in done.err and "`gptmill sweep" in done.err


def test_a_study_is_not_a_config_and_says_where_it_belongs(tmp_path: Path) -> None:
    done = gptmill(tmp_path, "train", "ablate_gpt2_to_llama")
    assert done.code == 2
    assert done.err.count("\n") == 1 and "is a study" in done.err and "`gptmill ablate" in done.err


def test_a_matrix_is_one_line_however_many_symbols_it_has() -> None:
    reading = read_dotconfig(text_of("gpt2-shakespeare-matrix"), "m.config")
    assert len(reading.problems) == 1 and "gptmill matrix" in reading.problems[0]


def test_the_clock_in_a_run_name_is_read_and_not_run() -> None:
    value = read_found(NAMED["finetune_shakespeare"], KNOWN).layer["wandb_run_name"].value
    assert re.fullmatch(r"ft-1[\d.]+", str(value))


def test_the_guides_table_is_the_commands() -> None:
    assert table() in GUIDE.read_text(encoding="utf-8")
