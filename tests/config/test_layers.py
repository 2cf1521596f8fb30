"""Which layer wins, and that every value knows where it came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gptmill.config.load import load
from gptmill.config.schema import Config
from gptmill.errors import ConfigError
from gptmill.plan.hardware import detect_machine
from gptmill.plan.plan import make_plan

ROOT = Path(__file__).parents[2]
Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return name

    return write


def test_flags_beat_later_files_beat_earlier_files_beat_presets_beat_the_entrance(write: Write) -> None:
    first = write("a.py", "norm_position = 'post'\nbias = True\nn_layer = 3\npreset = 'llama'\n")
    second = write("b.yaml", "n_layer: 4\nn_head: 4\n")
    entrance = {"ffn_type": "standard", "dropout": 0.1, "seed": 7, "n_layer": 2}
    resolved = load(["--n-head=6", first, second], entrance)
    expected = {
        "seed": (7, "entrance"),
        "dropout": (0.0, "preset llama"),
        "ffn_type": ("swiglu", "preset llama"),
        "norm_position": ("post", "a.py:1"),
        "bias": (True, "a.py:2"),
        "preset": ("llama", "a.py:4"),
        "n_layer": (4, "b.yaml:1"),
        "n_head": (6, "--n-head"),
        "n_embd": (768, "default"),
    }
    for key, (value, origin) in expected.items():
        assert (getattr(resolved.config, key), resolved.origins[key]) == (value, origin)
    assert set(resolved.origins) == set(Config.model_fields)


def test_an_alias_in_a_file_is_named_in_the_origin(write: Write) -> None:
    assert load([write("a.yaml", "warmup_steps: 5\n")]).origins["warmup_iters"] == "a.yaml:1 (warmup_steps)"


def test_a_flag_equal_to_the_default_still_wins(write: Write) -> None:
    resolved = load([write("a.py", "n_layer = 3"), "--n_layer=12"])
    assert (resolved.config.n_layer, resolved.origins["n_layer"]) == (12, "--n_layer")


def test_of_several_presets_the_later_wins_in_one_list_and_over_layers(write: Write) -> None:
    path = write("a.py", "preset = 'gpt2, llama'")
    assert load([path]).config.normalization == "rmsnorm"
    assert load([path, "--preset=gpt2"]).config.normalization == "layernorm_nobias"
    assert load([path, "--preset="]).config.normalization == "layernorm"
    both = load([path, "--preset=tiny"])
    assert (both.config.normalization, both.config.n_layer, both.config.preset) == ("rmsnorm", 4, "gpt2,llama,tiny")
    assert both.origins["n_layer"] == "preset tiny"


def test_what_a_flags_preset_cannot_change_is_said(write: Write) -> None:
    write("a.py", "n_layer = 3\nn_head = 4\nn_embd = 64\n")
    said = [notice for notice in load(["a.py", "--preset=tiny"]).notices if notice.startswith("--preset")]
    assert said == ["--preset=tiny: n_layer, n_embd as a.py has it, which beats a preset; flags beat it"]
    assert not [n for n in load(["a.py", "--preset=llama"]).notices if "--preset" in n]
    assert not [n for n in load(["--preset=tiny", "--n_layer=3"]).notices if "--preset" in n]


SIZES = {"tiny": 16, "small": 45, "medium": 124, "gpt2-medium": 355, "gpt2-large": 774, "gpt2-xl": 1558}


def test_presets_are_whole_architectures_or_whole_sizes() -> None:
    """So that any two of one kind replace each other, and one of each kind add up."""
    sized, styled = {}, {}
    for path in (ROOT / "gptmill/config/presets").iterdir():
        settings = yaml.safe_load(path.read_text())
        (sized if "n_layer" in settings else styled)[path.stem] = settings
    assert set(sized) == set(SIZES)
    assert len({frozenset(settings) for settings in sized.values()}) == 1
    assert len({frozenset(settings) for settings in styled.values()}) == 1
    assert styled["custom"] == {key: Config.model_fields[key].default for key in styled["custom"]}


@pytest.mark.parametrize(("name", "millions"), SIZES.items())
def test_a_size_has_the_millions_of_parameters_it_claims(name: str, millions: int) -> None:
    """With OpenAI's vocabulary and biases; the last four as published."""
    config = load([f"--preset={name}", "--bias", "--vocab_size=50257"]).config
    plan = make_plan(config, data=None, machine=detect_machine("cpu"))
    assert round(plan.params / 1e6) == millions
    assert f"{millions / 1000:.2f}B" in says(name) if millions > 1000 else f"{millions}M" in says(name)


