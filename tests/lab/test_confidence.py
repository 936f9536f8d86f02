"""Confidence intervals and the permutation test, against independent calculations."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from iova.lab import confidence
from iova.lab.confidence import half_width, least_p, mean_of, permutation_p, t_quantile


def student_tail(t: float, freedom: int) -> float:
    """Two-sided tail of Student's t by Simpson's rule over its density."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    scale /= math.sqrt(freedom * math.pi)
    x = np.linspace(0, t, 20_001)
    density = scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    weights = np.ones_like(x)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return 1 - 2 * float(weights @ density) * (x[1] - x[0]) / 3


@pytest.mark.parametrize("freedom", [*range(1, 32), 40, 60, 120, 1000])
def test_the_quantile_cuts_off_5_percent(freedom: int) -> None:
    assert student_tail(t_quantile(freedom), freedom) == pytest.approx(
        0.05, abs=6e-5
    )  # three decimals


def test_the_half_width_is_the_textbook_s() -> None:
    # Mean 2, standard deviation 1, so 4.303 / sqrt(3).
    assert half_width([1, 2, 3]) == pytest.approx(4.303 / math.sqrt(3))
    assert half_width([7]) is None
    assert half_width([7, 7, 7]) == 0


def test_the_interval_holds_the_mean_in_95_of_100_draws() -> None:
    random = np.random.default_rng(5)
    draws = random.normal(3.0, 2.0, (4000, 5)).tolist()
    inside = 0
    for values in draws:
        half = half_width(values)
        assert half is not None
        inside += abs(mean_of(values) - 3.0) <= half
    assert inside / 4000 == pytest.approx(0.95, abs=0.012)


def test_the_mean_of_equal_counts_stays_a_count() -> None:
    assert isinstance(mean_of([3, 3, 3]), int)
    assert mean_of([3, 4]) == 3.5


def p_of(earlier: list[float], now: list[float]) -> float:
    tables = (np.array(values, dtype=np.float64)[:, np.newaxis] for values in (earlier, now))
    return float(permutation_p(*tables)[0])


def p_by_hand(earlier: list[float], now: list[float]) -> float:
    values = earlier + now
    observed = abs(sum(now) / len(now) - sum(earlier) / len(earlier))
    ways = list(combinations(range(len(values)), len(now)))
    extreme = 0
    for chosen in ways:
        left = [v for i, v in enumerate(values) if i not in chosen]
        picked = [values[i] for i in chosen]
        difference = abs(sum(picked) / len(picked) - sum(left) / len(left))
        extreme += difference >= observed - 1e-9
    return extreme / len(ways)


@pytest.mark.parametrize("sizes", [(1, 4), (2, 2), (3, 3), (4, 4), (5, 3), (2, 7)])
def test_p_counts_every_way_to_deal_the_runs(sizes: tuple[int, int]) -> None:
    random = np.random.default_rng(sum(sizes))
    for _ in range(20):
        earlier, now = (random.integers(0, 8, n).astype(float).tolist() for n in sizes)
        assert p_of(earlier, now) == pytest.approx(p_by_hand(earlier, now))


def test_p_is_least_where_the_sides_do_not_overlap_and_1_where_they_are_equal() -> None:
    assert p_of([1, 2, 3, 4], [11, 12, 13, 14]) == pytest.approx(2 / 70)
    assert least_p(4, 4) == pytest.approx(2 / 70)
    assert p_of([1, 2], [11, 12, 13, 14]) == pytest.approx(least_p(2, 4)) == pytest.approx(1 / 15)
    assert p_of([5, 6, 7], [5, 6, 7]) == 1
    assert p_of([0.1] * 5, [0.1] * 5) == 1


def test_sums_that_only_round_differently_are_equal() -> None:
    earlier, now = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert p_of(earlier, now) == 1


def test_with_too_many_ways_random_ones_are_tried_always_the_same() -> None:
    far = p_of(list(range(12)), list(range(100, 112)))
    assert far == 1 / (confidence.RANDOM_WAYS + 1)
    near = p_of(list(range(12)), list(range(1, 13)))
    assert near == p_of(list(range(12)), list(range(1, 13)))
    # By the exact test of ten of each, which is about as far apart.
    assert near == pytest.approx(p_of(list(range(10)), list(range(1, 11))), abs=0.1)


def test_chance_alone_is_rarely_called_significant() -> None:
    random = np.random.default_rng(11)
    earlier, now = random.normal(size=(5, 2000)), random.normal(size=(5, 2000))
    p = permutation_p(earlier, now)
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.015)
    assert p.min() >= least_p(5, 5)
