from __future__ import annotations

import random

import pytest

from gptmill.study.findings import Finding, find, hopeless

BASE = {1: 3.00, 2: 3.10, 3: 2.95, 4: 3.05, 5: 3.20}


def shifted(by: list[float]) -> dict[int, float | None]:
    return {seed: loss + d for (seed, loss), d in zip(BASE.items(), by)}


GAIN = shifted([-0.031, -0.028, -0.033, -0.030, -0.029])
NOISE = shifted([-0.031, 0.028, 0.033, -0.030, 0.004])


def of(arms, **options) -> dict[str, Finding]:
    found = find({"base": BASE, **arms}, "base", options.pop("detect", 0.01), **options)
    return {each.arm: each for each in found}


def test_a_steady_gain_is_better_and_the_sentence_has_its_numbers():
    found = of({"arm": GAIN})["arm"]
    assert found.verdict == "better" and found.comparison
    # by hand: mean .0302, standard deviation .00192, t(.975, 4) = 2.776: .0302 -+ .00239
    assert found.says == "better by 0.0302 [0.0278, 0.0326] nats/token, p = 0.0001 or less after Holm, 5 seeds"


def test_where_chance_is_as_large_nothing_is_claimed_and_the_seeds_it_would_take_are_told():
    found = of({"arm": NOISE})["arm"]
    assert found.verdict == "no difference seen"
    assert "; to see 0.01 would need about 76" in found.says and found.needed == 76  # G*Power 3.1: dz = .01/.0308
    sure = of({"arm": NOISE}, detect=0.2)["arm"]
    assert sure.says.endswith("so a difference of 0.2 is unlikely")


@pytest.mark.parametrize("arm", [GAIN, NOISE, shifted([0.05, 0.02, 0.03, 0.04, 0.03])])
def test_swapping_the_labels_turns_the_verdict_around(arm):
    there = find({"a": BASE, "b": arm}, "a", 0.01)[1]
    back = find({"a": BASE, "b": arm}, "b", 0.01)[0]
    assert {there.verdict, back.verdict} in ({"better", "worse"}, {"no difference seen"})
    assert there.p_holm == pytest.approx(back.p_holm)


def test_one_and_two_seeds_get_no_verdict_whatever_they_show():
    for n in (1, 2):
        few = {seed: BASE[seed] - 1.0 for seed in list(BASE)[:n]}
        found = of({"arm": few})["arm"]
        assert found.verdict == "too few seeds" and found.p_holm is None, n


def test_the_same_losses_to_the_last_digit_mean_that_the_setting_does_nothing():
    assert of({"arm": dict(BASE)})["arm"].verdict == "same runs"
    two = {seed: BASE[seed] for seed in (1, 2)}
    found = find({"base": two, "arm": dict(two)}, "base", 0.01)[1]
    assert found.verdict == "same runs" and "in 2 seeds" in found.says


def test_an_arm_that_lost_runs_is_unstable_and_not_judged_by_its_survivors():
    survivors = {**GAIN, 5: None}
    found = of({"arm": survivors, "other": GAIN})
    assert found["arm"].verdict == "unstable" and found["arm"].lost == (5,)
    assert found["other"].verdict == "better"
    lost = find({"base": {**BASE, 1: None}, "arm": GAIN}, "base", 0.01)[1]
    assert lost.verdict == "unstable" and "1 of the runs of base" in lost.says


def test_every_arm_counts_for_the_correction_also_those_without_a_test():
    close = shifted([-0.02, -0.01, -0.05, -0.01, -0.03])  # p = .032 by itself
    alone = of({"arm": close})["arm"]
    beside = of({"arm": close, "lost": {**GAIN, 1: None}})["arm"]
    assert alone.verdict == "better" and beside.verdict == "no difference seen"
    assert beside.p_holm == pytest.approx(2 * alone.p_holm)


def test_a_dropped_arm_is_neither_better_nor_worse():
    bad = {seed: BASE[seed] + 1 + seed / 100 for seed in (1, 2, 3)}
    assert hopeless(bad, BASE)
    found = of({"arm": bad}, dropped={"arm": 3})["arm"]
    assert found.verdict == "dropped" and found.p_holm is None and "after 3 seeds" in found.says


def test_arms_are_given_up_for_being_worse_only_and_not_after_two_seeds():
    worse = {seed: loss + 0.5 + seed / 1000 for seed, loss in BASE.items()}
    assert hopeless(worse, BASE) and not hopeless(BASE, worse)
    assert not hopeless({1: worse[1], 2: worse[2]}, BASE)
    assert not hopeless(NOISE, BASE)
    for apart, given_up in ((0.24, True), (0.29, False)):  # t = 7.2 and 6.0; with 2 degrees 6.965 has 0.01 above it
        third = {seed: BASE[seed] + 1 + d for seed, d in ((1, -apart), (2, 0), (3, apart))}
        assert hopeless(third, BASE) is given_up


def test_studies_of_equals_claim_no_more_than_promised_and_giving_arms_up_adds_no_claim():
    chance, n_studies = random.Random(7), 300
    claimed = claimed_with_drops = 0
    for _ in range(n_studies):
        arms = {arm: {seed: chance.gauss(3, 0.1) for seed in range(5)} for arm in ("base", "a", "b", "c")}
        found = {each.arm for each in find(arms, "base", 0.01) if each.verdict in ("better", "worse")}
        dropped = {}
        for arm in ("a", "b", "c"):
            for n in (3, 4):
                if arm not in dropped and hopeless(*({s: arms[k][s] for s in range(n)} for k in (arm, "base"))):
                    dropped[arm] = n
        kept = {arm: {s: losses[s] for s in range(dropped.get(arm, 5))} for arm, losses in arms.items()}
        after = find(kept, "base", 0.01, dropped)
        still = {each.arm for each in after if each.verdict in ("better", "worse")}
        assert still <= found
        claimed += bool(found)
        claimed_with_drops += bool(still)
    assert claimed_with_drops <= claimed <= 25  # the 99 % point of Binomial(300, .05)
