from __future__ import annotations

import random

import pytest

from gptmill.study.statistics import compare, detectable, holm, power, seeds_needed

# Student 1908 (Cushny & Peebles' data), as R has it in `sleep`: hours gained with each of two drugs, by patient.
FIRST = dict(enumerate([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]))
SECOND = dict(enumerate([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]))


def test_shared_seeds_are_compared_pair_by_pair_as_r_does():
    found = compare(FIRST, SECOND)  # t.test(extra ~ group, data = sleep, paired = TRUE)
    assert found and found.paired and found.seeds == 10
    assert found.difference == pytest.approx(-1.58)
    assert (found.low, found.high) == pytest.approx((-2.4598858, -0.7001142), abs=1e-6)
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    assert found.effect == pytest.approx(-4.0621 / 10**0.5, abs=1e-4)


def test_groups_without_a_common_seed_are_compared_as_two_samples_as_r_does():
    found = compare(FIRST, {seed + 100: loss for seed, loss in SECOND.items()})  # t.test(extra ~ group, data = sleep)
    assert found and not found.paired
    assert (found.low, found.high) == pytest.approx((-3.3654832, 0.2054832), abs=1e-6)
    assert found.p == pytest.approx(0.07939, abs=5e-6)


def test_a_seed_that_only_one_side_finished_is_left_out():
    found = compare({**FIRST, 77: 1000.0}, {**SECOND, 78: -1000.0})
    assert found == compare(FIRST, SECOND)


def test_order_does_not_matter_and_swapping_the_sides_turns_everything_around():
    one, two = compare(FIRST, SECOND), compare(dict(reversed(SECOND.items())), FIRST)
    assert one and two and (two.difference, two.low, two.high) == pytest.approx((-one.difference, -one.high, -one.low))
    assert (two.p, two.spread) == pytest.approx((one.p, one.spread))


def test_less_than_two_runs_of_a_side_are_no_comparison():
    assert compare({1: 1.0}, {1: 2.0}) is None
    assert compare({1: 1.0, 2: 1.1}, {3: 2.0}) is None
    assert compare({}, SECOND) is None


def test_where_nothing_spreads_equal_losses_are_no_finding():
    found = compare({1: 1.5, 2: 2.5, 3: 2.0}, {1: 1.5, 2: 2.5, 3: 2.0})
    assert found and (found.p, found.low, found.high, found.effect) == (1.0, 0.0, 0.0, None)


def test_holms_correction_is_that_of_r():
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm"); R's order statistics by hand: 4 x .005, 3 x .01, 2 x .03, then no less
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == [] and holm([0.04]) == [0.04]


@pytest.mark.parametrize(
    ("effect", "paired", "needed"), [(0.2, True, 199), (0.5, True, 34), (0.8, True, 15)]
)  # G*Power 3.1 and Cohen 1988: one sample or pairs, two-sided 5 %, power 80 %
def test_the_seeds_needed_are_the_published_ones(effect, paired, needed):
    assert seeds_needed(effect, paired=paired) == needed


def test_two_samples_need_the_published_64_of_each_for_a_medium_effect():
    assert seeds_needed(0.5 / 2**0.5, paired=False) == 64  # Cohen's d has the spread of one group, ours that of both


def test_power_is_the_share_of_simulated_studies_that_find_the_difference():
    chance = random.Random(0)
    found = 0
    for _ in range(400):
        base = {seed: chance.gauss(3.0, 0.1) for seed in range(5)}
        arm = {seed: loss - 0.02 + chance.gauss(0, 0.01) for seed, loss in base.items()}
        comparison = compare(arm, base)
        found += comparison is not None and comparison.p < 0.05
    assert found / 400 == pytest.approx(power(2.0, 5, paired=True), abs=0.06)  # 2.6 standard errors of 400 draws


@pytest.mark.parametrize("seeds", [3, 5, 20])
@pytest.mark.parametrize("paired", [True, False])
def test_what_so_many_seeds_can_see_is_what_needs_so_many(seeds, paired):
    effect = detectable(seeds, paired=paired)
    assert seeds_needed(effect * 1.001, paired=paired) <= seeds
    assert seeds == 3 or seeds_needed(effect * 0.98, paired=paired) > seeds - 1


def test_a_difference_of_nothing_needs_more_seeds_than_anyone_has():
    assert seeds_needed(0.0, paired=True) is None
