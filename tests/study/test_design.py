from __future__ import annotations

import pytest

from gptmill.config.files import find_config, text_of
from gptmill.config.yamltree import read_tree
from gptmill.errors import UserError
from gptmill.study.design import SEEDS, Arm, folder_of, read_design, vary

STUDY = """
base: full_gpt2_124m
settings:
  max-iters: 100
seeds: 7
view: flops
detect: 2e-2
drop_hopeless: yes
baseline: two
arms:
  one:
    normalization: rmsnorm
    dropout: 0.1
  two:
"""


def read(text: str):
    return read_design(read_tree(text, "s.yaml"), "s.yaml")


def test_a_study_file_is_read_with_its_baseline_first():
    found = read(STUDY)
    assert found.base == ("full_gpt2_124m", "--max_iters=100")
    assert found.arms == (Arm("two"), Arm("one", ("--normalization=rmsnorm", "--dropout=0.1")))
    assert (found.seeds, found.view, found.detect, found.drop_hopeless) == (7, "flops", 0.02, True)
    least = read("arms:\n  a:\n  b:\n    bias: true\n")
    assert (least.base, least.seeds, least.view, least.baseline) == ((), SEEDS, "tokens", "a")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base: quick", "needs arms"),
        ("arms: [a, b]", "s.yaml:1: arms: must be lines of key: value"),
        ("arms:\n  a:\n", "s.yaml:1: one arm has nothing to be compared with"),
        ("arms:\n  a:\n  b:\n    seed: 3\n", "s.yaml:4: seed: the study sets it"),
        ("arms:\n  a:\n  b:\n    out-dir: x\n", "s.yaml:4: out-dir: the study sets it"),
        ("arms:\n  a:\n  ../b:\n    bias: true\n", "is no name for an arm"),
        ("arms:\n  a:\n  b:\n    bias: [1]\n", "s.yaml:4: arm b: bias: must be one word or number"),
        ("arms:\n  a:\n  b:\nbaseline: bb\n", "s.yaml:4: baseline: no arm is called 'bb'; did you mean 'b'?"),
        ("arms:\n  a:\n  b:\nsseds: 3\n", "s.yaml:4: sseds: no key of a study; did you mean 'seeds'?"),
        ("arms:\n  a:\n  b:\nseeds: 0\n", "s.yaml:4: seeds=0: must be a whole number"),
        ("arms:\n  a:\n  b:\nview: token\n", "s.yaml:4: view=token: must be one of tokens, flops, time; did you mean"),
        ("arms:\n  a:\n  b:\ndetect: nan\n", "s.yaml:4: detect=nan: must be a loss above 0"),
        ("arms:\n  a:\n  b:\ndrop_hopeless: maybe\n", "s.yaml:4: drop_hopeless=maybe: must be True or False"),
    ],
)
def test_what_is_wrong_in_a_study_is_one_line_with_its_place(text, says):
    with pytest.raises(UserError) as error:
        read(text)
    assert len(error.value.problems) == 1 and says in error.value.problems[0]


def nothing_same(flags):
    return False


def test_values_to_vary_become_arms_one_setting_at_a_time():
    found = vary(["lr=1,2", "bias=True"], ["quick"], lambda flags: flags == ["--lr=2"])
    assert found.base == ("quick",)
    assert found.arms == (Arm("baseline"), Arm("lr=1", ("--lr=1",)), Arm("bias=True", ("--bias=True",)))


def test_where_the_config_has_none_of_the_values_the_first_is_the_baselines():
    found = vary(["dropout=0.1,0.2"], ["quick"], nothing_same)
    assert found.base == ("quick", "--dropout=0.1")
    assert found.arms == (Arm("dropout=0.1"), Arm("dropout=0.2", ("--dropout=0.2",)))
    assert vary(["dropout=0.2"], [], nothing_same).arms == (Arm("baseline"), Arm("dropout=0.2", ("--dropout=0.2",)))


@pytest.mark.parametrize("options", [["bias"], ["=1"], ["bias="], ["lr=1,1,2"], ["lr=3"]])
def test_what_cannot_be_varied_is_one_line(options):
    with pytest.raises(UserError):
        vary(options, [], lambda flags: flags == ["--lr=3"])


def test_every_arm_and_seed_has_a_folder_of_its_own_within_the_study():
    names = [folder_of(arm, seed) for arm in ("a b", "+ rope", "x=1,2") for seed in (1, 2)]
    assert len(set(names)) == 6 and not any("/" in name or " " in name for name in names)


def test_the_documents_ablations_are_a_study_by_name():
    found = find_config("ablate_gpt2_to_llama")
    design = read_design(read_tree(text_of(found), found.shown), found.shown)
    assert [arm.name for arm in design.arms] == ["gpt2", "rope", "rmsnorm", "swiglu", "llama"]
    assert design.base[0] == "full_gpt2_124m" and "--max_iters=5000" in design.base
