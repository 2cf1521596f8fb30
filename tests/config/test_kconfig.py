"""The Kconfig is the schema's, kconfiglib agrees with our reader, and mistakes in a ``.config`` are one line each."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import kconfiglib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptmill.cli.kconfig import defconfigs, main
from gptmill.config.dotconfig import read_dotconfig
from gptmill.config.files import packaged
from gptmill.config.kconfig import assign, kconfig_text, load_kconfig, preset_symbol
from gptmill.config.load import load
from gptmill.config.schema import Config
from gptmill.config.symbols import MATRIX
from gptmill.errors import ConfigError
from tests.cli.run import gptmill

PRESETS = [found.source.name.removesuffix(".yaml") for found in packaged("config/presets")]
SINGLE = [name for name in defconfigs() if name not in ("gpt2-shakespeare", "gpt2-shakespeare-matrix")]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_kconfiglib_reads_the_generated_file_without_a_warning() -> None:
    assert load_kconfig().warnings == []


def test_every_key_has_a_symbol_and_its_own_line_as_help() -> None:
    kconf = load_kconfig()
    shown = {node.prompt[0].partition(":")[0]: node for node in kconf.node_iter() if node.prompt}
    for key, field in Config.model_fields.items():
        if key != "preset":
            assert shown[key].help and shown[key].help.startswith(field.description)


def test_what_kconfig_writes_untouched_is_the_defaults() -> None:
    load_kconfig().write_config(".config")
    assert load([".config"]).config == Config()


@pytest.mark.parametrize("name", PRESETS)
def test_choosing_a_preset_in_the_menu_is_choosing_it_by_flag(name: str) -> None:
    kconf = load_kconfig()
    kconf.syms[preset_symbol(name)].set_value("y")
    kconf.write_config(".config")
    assert load([".config"]).config == load([f"--preset={name}"]).config


def test_two_presets_and_a_part_chosen_in_the_menu_add_up() -> None:
    kconf = load_kconfig()
    for symbol in ("PRESET_LLAMA", "PRESET_TINY", "WEIGHT_TYING", "SCHEDULE_WSD"):
        kconf.syms[symbol].set_value("y")
    kconf.write_config(".config")
    flags = ["--preset=llama,tiny", "--weight_tying=True", "--schedule=wsd"]
    config, wanted = load([".config"]).config, load(flags).config
    assert config.model_copy(update={"preset": ""}) == wanted.model_copy(update={"preset": ""})


def test_a_preset_chosen_in_menus_opened_again_moves_what_was_left_alone() -> None:
    Path(".config").write_text("CONFIG_PRESET_LLAMA=y\nCONFIG_N_HEAD=4\n")
    kconf = load_kconfig()
    kconf.load_config(".config")
    kconf.write_config(".config")  # as the menus save
    kconf = load_kconfig()
    kconf.load_config(".config")
    kconf.syms["PRESET_GPT2"].set_value("y")
    kconf.syms["PRESET_TINY"].set_value("y")
    kconf.write_config(".config")
    config, wanted = load([".config"]).config, load(["--preset=gpt2,tiny", "--n_head=4"]).config
    assert config.model_copy(update={"preset": ""}) == wanted.model_copy(update={"preset": ""})


@given(
    n_layer=st.integers(1, 10_000),
    learning_rate=st.floats(0, 1),
    epochs=st.none() | st.floats(0.1, 1000),
    schedule=st.sampled_from(["cosine", "linear", "constant", "wsd"]),
    compile=st.sampled_from([True, False, "auto"]),
    bias=st.booleans(),
    out_dir=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(str.strip),
)
def test_a_config_survives_kconfigs_own_writer(**wanted: object) -> None:
    config = Config.model_validate(wanted)
    kconf = load_kconfig()
    assign(kconf, config)
    kconf.write_config("x.config")
    assert load(["x.config"]).config == config


@pytest.mark.parametrize("name", SINGLE)
def test_a_defconfig_means_to_kconfiglib_what_it_means_to_us(name: str) -> None:
    config = load([name]).config
    kconf = load_kconfig()
    assign(kconf, config)
    kconf.write_config(".config")
    assert load([".config"]).config == config
    assert main(["savedefconfig"]) == 0
    shutil.copy("defconfig", "saved.config")
    assert load(["saved.config"]).config == config


# of the document's table: batch_size, accumulation, epochs, eval_iters
TABLE = {"conservative": (32, 2, 1, 100), "simple": (64, 4, 2, 200), "l4": (64, 4, 2, 200), "w7900": (96, 4, 2, 200)}


@pytest.mark.parametrize("name", TABLE)
def test_a_defconfig_has_the_documents_values(name: str) -> None:
    c = load([f"gpt2-shakespeare-{name}"]).config
    assert (c.batch_size, c.gradient_accumulation_steps, c.epochs, c.eval_iters) == TABLE[name]
    assert (c.n_layer, c.n_head, c.n_embd, c.block_size, c.dataset) == (12, 12, 768, 256, "shakespeare")
    assert (c.warmup_iters, c.min_lr, c.dropout, c.bias, c.weight_tying) == (100, 6e-5, 0.1, True, True)
    assert (c.optimizer, c.learning_rate, c.weight_decay, c.device, c.compile) == ("adamw", 6e-4, 0.1, "cuda", True)


def test_a_value_knows_its_line_and_a_comment_after_it_is_tolerated() -> None:
    Path(".config").write_text('# mine\nCONFIG_BATCH_SIZE=32  # not 512\nCONFIG_OUT_DIR="a#b" # text\n# CONFIG_BIAS is not set\n')  # fmt: skip
    resolved = load([".config"])
    assert (resolved.config.batch_size, resolved.config.out_dir, resolved.config.bias) == (32, "a#b", False)
    assert resolved.origins["batch_size"] == ".config:2"
    assert load([".config", "--batch_size=8"]).config.batch_size == 8


MISTAKES = [
    ("CONFIG_BATCH_SIZ=32", (":1", "CONFIG_BATCH_SIZ", "unknown symbol", "'CONFIG_BATCH_SIZE'")),
    ("# CONFIG_COMPILE_MODLE is not set", (":1", "unknown symbol", "'CONFIG_COMPILE_MODEL'")),
    ("CONFIG_batch_size=32", (":1", "unknown symbol", "'CONFIG_BATCH_SIZE'")),
    ("CONFIG_MODEL_SELECT_RESNET18=y", (":1", "unknown symbol")),
    ("CONFIG_BATCH_SIZE=0", (":1", "batch_size=0", "at least 1")),
    ("CONFIG_BATCH_SIZE=9999999", (":1", "too large", "1,048,576")),
    ("CONFIG_BATCH_SIZE=many", (":1", "batch_size=many", "whole number")),
    ("CONFIG_BATCH_SIZE=y", (":1", "batch_size=True", "whole number")),
    ("CONFIG_BATCH_SIZE=", (":1", "batch_size", "whole number")),
    ("CONFIG_GPT2_BIAS=2", (":1", "bias=2", "True or False")),
    ('CONFIG_GPT2_DROPOUT="1.5"', (":1", "dropout=1.5", "below 1")),
    ("CONFIG_NORMALIZATION_RMSNORM=3", (":1", "must be y or n")),
    ("CONFIG_NORMALIZATION_RMSNRM=y", (":1", "unknown symbol", "'CONFIG_NORMALIZATION_RMSNORM'")),
    ("CONFIG_SCHEDULE_WSD=y\nCONFIG_SCHEDULE_LINEAR=y", (":1", ":2", "set twice", "wsd", "linear")),
    ("CONFIG_BATCH_SIZE=1\nCONFIG_BATCH_SIZE=2", (":1", ":2", "set twice")),
    ("CONFIG_NUM_EPOCHS=1\nCONFIG_MAX_ITERS=5", (":1", ":2", "only one of")),
    ('CONFIG_DATASET="x', (":1", "quote is not closed")),
    ('CONFIG_DATASET="x" y', (":1", "quote is not closed")),
    ("BATCH_SIZE=32", (":1", "not a setting", "CONFIG_SYMBOL=value")),
    ("CONFIG_BATCH_SIZE", (":1", "not a setting")),
    ("CONFIG_ADAMWPRUNE_BASE_SGD=y", (":1", "unknown symbol", "CONFIG_ADAMWPRUNE_BASE_")),
    ('CONFIG_PRUNING_METHOD="stat"', (":1", "pruning_method", "'state'")),
    ('CONFIG_GPT2_MODEL_NAME="gpt3"', (":1", "model_name=gpt3", "gpt2-xl")),
    *((f"CONFIG_{symbol}=y\nCONFIG_NO_SUCH=1", (":1", symbol, "gptmill matrix")) for symbol in MATRIX),
]


@pytest.mark.parametrize(("text", "says"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_a_mistake_is_one_line_with_its_place(text: str, says: tuple[str, ...]) -> None:
    Path(".config").write_text(text + "\n")
    with pytest.raises(ConfigError) as caught:
        load([".config"])
    assert len(caught.value.problems) == 1
    for words in says:
        assert words in caught.value.problems[0]


@given(st.text())
def test_any_text_is_read_without_a_traceback(text: str) -> None:
    reading = read_dotconfig(text, ".config")
    assert all("\n" not in problem for problem in reading.problems)


def test_defconfig_writes_a_file_that_trains_and_keeps_the_old_one(in_empty_folder: Path) -> None:
    assert main(["defconfig", "gpt2-shakespeare-simple"]) == 0
    assert main(["defconfig", "gpt2-shakespeare-l4"]) == 0
    assert "L4" in Path(".config").read_text() and "24 GB or more" in Path(".config.old").read_text()
    plan = gptmill(in_empty_folder, "plan", ".config", "--max_iters=10", "--json").json()
    assert (plan["tokens_per_iter"], plan["total_tokens"]) == (65_536, 655_360)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["defconfig", "gpt2-shakespeare-simpel"], "did you mean 'gpt2-shakespeare-simple'"),
        (["defconfig", "x"], "one of gpt2-shakespeare-conservative"),
        (["savedefconfig"], "make defconfig-NAME"),
        (["menuconfig"], "needs a terminal"),
        (["olddefconfig"], "say one of"),
        ([], "say one of"),
    ],
)
def test_what_cannot_be_done_is_one_line(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1


def test_the_menus_open_on_a_defconfig_and_leave_it_meaning_the_same(in_empty_folder: Path) -> None:
    wanted = load(["gpt2-shakespeare-simple"]).config
    assert main(["defconfig", "gpt2-shakespeare-simple"]) == 0
    terminal, its_end = pty.openpty()
    menus = subprocess.Popen(
        [sys.executable, "-m", "gptmill.cli.kconfig", "menuconfig"],
        stdin=its_end, stdout=its_end, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(its_end)
    for shown, typed in ((b"Size", b"q"), (b"configuration?", b"y")):
        seen = b""
        while shown not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, typed)
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:  # the program has closed the terminal
        pass
    assert menus.wait(timeout=30) == 0
    assert load([".config"]).config == wanted


def test_without_kconfiglib_a_dotconfig_still_trains_and_the_menus_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "kconfiglib", None)
    assert main(["defconfig", "gpt2-shakespeare-simple"]) == 0
    assert load([".config"]).config.batch_size == 64
    assert main(["menuconfig"]) == 2
    assert "pip install 'gptmill[kconfig]'" in capsys.readouterr().err


def test_the_generated_file_is_kconfig_to_another_parser_call(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").write_text(kconfig_text())
    kconf = kconfiglib.Kconfig(str(tmp_path / "Kconfig"), warn_to_stderr=False)
    assert kconf.syms["N_LAYER"].ranges and kconf.mainmenu_text == "gptmill"