def says(preset: str) -> str:
    return (ROOT / f"gptmill/config/presets/{preset}.yaml").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("file", "flags", "length"),
    [
        ("max_iters = 5", [], (5, None, None)),
        ("epochs = 2", [], (600000, 2.0, None)),
        ("max_iters = 5", ["--epochs=2"], (600000, 2.0, None)),
        ("epochs = 2", ["--max_iters=5"], (5, None, None)),
        ("epochs = 2", ["--max_tokens=1e6"], (600000, None, 10**6)),
        ("epochs = 2", ["--epochs=None"], (600000, None, None)),
        ("epochs = None\nmax_iters = 5", [], (5, None, None)),
        ("epochs = 2\nmax_iters = 5", ["--max_iters=7"], (7, None, None)),
    ],
)
def test_exactly_one_key_decides_the_length(
    write: Write, file: str, flags: list[str], length: tuple[int, float | None, int | None]
) -> None:
    config = load([write("a.py", file), *flags]).config
    assert (config.max_iters, config.epochs, config.max_tokens) == length


def test_a_key_that_lost_to_another_says_so() -> None:
    assert load(["--epochs=2"]).origins["max_iters"] == "not used: epochs decides"
    origins = load(["--effective_batch_size=8"]).origins
    assert origins["gradient_accumulation_steps"] == "not used: effective_batch_size decides"


def test_none_forgets_what_lower_layers_said(write: Write) -> None:
    first, second = write("a.py", "max_iters = 5\nn_layer = 3"), write("b.py", "epochs = 2\nn_layer = 4")
    resolved = load([first, second, "--epochs=None", "--n_layer=None"])
    assert (resolved.config.max_iters, resolved.config.n_layer) == (5, 12)
    assert resolved.origins["n_layer"] == "default, reset by --n_layer"


def test_keys_without_effect_are_accepted_and_said_once(write: Write) -> None:
    first, second = write("a.yaml", "num_workers: 4\npin_memory: true\n"), write("b.yaml", "num_workers: 2\n")
    notices = load([first, second]).notices
    assert len(notices) == 1
    assert "num_workers, pin_memory" in notices[0]


def test_asking_for_nothing_is_accepted_silently() -> None:
    resolved = load(
        [
            "--pruning_method",
            "none",
            "--use_fsdp=False",
            "--no_wandb",
            "--penalty_weight",
            "0",
            "--early_stopping=False",
        ]
    )
    assert resolved.config == Config()
    assert resolved.notices == ()


def test_nothing_is_nothing_in_every_spelling(write: Write) -> None:
    path = write("a.py", "penalty_weight = 0.0\npruning_method = None\nuse_fsdp = 0\n")
    assert load([path, write("b.yaml", "penalty_weight: 0.0\nuse_zero1: no\n")]).notices == ()


def test_tracking_asked_for_in_a_file_never_stops_a_run(write: Write) -> None:
    """The run itself: tests/track/test_trackers_run.py."""
    resolved = load([write("a.py", "wandb_log = True\nwandb_project = 'gpt2'\nwandb_run_name = 'x'\n")])
    config = resolved.config
    assert (config.wandb_log, config.wandb_project, config.wandb_run_name) == (True, "gpt2", "x")
    assert resolved.notices == () and resolved.origins["wandb_log"].endswith("a.py:1")


@pytest.mark.parametrize("flag", ["--no_wandb", "--wandb_log=False", "--no-wandb_log", "--use_wandb=False"])
def test_a_flag_turns_a_files_tracking_off(write: Write, flag: str) -> None:
    assert not load([write("a.yaml", "use_wandb: true\n"), flag]).config.wandb_log


def test_rates_that_the_run_never_uses_are_not_compared(write: Write) -> None:
    path = write("a.py", "min_lr = 6e-5\nlearning_rate = 3e-5\ndecay_lr = False\n")
    assert load([path]).config.min_lr == 6e-5


def test_every_rule_names_a_way_out_that_works() -> None:
    for argv, way_out in (
        (["--n_head=7"], "--n_head=6"),
        (["--n_head=7"], "--n_head=8"),
        (["--preset=llama", "--n_head=256"], "--n_head=192"),
        (["--min_lr=1"], "--min_lr=6e-05"),
        (["--device=cpu", "--dtype=float16"], "--dtype=bfloat16"),
    ):
        with pytest.raises(ConfigError) as raised:
            load(argv)
        assert way_out.removeprefix("--").split("=")[1] in str(raised.value)
        load([*argv, way_out])
