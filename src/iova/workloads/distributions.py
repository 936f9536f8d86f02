"""Distributions of times, and the tables of quantiles that the simulated machine draws from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt

from iova.workloads.checks import Real, WorkloadError, check_fields

#: Entries of a table: quantiles at 0, 1/1024, ... 1.
QUANTILES: Final = 1025

#: No time is longer, in picoseconds: 13 days.
LONGEST_PS: Final = 1 << 60

_MOST: Final = 1e12
_CELLS: Final = QUANTILES - 1
_NORMAL: Final = NormalDist()

#: What describes each spread.
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "constant": ("median",),
    "uniform": ("low", "high"),
    "exponential": ("mean",),
    "lognormal": ("median", "sigma"),
}


@dataclass(frozen=True)
class Distribution:
    """How long something takes, in the unit that the name of its key gives.

    ``constant`` has a ``median``, ``uniform`` runs from ``low`` to ``high``, ``exponential`` has a
    ``mean``, ``lognormal`` a ``median`` and ``sigma``, the standard deviation of the logarithm.

    Raises:
        WorkloadError: a number is out of range, is missing, or does not belong to the spread.
    """

    spread: Literal["constant", "uniform", "exponential", "lognormal"]
    median: Annotated[float | None, Real(0, _MOST)] = None
    mean: Annotated[float | None, Real(0, _MOST)] = None
    low: Annotated[float | None, Real(0, _MOST)] = None
    high: Annotated[float | None, Real(0, _MOST)] = None
    sigma: Annotated[float | None, Real(0, 4)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        needed = _NEEDED[self.spread]
        for key in ("median", "mean", "low", "high", "sigma"):
            given = getattr(self, key) is not None
            if given != (key in needed):
                problem = "does not belong to" if given else "is missing from"
                raise WorkloadError(
                    key,
                    f'{problem} spread "{self.spread}", which is given by: {", ".join(needed)}.',
                )
        if self.low is not None and self.high is not None and self.high < self.low:
            raise WorkloadError("high", f"must be at least low, {self.low:g}.")


def quantile_table(times: Distribution | float, unit_ps: int) -> npt.NDArray[np.uint64] | None:
    """Quantiles in picoseconds, rising, to be read with linear interpolation.

    Read so, they have the distribution's mean within 0.05 %, above a sigma of 1 within 1 %.

    Args:
        times: a number is a constant.
        unit_ps: picoseconds of the unit the numbers are in.

    Returns:
        uint64 of shape (:data:`QUANTILES`,); None: always zero.
    """
    if not isinstance(times, Distribution):
        times = Distribution("constant", median=times)
    table = np.minimum(_quantiles(times) * float(unit_ps), float(LONGEST_PS))
    whole = np.rint(np.maximum.accumulate(table)).astype(np.uint64)
    return whole if whole[-1] else None


def mean_of(times: Distribution | float) -> float:
    """The distribution's mean, in its own unit."""
    if not isinstance(times, Distribution):
        return times
    if times.spread == "uniform":
        return (_given(times.low) + _given(times.high)) / 2
    if times.spread == "exponential":
        return _given(times.mean)
    widening = math.exp(_given(times.sigma) ** 2 / 2) if times.spread == "lognormal" else 1.0
    return _given(times.median) * widening


def _given(value: float | None) -> float:
    assert value is not None  # noqa: S101 - Distribution has checked it
    return float(value)


def _quantiles(times: Distribution) -> npt.NDArray[np.float64]:
    match times.spread:
        case "constant":
            return np.full(QUANTILES, _given(times.median))
        case "uniform":
            return np.linspace(_given(times.low), _given(times.high), QUANTILES)
        case "exponential":
            return _exponential() * _given(times.mean)
        case "lognormal":
            return _lognormal(_given(times.sigma)) * _given(times.median)


def _exponential() -> npt.NDArray[np.float64]:
    """Of mean 1."""
    inner = [-math.log1p(-cell / _CELLS) for cell in range(_CELLS)]
    # The last cell has no upper end. Its mean is 1 + its lower end, which the end must give back.
    return np.array([*inner, inner[-1] + 2.0])


def _lognormal(sigma: float) -> npt.NDArray[np.float64]:
    """Of median 1; the ends are put where the outermost cells have the right mean."""
    inner = [math.exp(sigma * _NORMAL.inv_cdf(cell / _CELLS)) for cell in range(1, _CELLS)]
    edge = _NORMAL.inv_cdf(1 / _CELLS)
    mean = math.exp(sigma**2 / 2) * _CELLS
    lowest = 2 * mean * _NORMAL.cdf(edge - sigma) - inner[0]
    highest = 2 * mean * _NORMAL.cdf(edge + sigma) - inner[-1]
    return np.array([max(lowest, 0.0), *inner, max(highest, inner[-1])])
