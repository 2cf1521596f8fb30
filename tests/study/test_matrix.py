"""gptmill matrix: which runs a matrix has, the folder it leaves, and what its entrances say."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from gptmill.cli.main import run
from gptmill.cli.matrix_asked import AS_WRITTEN, Varied, asked_for
from gptmill.cli.matrix_results import ranking, write_results
from gptmill.cli.studying import check
from gptmill.config.files import packaged
from gptmill.config.load import load
from gptmill.config.schema import Config
from gptmill.config.symbols import OPTIMIZERS, PRUNING
from gptmill.errors import UserError
from gptmill.study.matrix import Axes, cells
from gptmill.study.record import Run, result
from gptmill.track.jsonl import read_events
from tests.cli.run import ROOT, SMALL, gptmill, prepare_tiny
from tests.study.made import made

FLAGS = [word for word in SMALL if not word.startswith(("--learning_rate", "--max_iters"))]
VARIED = ["--optimizers=adamw", "--pruning=none,magnitude", "--sparsities=50"]


def ids(name: str) -> list[str]:
    return [run.id for run in asked_for([name], [], AS_WRITTEN).runs]


def test_the_documented_matrix_has_the_twelve_runs_that_its_file_enables() -> None:
    kinds = [("adamw", "movement"), ("adamwspam", "movement"), ("adamwprune", "state")]
    expected = [
        f"gpt2_{optimizer}_{tail}"
        for optimizer, method in kinds
        for tail in ("none", *(f"{method}_{percent}" for percent in (50, 70, 90)))
    ]
    assert ids("gpt2-shakespeare-matrix") == expected
    assert len(ids("gpt2-shakespeare")) == 5


def test_all_six_optimizers_and_all_methods_are_the_39_runs_of_kconfigs_defaults() -> None:
    axes = Axes(("gpt2",), OPTIMIZERS, PRUNING, (50, 70, 90))
    found = {(cell.optimizer, cell.method, cell.sparsity) for cell in cells(axes)}
    expected = set()
    for optimizer, method, percent in itertools.product(OPTIMIZERS, PRUNING, (0.5, 0.7, 0.9)):
        prunes_itself = optimizer == "adamwprune"
        if method == "none":
            expected.add((optimizer, method, 0.0))
        elif prunes_itself == (method == "state"):
            expected.add((optimizer, method, percent))
    assert found == expected and len(cells(axes)) == len({cell.id for cell in cells(axes)}) == len(expected) == 39


def written(folder: Path, text: str) -> str:
    (folder / "my.config").write_text(text)
    return str(folder / "my.config")


def test_models_optimizers_and_sparsities_come_from_the_symbols_people_know(tmp_path: Path) -> None:
    text = (
        'CONFIG_MODEL_MODE_MULTIPLE=y\nCONFIG_TEST_MODELS="gpt2,gpt2-medium"\nCONFIG_OPTIMIZER_MODE_MULTIPLE=y\n'
        "CONFIG_OPTIMIZER_ENABLED_ADAMW=y\n# CONFIG_OPTIMIZER_ENABLED_SGD is not set\nCONFIG_PRUNING_MODE_MULTIPLE=y\n"
        "CONFIG_TEST_PRUNING_MAGNITUDE=y\nCONFIG_TEST_SPARSITY_95=y\nCONFIG_BATCH_SIZE=7\nCONFIG_PARALLEL_JOBS=3\n"
    )
    asked = asked_for([written(tmp_path, text)], ["--seed=4"], Varied(override_epochs=2))
    runs = asked.runs
    assert [run.id for run in runs] == ["gpt2_adamw_magnitude_95", "gpt2-medium_adamw_magnitude_95"]
    assert runs[1].argv == (
        "--seed=4", "--epochs=2", "--model_name=gpt2-medium", "--optimizer=adamw", "--pruning_method=magnitude",
        "--target_sparsity=0.95",
    )  # fmt: skip
    assert runs[1].settings == {"batch_size": "7"} and asked.origins["batch_size"].endswith(":9") and asked.jobs == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("CONFIG_OPTIMIZER_MODE_MULTIPLE=y\n", "no optimizer is enabled; try CONFIG_OPTIMIZER_ENABLE_ADAMW=y"),
        ("CONFIG_MODEL_MODE_MULTIPLE=y\n", "no model is enabled"),
        ('CONFIG_MODEL_MODE_MULTIPLE=y\nCONFIG_TEST_MODELS="gpt3"\n', "CONFIG_TEST_MODELS: gpt3: must be one of gpt2"),
        ("CONFIG_BATCH_SIZE=3\n", "varies nothing; add --optimizers"),
        ("CONFIG_OPTIMZER_MODE_MULTIPLE=y\n", "unknown symbol"),
        ("CONFIG_TEST_MATRIX_MODE=y\nCONFIG_PRUNING_MODE_MULTIPLE=y\nCONFIG_PRUNING_ENABLE_STATE=y\n", "goes with adamwprune only"),
    ],
)  # fmt: skip
def test_a_matrix_without_runs_says_why_in_a_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError) as told:
        asked_for([written(tmp_path, text)], [], AS_WRITTEN)
    assert len(told.value.problems) == 1 and says in told.value.problems[0]


def test_a_value_that_is_missing_or_wrong_is_a_line_each_before_anything_starts(tmp_path: Path) -> None:
    prepare_tiny(tmp_path)
    done = gptmill(
        tmp_path, "matrix", "quick", "--optimizers=adamw,adamx", "--pruning=none,magnitud", "--sparsities=50"
    )
    lines = done.err.splitlines()
    assert done.code == 2 and len(lines) == 2, done.err
    assert all(any(word in line for line in lines) for word in ("adamx", "did you mean 'magnitude'?"))
    assert not list(tmp_path.glob("test_matrix_results_*"))
    for words, says in [
        (["matrix"], "name a config"),
        (["matrix", "quick", "--sparsities=half"], "must be percentages"),
        (["matrix", "--continue_dir=newest"], "no test_matrix_results_* here"),
        (["matrix", "--summary=nothing"], "no results of a matrix"),
        (["matrix", "quick", *VARIED, "--filter_optimizer=sgd"], "no run has it; those here: adamw"),
        (["matrix", "quick", *VARIED, "--out_dir=a", "--parallel=0"], "--parallel=0: must be at least 1"),
    ]:
        done = gptmill(tmp_path, *words)
        assert done.code == 2 and says in done.err and done.err.count("\n") == 1, done.err


def test_what_contradicts_a_matrix_or_says_nothing_is_a_line_and_never_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, says in [
        (["quick", "--optimizers=adamw", "--optimizer=sgd"], "--optimizer=sgd: --optimizers=adamw varies it"),
        (
            ["gpt2-shakespeare-matrix", "--pruning_method=none"],
            "--pruning_method=none: configs/gpt2-shakespeare-matrix",
        ),
        (["quick", *VARIED, "--target_sparsity=0.7"], "--sparsities=50 varies it"),
        (["quick", "--optimizers=adamw", "--pruning=none", "--sparsities=50"], "a dense run has none"),
        (["quick", "--optimizers=", "--pruning=none"], "--optimizers=: names nothing"),
        (["quick", *VARIED, "--filter_optimizer=,"], "--filter_optimizer=: names nothing"),
        (["quick", "--continue_dir=newest"], "leave quick out"),
        (["--summary=newest", "--pruning=none"], "leave what is to vary out"),
        (["--summary=newest", "--rerun_dir=newest"], "--rerun_dir and --summary: give one of them"),
        (["--rerun_dir="], "names no folder"),
        (["quick", *VARIED, "--dry_rn"], "--dry_rn: unknown option; did you mean '--dry_run'?"),
        (["--config_dir=."], "has no config_*"),
    ]:
        with pytest.raises(UserError) as told:
            run(["matrix", *words])
        assert len(told.value.problems) == 1 and says in told.value.problems[0], (words, told.value.problems)


def test_an_axis_that_nobody_lists_is_what_config_and_flags_come_to(tmp_path: Path) -> None:
    (tmp_path / "sgd.yaml").write_text("optimizer: sgd\nlearning_rate: 0.5\n")
    asked = asked_for([str(tmp_path / "sgd.yaml")], ["--target_sparsity=0.25"], Varied(pruning="none,magnitude"))
    assert [run.id for run in asked.runs] == ["gpt2_sgd_none", "gpt2_sgd_magnitude_25"]
    listed = asked_for(["quick"], [], Varied(optimizers="adamw,adamwprune", pruning="none,state", sparsities="50"))
    assert [run.id for run in listed.runs] == ["gpt2_adamw_none", "gpt2_adamwprune_none", "gpt2_adamwprune_state_50"]


MATRIX = """\
test_matrix:
  models: [gpt2]
  optimizers: [adamw, adamwprune]
  pruning_methods: [none, state]
  sparsity_levels: [0.5, 90]
