import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iova.workloads import Distribution, WorkloadError, mean_of, quantile_table
from iova.workloads.distributions import LONGEST_PS, QUANTILES

US = 10**6

SPREADS = [
    Distribution("constant", median=5.0),
    Distribution("uniform", low=2.0, high=7.0),
    Distribution("uniform", low=3.0, high=3.0),
    Distribution("exponential", mean=100.0),
    Distribution("lognormal", median=80.0, sigma=0.0),
    Distribution("lognormal", median=80.0, sigma=0.1),
    Distribution("lognormal", median=80.0, sigma=0.5),
    Distribution("lognormal", median=80.0, sigma=1.0),
]


def mean_of_table(table: np.ndarray) -> float:
    """Of a uniform draw, read with linear interpolation."""
    values = table.astype(np.float64)
    return float((values[1:] + values[:-1]).mean() / 2)


@pytest.mark.parametrize("times", SPREADS, ids=str)
def test_a_table_rises_and_has_the_right_mean_and_median(times: Distribution) -> None:
    table = quantile_table(times, US)
    assert table is not None
    assert table.shape == (QUANTILES,)
    assert table.dtype == np.uint64
    assert (np.diff(table.astype(np.int64)) >= 0).all()
    assert mean_of_table(table) == pytest.approx(mean_of(times) * US, rel=5e-4)
    medians = {
        "constant": times.median,
        "lognormal": times.median,
        "exponential": (times.mean or 0) * np.log(2),
        "uniform": ((times.low or 0) + (times.high or 0)) / 2,
    }
    assert int(table[QUANTILES // 2]) == pytest.approx(medians[times.spread] * US, rel=1e-6)


def test_means_are_the_textbooks() -> None:
    assert mean_of(3.5) == 3.5
    assert mean_of(Distribution("constant", median=3.5)) == 3.5
    assert mean_of(Distribution("uniform", low=1, high=4)) == 2.5
    assert mean_of(Distribution("exponential", mean=9)) == 9
    assert mean_of(Distribution("lognormal", median=2, sigma=1)) == pytest.approx(2 * np.exp(0.5))


def test_a_plain_number_is_a_constant_and_nothing_is_no_table() -> None:
    table = quantile_table(2.5, US)
    assert table is not None
    assert set(table.tolist()) == {2_500_000}
    assert quantile_table(0, US) is None
    assert quantile_table(Distribution("exponential", mean=0), US) is None


def test_an_exponential_has_the_right_quantiles() -> None:
    table = quantile_table(Distribution("exponential", mean=100.0), US)
    assert table is not None
    for part in (1, 256, 768, 1000, 1023):
        expected = -np.log(1 - part / (QUANTILES - 1)) * 100 * US
        assert int(table[part]) == pytest.approx(expected, rel=1e-6)


def test_times_are_bounded() -> None:
    table = quantile_table(Distribution("lognormal", median=1e12, sigma=4), US)
    assert table is not None
    assert int(table.max()) == LONGEST_PS


@given(st.floats(0, 1e12), st.floats(0, 4), st.sampled_from([1, 10**6, 10**12]))
def test_every_lognormal_gives_a_rising_table(median: float, sigma: float, unit: int) -> None:
    table = quantile_table(Distribution("lognormal", median=median, sigma=sigma), unit)
    if table is not None:
        assert (np.diff(table.astype(np.int64)) >= 0).all()
        assert int(table[-1]) <= LONGEST_PS


@pytest.mark.parametrize(
    ("values", "key", "told"),
    [
        ({"spread": "normal"}, "spread", '"constant", "uniform"'),
        ({"spread": "constant"}, "median", "is missing"),
        ({"spread": "exponential", "median": 3.0}, "median", "does not belong"),
        ({"spread": "exponential", "mean": -1.0}, "mean", "must be 0 to"),
        ({"spread": "exponential", "mean": float("nan")}, "mean", "must be 0 to"),
        ({"spread": "exponential", "mean": float("inf")}, "mean", "must be 0 to"),
        ({"spread": "exponential", "mean": True}, "mean", "must be a number"),
        ({"spread": "lognormal", "median": 3.0}, "sigma", "is missing"),
        ({"spread": "lognormal", "median": 3.0, "sigma": 5.0}, "sigma", "must be 0 to 4"),
        ({"spread": "uniform", "low": 3.0, "high": 2.0}, "high", "must be at least low"),
        ({"spread": "uniform", "low": 3.0}, "high", "is missing"),
    ],
)
def test_what_describes_no_distribution_is_refused(values: dict, key: str, told: str) -> None:
    with pytest.raises(WorkloadError, match=told) as caught:
        Distribution(**values)
    assert caught.value.key == key
