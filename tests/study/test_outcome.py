from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

from gptmill.study.design import Arm, Design
from gptmill.study.outcome import curve, lead, outcome
from gptmill.study.page import headline, study_page
from gptmill.study.tables import noise, tables
from tests.report.test_page import HOSTILE, Page
from tests.study.made import made, plain, study

FINALS = {
    "base": [3.00, 3.10, 2.95, 3.05, 3.20],
    "better": [2.97, 3.072, 2.917, 3.02, 3.171],
    "equal": [2.97, 3.13, 2.98, 3.02, 3.204],
}
SEEDS = list(range(5))


def design(*arms: str, **options) -> Design:
    return Design((), tuple(Arm(arm) for arm in arms), **options)


def test_a_study_is_folded_into_findings_runs_and_what_differs(tmp_path: Path):
    found = outcome(design(*FINALS), study(tmp_path, FINALS), {}, SEEDS)
    assert plain(found) == found | {"differences": found["differences"]}
    assert [arm["verdict"] for arm in found["arms"]] == ["baseline", "better", "no difference seen"]
    better = found["arms"][1]
    assert better["difference"] == pytest.approx(np.mean(np.subtract(FINALS["better"], FINALS["base"])))
    assert better["val_loss"] == pytest.approx(np.mean(FINALS["better"])) and better["seeds"] == 5 and better["paired"]
    assert [run["val_loss"] for run in better["runs"]] == FINALS["better"]
    assert better["runs"][0]["tokens"] == 20_000 and better["runs"][0]["flops"] == 200_000
    assert found["differences"] == {"arm": {arm: arm for arm in FINALS}}
    assert found["evaluation"] == {"sequences": 8, "of": 8, "tokens": 80, "share": 1.0}
    assert headline(found) == "better is better than base"


def test_the_final_loss_counts_and_not_the_best_on_the_way(tmp_path: Path):
    logs = {"base": {1: made(tmp_path / "a", [6.0, 3.0, 4.0])}, "arm": {1: made(tmp_path / "b", [6.0, 2.0, 5.0])}}
    found = outcome(design("base", "arm"), logs, {}, [1])
    assert [arm["runs"][0]["val_loss"] for arm in found["arms"]] == [4.0, 5.0]
    assert found["arms"][1]["runs"][0]["best_val_loss"] == 2.0


def test_a_run_that_is_not_finished_has_no_final_loss_and_one_that_failed_withholds_the_verdict(tmp_path: Path):
    logs = study(tmp_path, FINALS)
    logs["better"][4] = made(tmp_path / "unfinished", [6.0, 3.0], finished=False)
    found = outcome(design(*FINALS), logs, {"equal": {2: "error: loss is not finite"}}, SEEDS)
    assert found["arms"][1]["seeds"] == 4 and found["arms"][1]["verdict"] == "better"
    assert found["arms"][2]["verdict"] == "unstable"
    assert found["arms"][2]["runs"][2]["failed"] == "error: loss is not finite"


def test_an_arm_is_dropped_only_where_that_was_asked_for_and_seeds_are_missing(tmp_path: Path):
    logs = study(tmp_path, {"base": FINALS["base"], "bad": [4.0, 4.11, 3.96]})
    assert outcome(design("base", "bad"), logs, {}, SEEDS)["arms"][1]["verdict"] == "worse"
    assert outcome(design("base", "bad", drop_hopeless=True), logs, {}, SEEDS)["arms"][1]["verdict"] == "dropped"
    assert outcome(design("base", "bad", drop_hopeless=True), logs, {}, [0, 1, 2])["arms"][1]["verdict"] == "worse"


def test_losses_of_different_texts_get_no_verdict(tmp_path: Path):
    logs = study(tmp_path, FINALS)
    logs["better"][0].config["dataset"]["value"] = "other"
    found = outcome(design(*FINALS), logs, {}, SEEDS)
    assert not found["comparable"] and {arm["verdict"] for arm in found["arms"]} == {"not comparable"}
    assert headline(found) == "Not comparable"


