"""What a sweep file may say: judged by W&B's own schema, drawn as PyTorch's distributions, stopped as W&B stops."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml

from gptmill.config.files import packaged
from gptmill.errors import UserError
from gptmill.study.choose import all_combinations, drawn, named_runs
from gptmill.study.hyperband import to_stop
from gptmill.study.parameters import DISTRIBUTIONS, Parameter
from gptmill.study.sweepfile import Sweep, read_sweep

WANDB = Path(__file__).with_name("wandb")
SCHEMA = json.loads((WANDB / "schema.json").read_text())
METRICS = ["val/loss", "val/ce_loss"]
OURS = next(f.source.read_text() for f in packaged("configs") if f.source.name == "sweep_lambda_openwebtext.yaml")
GOOD = (
    "program: train.py\nmethod: random\nmetric: {name: val/loss}\nparameters:\n  learning_rate: {min: 0.1, max: 1.0}\n"
)


def read(text: str) -> Sweep:
    return read_sweep(text, "s.yaml", METRICS)


def parameter(text: str) -> str:
    return GOOD.replace("{min: 0.1, max: 1.0}", text)


GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "sweep.md").read_text()
FILES = [
    OURS,
    *(block.partition("```")[0] for block in GUIDE.split("```yaml\n")[1:]),
    GOOD,
    GOOD.replace("random", "bayes"),
    GOOD.replace("random", "gird"),
    GOOD.replace("method", "methods"),
    GOOD.replace("metric", "metrik"),
    GOOD + "run_cap: 4\n",
    GOOD + "run_cap: 0\n",
    GOOD + "run_cap: 2.5\n",
    GOOD + "early_terminate: {type: hyperband, min_iter: 3}\n",
    GOOD + "early_terminate: {type: hyperband, max_iter: 27, s: 2, eta: 3}\n",
    GOOD + "early_terminate: {type: hyperband, s: 2}\n",
    GOOD + "early_terminate: {type: median}\n",
    GOOD + "early_terminate: {type: hyperband, min_iter: 3, eta: 1}\n",
    GOOD + "command: [python, '${program}', '${args}']\n",
    GOOD.replace("{name: val/loss}", "{name: val/loss, goal: maximise}"),
    GOOD.replace("{name: val/loss}", "{goal: minimize}"),
    parameter("{values: []}"),
    parameter("{value: 1, values: [1, 2]}"),
    parameter("{values: [1, 2], probabilities: [0.5, -0.5]}"),
    parameter("{values: [1, 2], probabilities: [0.25, 0.75]}"),
    parameter("{min: 1}"),
    parameter("{min: 1, max: 5}"),
    parameter("{mininum: 1, max: 5}"),
    parameter("{distribution: normal}"),
    parameter("{distribution: normal, sigma: -1}"),
    parameter("{distribution: q_normal, mu: 3, sigma: 2, q: 0.5}"),
    parameter("{distribution: q_uniform, min: 0, max: 2, q: 0}"),
    parameter("{distribution: log_uniform_values, min: 0, max: 1}"),
    parameter("{distribution: log_uniform_values, min: 0.001, max: 1}"),
    parameter("{distribution: loguniform, min: 0.001, max: 1}"),
    parameter("{parameters: {beta2: {values: [0.9, 0.95]}, eps: {value: 0.1}}}"),
    parameter("{parameters: {}}"),
    parameter("3"),
]


@pytest.mark.parametrize("text", FILES)
def test_a_file_is_good_here_when_it_is_good_for_wandb(text: str) -> None:
    theirs = not list(jsonschema.Draft7Validator(SCHEMA).iter_errors(yaml.safe_load(text)))
    try:
        read(text)
        ours = True
    except UserError as error:
        ours = False
        assert all(problem.startswith("s.yaml") and "\n" not in problem for problem in error.problems), error
    assert ours == theirs


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("program: train.py", "program: vision.py"), "only train.py is swept here"),
        (GOOD.replace("{name: val/loss}", "{name: val/los}"), "did you mean 'val/loss'?"),
        (GOOD + "job: x\n", "starts runs on W&B's queues"),
        (GOOD.replace("random", "grid"), "s.yaml:5: learning_rate: a grid needs values"),
        (GOOD + "  learning_rate: {value: 1}\n", "learning_rate is set twice"),
        (GOOD + "  a: {parameters: {learning_rate: {value: 1}}}\n", "s.yaml:5 and s.yaml:6: learning_rate is there twice"),
        (parameter("{value: *x}"), "aliases (*name) are not read"),
        (parameter("{min: 1, max: 1000000000000}").replace("random", "grid"), "a grid needs values"),
        (parameter("{distribution: q_uniform, min: 0, max: 1, q: 1e-300}").replace("random", "grid"), "a grid needs values"),
        (parameter("[" * 30 + "]" * 30), "nested more than 20 deep"),
        ("learning_rate: 1\n", "is not a sweep"),
        ("method: [\n", "not valid YAML"),
        ("", "is not a sweep"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_one_line(text: str, says: str) -> None:
    with pytest.raises(UserError) as told:
        read(text)
    assert len(told.value.problems) == 1 and says in told.value.problems[0], told.value


@pytest.mark.parametrize(
    ("text", "drawn_only"),
    [
        ("{min: 900, max: 1000, distribution: log_uniform}", {"inf"}),
        ("{min: -1e308, max: 1e308}", {"inf"}),
        ("{sigma: 1e308, distribution: log_normal}", {"inf", "0"}),
    ],
)
def test_what_no_float_can_hold_is_left_to_the_key_to_refuse(text: str, drawn_only: set[str]) -> None:
    assert {each["learning_rate"] for each in drawn(read(parameter(text)), 20, seed=0)} <= drawn_only


def test_bands_without_end_end() -> None:
    bands = read(GOOD + "early_terminate: {type: hyperband, max_iter: 27, s: 1000000000, eta: 3}\n").bands
    assert bands is not None and bands.at == (1, 3, 9)


def test_the_words_of_a_command_go_to_every_run() -> None:
    command = "command: ['${env}', python, '${program}', configs/quick.py, --max_iters=3, '${args}']\n"
    assert read(GOOD + command).fixed == ("configs/quick.py", "--max_iters=3")


def test_a_grid_is_every_combination_once_the_last_parameter_fastest() -> None:
    sweep = read(OURS)
    lists = {name: each.get("values") or [each["value"]] for name, each in yaml.safe_load(OURS)["parameters"].items()}
    expected = [dict(zip(lists, values)) for values in itertools.product(*lists.values())]
    assert [
        {key: yaml.safe_load(value or "null") for key, value in each.items()} for each in all_combinations(sweep)
    ] == expected
    runs = named_runs(sweep, (), all_combinations(sweep))
    assert [run.id for run in runs] == [f"penalty_weight={weight}" for weight in ("0", "0.005", "0.01", "0.02", "0.05")]


def reference(name: str) -> torch.distributions.Distribution:
    """The same distribution of PyTorch's, with the numbers below."""
    d = torch.distributions
    uniform = d.Uniform(torch.tensor(0.5, dtype=torch.float64), 3.0)
    logs = d.Uniform(torch.tensor(0.5, dtype=torch.float64).log(), math.log(3.0))
    normal = d.Normal(torch.tensor(0.7, dtype=torch.float64), 0.4)
    exp = d.transforms.ExpTransform()
    return {
        "uniform": uniform,
        "log_uniform": d.TransformedDistribution(uniform, exp),
        "inv_log_uniform": d.TransformedDistribution(uniform, [d.transforms.AffineTransform(0, -1), exp]),
        "log_uniform_values": d.TransformedDistribution(logs, exp),
        "inv_log_uniform_values": d.TransformedDistribution(logs, exp),
        "normal": normal,
        "log_normal": d.TransformedDistribution(normal, exp),
    }[name]


