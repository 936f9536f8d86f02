"""How far numbers of several runs can be trusted: confidence intervals and a permutation test.

Runs differ by their seed alone, so they are independent draws. The interval is Student's: half
of its width is t times the standard error of the mean. The test is the exact permutation test
of Fisher (1935) and Pitman (1937): if the earlier and the new runs were draws of the same
thing, every way to deal the numbers to the two sides would be as likely as the one observed; p
is the share of the ways whose means differ at least as much. It assumes no distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

#: Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom: NIST/SEMATECH
#: e-Handbook of Statistical Methods, section 1.3.6.7.2.
T_QUANTILES: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip

#: The same of the normal distribution.
NORMAL_QUANTILE: Final = 1.959964

#: Up to so many ways to deal the runs to two sides all are tried.
MOST_WAYS: Final = 200_000
#: Where there are more, so many random ones.
RANDOM_WAYS: Final = 20_000
RANDOM_SEED: Final = 1

#: Differences of means closer than this, relative to the numbers, are the same: sums round.
SAME: Final = 1e-12


def mean_of(values: Sequence[float]) -> float:
    """The mean; equal values keep their type, so a count stays a whole number."""
    if min(values) == max(values):
        return values[0]
    return math.fsum(values) / len(values)


def t_quantile(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t.

    Beyond the table the expansion of Cornish and Fisher around the normal quantile (Abramowitz
    and Stegun, 26.7.5); its error there is below 0.001.
    """
    if freedom <= len(T_QUANTILES):
        return T_QUANTILES[freedom - 1]
    z = NORMAL_QUANTILE
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def half_width(values: Sequence[float]) -> float | None:
    """Half of the width of the mean's 95 % confidence interval; None for a single value."""
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return t_quantile(n - 1) * math.sqrt(variance / n)


def least_p(earlier: int, now: int) -> float:
    """The least p that so many runs on each side can reach, however far apart they lie."""
    same_size = 2 if earlier == now else 1
    return same_size / math.comb(earlier + now, now)


def permutation_p(
    earlier: npt.NDArray[np.float64], now: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Two-sided p of the differences of means.

    Args:
        earlier: runs x metrics.
        now: runs x the same metrics.

    Returns:
        One p a metric, in (0, 1].
    """
    values = np.concatenate([earlier, now])
    sides = _ways(len(earlier), len(now))
    of_now = sides @ values / len(now)
    of_earlier = (values.sum(axis=0) - sides @ values) / len(earlier)
    observed = np.abs(now.mean(axis=0) - earlier.mean(axis=0))
    slack = SAME * np.abs(values).max(axis=0, initial=0)
    extreme = np.count_nonzero(np.abs(of_now - of_earlier) >= observed - slack, axis=0)
    if math.comb(len(values), len(now)) > MOST_WAYS:  # the way observed is one of them, too
        return np.asarray((extreme + 1) / (len(sides) + 1))
    return np.asarray(extreme / len(sides))


def _ways(earlier: int, now: int) -> npt.NDArray[np.float64]:
    """Ways to choose the runs that are called new: 1 for those that are. Ways x runs."""
    runs = earlier + now
    if math.comb(runs, now) <= MOST_WAYS:
        chosen = np.array(list(combinations(range(runs), now)), dtype=np.intp)
    else:
        random = np.random.default_rng(RANDOM_SEED)
        order = np.argsort(random.random((RANDOM_WAYS, runs)), axis=1)
        chosen = order[:, :now]
    sides = np.zeros((len(chosen), runs))
    np.put_along_axis(sides, chosen, 1.0, axis=1)
    return sides