common_config:
  batch_size: 7
  num_workers: 4
  pruning: {warmup_steps: 3, frequency: 2, ramp_end_epoch: 8}
advanced: {compile_model: false, mixed_precision: true}
"""


def test_a_matrix_in_yaml_and_a_folder_of_configs_have_the_runs_they_name(tmp_path: Path) -> None:
    (tmp_path / "test-matrix.yaml").write_text(MATRIX)
    runs = asked_for([], ["--seed=4"], Varied(config_yaml=str(tmp_path / "test-matrix.yaml"))).runs
    assert [run.id for run in runs] == [
        "gpt2_adamw_none", "gpt2_adamwprune_none", "gpt2_adamwprune_state_50", "gpt2_adamwprune_state_90",
    ]  # fmt: skip
    (resolved,) = check(runs[-1:])
    wanted = {"batch_size": 7, "pruning_warmup": 3, "pruning_interval": 2, "compile": False, "dtype": "auto", "seed": 4}
    assert {key: getattr(resolved.config, key) for key in wanted} == wanted
    assert (resolved.config.optimizer, resolved.config.target_sparsity) == ("adamwprune", 0.9)
    guide = (ROOT / "docs" / "guide" / "matrix.md").read_text()
    (tmp_path / "guide.yaml").write_text(guide.split("```yaml\n")[1].partition("```")[0])
    assert [run.id for run in asked_for([str(tmp_path / "guide.yaml")], [], AS_WRITTEN).runs] == [
        run.id for run in runs
    ]
    defaults = {key: field.default for key, field in Config.model_fields.items()}
    assert (
        f"`adamwprune_beta2={defaults['adamwprune_beta2']}`, where `beta2` is {defaults['beta2']} by default" in guide
    )
    with pytest.raises(UserError, match="is a matrix, runs of every combination"):
        load([str(tmp_path / "test-matrix.yaml")])
    for old, new, says in [
        ("sparsity_levels: [0.5, 90]", "sparsity_levels: [0.5, 900]", "test-matrix.yaml:5: sparsity_levels: 900"),
        ("optimizers:", "optimizer:", "test-matrix.yaml:3: optimizer: unknown key of test_matrix"),
        ("models: [gpt2]", "models: [resnet18]", "models: resnet18: must be one of gpt2"),
        ("compile_model: false", "compile_model: maybe", "test-matrix.yaml:10: compile_model: maybe"),
    ]:
        (tmp_path / "test-matrix.yaml").write_text(MATRIX.replace(old, new))
        with pytest.raises(UserError) as told:
            asked_for([str(tmp_path / "test-matrix.yaml")], [], AS_WRITTEN)
        assert len(told.value.problems) == 1 and says in told.value.problems[0], told.value.problems
    (tmp_path / "config_a").write_text("CONFIG_BATCH_SIZE=4\nCONFIG_OPTIMIZER_SELECT_ADAM=y\n")
    (tmp_path / "config_b").write_text(
        "CONFIG_BATCH_SIZE=8\nCONFIG_OPTIMIZER_SELECT_SGD=y\nCONFIG_PRUNING_SELECT_MAGNITUDE=y\nCONFIG_TARGET_SPARSITY=0.7\n"
    )
    runs = asked_for([], [], Varied(config_dir=tmp_path)).runs
    assert [run.id for run in runs] == ["config_a_gpt2_adam_none", "config_b_gpt2_sgd_magnitude_70"]
    assert [each.config.batch_size for each in check(runs)] == [4, 8]


def test_a_pruning_optimizer_with_numbers_of_its_own_is_told_where_the_results_are(tmp_path: Path) -> None:
    plans = {
        "gpt2_adamw_none": {"optimizer": "adamw", "base_optimizer": "adamw", "beta1": 0.9, "beta2": 0.95},
        "gpt2_adamwprune_none": {"optimizer": "adamwprune", "base_optimizer": "adamw", "beta1": 0.9, "beta2": 0.999},
    }
    runs = [Run(id, (f"--optimizer={plan['optimizer']}", "--pruning_method=none")) for id, plan in plans.items()]
    for id, plan in plans.items():
        made(tmp_path / id, [6.0, 3.0], **plan)
    found = write_results(tmp_path, [result(tmp_path, each) for each in runs])
    says = "adamwprune is adamw with other numbers too (beta2 0.999 in place of 0.95); --adamwprune_beta2=0.95"
    assert [says in (each["remark"] or "") for each in found] == [False, True]
    assert says in ranking(found).note and says in (tmp_path / "summary_report.txt").read_text()
    assert says in (tmp_path / "graphs" / "compare.html").read_text()
    plans["gpt2_adamwprune_none"]["beta2"] = 0.95
    made(tmp_path / "again" / runs[0].id, [6.0, 3.0], **plans["gpt2_adamw_none"])
    made(tmp_path / "again" / runs[1].id, [6.0, 3.0], **plans["gpt2_adamwprune_none"])
    alike = write_results(tmp_path / "again", [result(tmp_path / "again", each) for each in runs])
    assert not any(each["remark"] for each in alike) and not ranking(alike).note


def test_the_folder_holds_what_it_should_and_the_same_command_begins_no_run_twice(tmp_path: Path) -> None:
    prepare_tiny(tmp_path)
    config = next(
        f.source.read_text() for f in packaged("configs") if f.source.name == "gpt2-shakespeare-matrix.config"
    )
    (tmp_path / ".config").write_text(config)
    words = [
        "matrix",
        ".config",
        *VARIED,
        *FLAGS,
        "--compile=False",
        "--n_layer=1",
        "--max_iters=12",
        "--pruning_warmup=2",
        "--pruning_interval=2",
    ]
    planned = gptmill(tmp_path, *words, "--dry_run")
    assert planned.code == 0 and "gpt2_adamw_magnitude_50" in planned.out and "2 runs" in planned.out
    assert not list(tmp_path.glob("test_matrix_results_*"))
    done = gptmill(tmp_path, *words, "--json")
    found = done.json()
    (study,) = tmp_path.glob("test_matrix_results_*")
    assert study.name == found["study_dir"] and len(study.name) == len("test_matrix_results_YYYYMMDD_HHMMSS")
    assert (study / "config.txt").read_text() == config
    listed = json.loads((study / "all_results.json").read_text())
    assert [each["test_id"] for each in listed] == ["gpt2_adamw_none", "gpt2_adamw_magnitude_50"]
    assert [each["success"] for each in listed] == [True, True]
    assert [each["sparsities"][-1] for each in listed] == [0.0, pytest.approx(0.5, abs=1e-3)]
    for each in listed:
        folder = study / each["test_id"]
        assert json.loads((folder / "training_metrics.json").read_text()) == each
        evals = [event["val_loss"] for event in read_events(folder) if event["event"] == "eval_done"]
        assert (
            each["val_losses"] == evals
            and each["best_val_loss"] == min(evals)
            and each["iterations"] == list(range(1, 13))
        )
        assert (folder / "output.log").read_text() and not (folder / "error.txt").exists()
    assert "2 of 2 runs finished" in (study / "summary_report.txt").read_text()
    assert (study / "graphs" / "compare.html").stat().st_size > 10_000
    again = gptmill(tmp_path, "matrix", "--continue_dir=newest")
    assert again.code == 0 and "gpt2_adamw_none" in again.out, again.err
    assert sum(event["event"] == "run_started" for event in read_events(study / "gpt2_adamw_none")) == 1
    left = gptmill(tmp_path, "matrix", "--continue_dir=newest", "--dry_run")
    assert "2 of 2 are finished" in left.err
    (study / "summary_report.txt").unlink()
    assert gptmill(tmp_path, "matrix", f"--summary={study.name}").code == 0
    assert (study / "summary_report.txt").exists()