NUMBERS = {"min": 0.5, "max": 3.0, "mu": 0.7, "sigma": 0.4, "q": 0.25}


@pytest.mark.parametrize("name", [name for name in DISTRIBUTIONS if name != "int_uniform"])
def test_a_share_of_the_probability_lies_where_pytorch_puts_it(name: str) -> None:
    numbers = {word: NUMBERS[word] for word in DISTRIBUTIONS[name][1]}
    ours = Parameter("x", "", distribution=name, numbers=numbers)
    for share in (0.01, 0.2, 0.5, 0.77, 0.99):
        value = reference(name.removeprefix("q_")).icdf(torch.tensor(share, dtype=torch.float64)).item()
        if name.startswith("q_"):
            value = round(value / 0.25) * 0.25
        assert float(ours.at(share) or "nan") == pytest.approx(value, rel=1e-5)
        assert float(ours.at(ours.share_of(value)) or "nan") == pytest.approx(value, rel=1e-4)


def test_whole_numbers_and_lists_come_as_often_as_they_should() -> None:
    whole = Parameter("x", "", distribution="int_uniform", numbers={"min": 2, "max": 5})
    listed = Parameter("x", "", values=("a", "b", None), weights=(1.0, 0.0, 3.0))
    source = random.Random(0)
    n = 20_000
    found = Counter(whole.draw(source) for _ in range(n))
    assert set(found) == {"2", "3", "4", "5"} and all(abs(times / n - 0.25) < 0.015 for times in found.values())
    found = Counter(listed.draw(source) for _ in range(n))
    assert set(found) == {"a", None} and found["a"] / n == pytest.approx(0.25, abs=0.015)
    assert whole.grid() == ("2", "3", "4", "5")
    assert Parameter("x", "", distribution="q_uniform", numbers={"min": 0.1, "max": 0.5, "q": 0.1}).grid() == (
        "0.1", "0.2", "0.3", "0.4", "0.5",
    )  # fmt: skip