def test_noise_of_the_evaluation_is_told_and_what_helps_where_it_is_a_large_part(tmp_path: Path):
    found = outcome(design(*FINALS), study(tmp_path, FINALS), {}, SEEDS)
    assert noise(found) == ""
    better, equal = found["arms"][1:]
    better["evaluation_noise"], equal["evaluation_noise"] = 0.0001, 0.002
    assert "moves the difference of a pair by 0.002 at most" in noise(found) and "eval_iters" not in noise(found)
    better["evaluation_noise"] = 0.9 * better["spread_of_differences"]
    assert noise(found).endswith("a larger eval_iters would narrow the intervals")
    better["evaluation_noise"] = equal["evaluation_noise"] = 0.0
    assert "read all of the validation text" in noise(found)


def test_evaluations_of_other_sizes_draw_a_remark(tmp_path: Path):
    logs = study(tmp_path, FINALS)
    for log in logs["better"].values():
        log.plan["eval_sequences"] = 4
    assert any("better 4 of 10 tokens" in says for says in outcome(design(*FINALS), logs, {}, SEEDS)["warnings"])


def test_curves_are_means_and_leads_are_taken_seed_by_seed(tmp_path: Path):
    base = {seed: made(tmp_path / f"b{seed}", [6.0, 4.0 + seed, 3.0 + seed]) for seed in (0, 1)}
    slow = {seed: made(tmp_path / f"s{seed}", [6.0, 3.5 + seed, 2.9 + seed], seconds=2.0) for seed in (0, 1)}
    x_N, losses_SN = curve(base, "tokens")
    assert x_N.tolist() == [0, 10_000, 20_000] and losses_SN.tolist() == [[6.0, 4.0, 3.0], [6.0, 5.0, 4.0]]
    x_N, lead_SN = lead(slow, base, "tokens")
    assert x_N.tolist() == [0, 10_000, 20_000] and lead_SN == pytest.approx(np.array([[0, -0.5, -0.1]] * 2))
    x_N, lead_SN = lead(slow, base, "time")  # at 20 s slow has done half of what base has; later base is not known
    assert x_N.tolist() == [0, 20] and lead_SN == pytest.approx(np.array([[0, 0.5]] * 2))


def page(folder: Path, names: list[str] | None = None) -> str:
    logs = study(folder, dict(zip(names or list(FINALS), FINALS.values())))
    found = outcome(design(*logs), logs, {}, SEEDS)
    return study_page(found, logs, command="gptmill ablate x").decode()


def test_the_page_is_small_and_runs_no_script(tmp_path: Path):
    text = page(tmp_path)
    assert len(text) < 100_000 and "<script" not in text and "script-src 'none'" in html.unescape(text)
    assert text.count("<svg") == 1 + 2 * 4 and "better is better than base" in text.lower()


def test_the_plot_of_intervals_is_to_scale(tmp_path: Path):
    text = page(tmp_path)
    plot = text[text.index("<svg") : text.index("</svg>")]
    ticks = [
        (float(x), float(value))
        for x, value in re.findall(r'<text x="([\d.]+)" y="\d+" text-anchor="middle">([+-]?[\d.]+)<', plot)
    ]
    means = [float(x) for x in re.findall(r'<circle cx="([\d.]+)" cy="[\d.]+" r="5"', plot)]
    slope, offset = np.polyfit(*zip(*ticks), 1)
    expected = [np.mean(np.subtract(FINALS[arm], FINALS["base"])) for arm in ("better", "equal")]
    assert [slope * x + offset for x in means] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_names_stay_text(tmp_path: Path, text: str):
    plain_page = Page(page(tmp_path / "plain").encode())
    hostile = Page(page(tmp_path / "hostile", ["base", text, "equal"]).encode())
    assert {tag for tag, _ in hostile.elements} == {tag for tag, _ in plain_page.elements}


def test_a_study_without_a_finished_run_has_a_page_and_tables(tmp_path: Path):
    logs = {"base": {1: made(tmp_path / "a", [6.0], finished=False)}, "arm": {}}
    found = outcome(design("base", "arm"), logs, {}, [1])
    assert headline(found) == "Too early to tell" and json.dumps(found, allow_nan=False)
    assert study_page(found, logs, command="") and tables(found)