def test_a_longer_search_begins_as_a_shorter_one() -> None:
    assert drawn(read(GOOD), 9, seed=3)[:4] == drawn(read(GOOD), 4, seed=3) != drawn(read(GOOD), 4, seed=4)


@pytest.mark.parametrize("case", json.loads((WANDB / "hyperband.json").read_text()))
def test_hyperband_stops_the_runs_that_wandb_stops(case: dict[str, Any]) -> None:
    text = GOOD + f"early_terminate: {json.dumps(case['early_terminate'])}\n"
    bands = read(text).bands
    assert bands is not None
    assert sorted(to_stop(bands, case["histories"], case["going"])) == case["stop"]


def test_the_search_goes_by_the_record_alone_and_finds_a_valley_sooner_than_chance() -> None:
    from gptmill.study.bayes import suggest

    sweep = read(parameter("{distribution: log_uniform_values, min: 1e-5, max: 1}") + "  seed: {value: 7}\n")

    def reached(settings: dict[str, str | None]) -> float:
        return abs(math.log10(float(settings["learning_rate"] or 0)) + 3)

    def search(seed: int) -> list[dict[str, str | None]]:
        chosen: list[dict[str, str | None]] = []
        for n in range(30):
            before = [(each, reached(each), False) for each in chosen]
            chosen.append(suggest(sweep.parameters, before, maximize=False, seed=100 * seed + n))
        return chosen

    found = search(1)
    again = suggest(sweep.parameters, [(each, reached(each), False) for each in found[:20]], maximize=False, seed=120)
    assert again == found[20], "the record is all that it goes by"
    late = [reached(each) for seed in (1, 2, 3) for each in search(seed)[20:]]
    assert sum(late) / len(late) < 0.6 * 1.3, "1.3 decades is the mean distance of a blind choice"
    assert {each["seed"] for each in found} == {"7"}
