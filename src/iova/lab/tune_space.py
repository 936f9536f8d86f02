"""Which values of a design's parameters are tried, and how to step from one to the next.

A range is ``key=low..high``, with ``,log`` (ratios matter, not differences) or ``,STEP`` after it.
With a number that has a point its values are real, else whole. Without any range given, the
parameters of a built-in design are tuned within the bounds it declares, switches excepted, and of
a user's the ranges in its attribute ``tuned``, a sequence of texts of that form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from iova.designs import BuiltinDesign, DesignSpec, Parameter, builtin_designs, parse_design
from iova.errors import IovaError

#: A bound may not be larger: beyond it whole numbers are no longer exact as float.
_LARGEST: Final = 2.0**53

#: Where a design declares bounds this far apart, ratios matter.
_LOG_FROM: Final = 1000

#: A step between neighbours is this part of a range, unless the range is logarithmic.
_NEIGHBOUR: Final = 1 / 16

MOST_PARAMETERS: Final = 16

_FORM: Final = "key=low..high, with ,log or ,STEP after it; for example threshold=0..512,log"
_RANGE: Final = re.compile(r"(?P<low>-?[0-9.]+?)\.\.(?P<high>-?[0-9.]+)(?:,(?P<how>[a-z0-9.]+))?")

#: A parameter's value.
Value = int | float
#: A setting: values in the order of the ranges; None: the design chooses.
Values = tuple[Value | None, ...]


def rounded_value(value: float) -> float:
    """A real value as it is written: steps add up to 0.3, not to 0.30000000000000004."""
    return float(f"{value:.12g}")


@dataclass(frozen=True)
class Range:
    """The values of one parameter."""

    name: str
    low: Value
    high: Value
    step: Value | None = None  #: None: 1 of whole numbers, any of real ones
    log: bool = False
    unit: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def count(self) -> int | None:
        """How many values there are; None: any number."""
        step = self._step
        return None if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1

    @property
    def _step(self) -> Value | None:
        return 1 if self.step is None and self.is_whole else self.step

    def values(self) -> list[Value]:
        """All of them, rising; only where they can be counted."""
        step, count = self._step, self.count
        if step is None or count is None:
            raise ValueError(f"{self.name} has any number of values")
        return [self._legal(self.low + i * step) for i in range(count)]

    def place_of(self, value: Value) -> float:
        """Where in the range a value lies, 0..1."""
        if self.high == self.low:
            return 0.0
        if self.log:
            offset = self.log_offset
            whole = math.log((self.high + offset) / (self.low + offset))
            return math.log((max(value, self.low) + offset) / (self.low + offset)) / whole
        return (value - self.low) / (self.high - self.low)

    def value_at(self, place: float) -> Value:
        """The value nearest to a place."""
        place = min(max(place, 0.0), 1.0)
        if self.log:
            offset = self.log_offset
            ratio = (self.high + offset) / (self.low + offset)
            return self._legal((self.low + offset) * ratio**place - offset)
        return self._legal(self.low + place * (self.high - self.low))

    def moved(self, value: Value, by: float) -> Value | None:
        """The value so far away (a part of the range, negative: below), at least the next one.

        None: the range ends there.
        """
        found = self.value_at(self.place_of(value) + by)
        step = self._step
        if found == value and step is not None:
            found = self._legal(value + math.copysign(1, by) * step)
        return None if found == value else found

    def neighbours(self, value: Value) -> list[Value]:
        """The values on each side of one: half and twice of it, or a sixteenth of the range off."""
        by = _NEIGHBOUR
        if self.log and self.high > self.low:
            by = math.log(2) / math.log(
                (self.high + self.log_offset) / (self.low + self.log_offset)
            )
        found = [self.moved(value, -by), self.moved(value, by)]
        return [one for one in found if one is not None]

    @property
    def log_offset(self) -> int:
        """What is added before the logarithm is taken, so that 0 has one."""
        return 1 if self.low == 0 else 0

    def _legal(self, value: float) -> Value:
        value = min(max(value, self.low), self.high)
        step = self._step
        if step is not None:
            steps = min(round((value - self.low) / step), (self.count or 1) - 1)
            value = self.low + steps * step
        return round(value) if self.is_whole else rounded_value(value)

    def __str__(self) -> str:
        how = ",log" if self.log else f",{self.step}" if self.step is not None else ""
        return f"{self.name}={self.low}..{self.high}{how}"


@dataclass(frozen=True)
class Space:
    """A design, and the parameters of it that are tuned."""

    design: str  #: as the user named it; what is fixed in it stays
    ranges: tuple[Range, ...]

    @property
    def count(self) -> int | None:
        """How many settings there are; None: any number."""
        counts = [one.count for one in self.ranges]
        return None if None in counts else math.prod(count for count in counts if count)

    def text(self, values: Values) -> str:
        """The setting as ``--design`` takes it."""
        pairs = zip(self.ranges, values, strict=True)
        chosen = [f"{one.name}={value}" for one, value in pairs if value is not None]
        return ",".join([self.design, *chosen])

    def spec(self, values: Values) -> DesignSpec:
        """The setting as a design.

        Raises:
            DesignError: the design refuses it.
        """
        return parse_design(self.text(values))


# ------------------------------------------------------------------------------- reading


def parse_space(design: DesignSpec, texts: Sequence[str]) -> Space:
    """Read the ranges to be tuned.

    Args:
        design: what the user named; its parameters stay fixed.
        texts: ranges; none: all that a built-in design declares, but its switches, or what a
            user's class has in ``tuned``.

    Raises:
        IovaError: a range can not be read or is not the design's, or there is nothing to tune.
    """
    fixed = {name for name, _ in design.params}
    builtin = next((one for one in builtin_designs() if one.name == design.name), None)
    declared = builtin if design.policy_class is None else None
    ranges = [_parse_range(text) for text in texts or _tuned_by_class(design)]
    for one in ranges:
        _check_range(one, ranges, fixed if texts else set(), declared, design)
    if not ranges and declared:
        ranges = [_declared(p) for p in declared.parameters if not _is_switch(p)]
    if not texts:
        ranges = [one for one in ranges if one.name not in fixed]
    if not ranges:
        raise IovaError(
            f"--design {design.text} has no parameter to tune"
            + ("; name one with --param, or in its class' tuned" if design.policy_class else "")
        )
    if len(ranges) > MOST_PARAMETERS:
        raise IovaError(f"--param: at most {MOST_PARAMETERS} parameters are tuned at a time")
    return Space(design.text, tuple(_with_unit(one, declared) for one in ranges))


def _tuned_by_class(design: DesignSpec) -> Sequence[str]:
    tuned = getattr(design.policy_class, "tuned", ())
    if not isinstance(tuned, tuple | list) or not all(isinstance(one, str) for one in tuned):
        raise IovaError(f"--design {design.text}: tuned is no sequence of ranges, {_FORM}")
    return tuple(tuned)


def _is_switch(parameter: Parameter) -> bool:
    return (parameter.minimum, parameter.maximum) == (0, 1)


def _declared(parameter: Parameter) -> Range:
    low, high = parameter.minimum, parameter.maximum
    is_wide = low >= 0 and high - low >= _LOG_FROM
    return Range(parameter.name, low, high, log=is_wide)


def _with_unit(one: Range, declared: BuiltinDesign | None) -> Range:
    units = {p.name: p.unit for p in declared.parameters} if declared else {}
    return Range(one.name, one.low, one.high, one.step, one.log, units.get(one.name, ""))


def _check_range(
    one: Range,
    ranges: Sequence[Range],
    fixed: set[str],
    declared: BuiltinDesign | None,
    design: DesignSpec,
) -> None:
    if [other.name for other in ranges].count(one.name) > 1:
        raise IovaError(f"--param {one.name} is given twice")
    if one.name in fixed:
        raise IovaError(f"--param {one.name}: --design {design.text} fixes it; name it once")
    if declared is None:
        return
    known = {p.name: p for p in declared.parameters}
    parameter = known.get(one.name)
    if parameter is None:
        names = ", ".join(known) or "none"
        raise IovaError(f"--param {one}: {design.name} has no {one.name}; its parameters: {names}")
    if not one.is_whole:
        raise IovaError(f"--param {one}: {one.name} takes whole numbers")
    if one.low < parameter.minimum or one.high > parameter.maximum:
        raise IovaError(
            f"--param {one}: {one.name} is within {parameter.minimum}..{parameter.maximum}"
        )


def _parse_range(text: str) -> Range:
    name, equals, bounds = text.partition("=")
    match = _RANGE.fullmatch(bounds.strip())
    if not (equals and name.strip().isidentifier() and match):
        raise IovaError(f"--param {text!r} is not of the form {_FORM}")
    low, high = _number(match["low"], text), _number(match["high"], text)
    how = match["how"]
    if (isinstance(low, int)) != (isinstance(high, int)):
        low, high = float(low), float(high)
    step = None if how in (None, "log") else _number(how, text)
    if isinstance(low, int) and isinstance(step, float):
        raise IovaError(f"--param {text}: the step of whole numbers is whole")
    if isinstance(low, float) and step is not None:
        step = float(step)
    problem = _range_problem(low, high, step, how == "log")
    if problem:
        raise IovaError(f"--param {text}: {problem}")
    return Range(name.strip(), low, high, step, how == "log")


def _range_problem(low: Value, high: Value, step: Value | None, log: bool) -> str | None:
    if max(abs(low), abs(high)) > _LARGEST:
        return "a bound is beyond 2**53"
    if low > high:
        return "it ends before it starts"
    if step is not None and not 0 < step <= max(high - low, 1e-300):
        return "the step must be above 0 and within the range"
    if log and (low < 0 or (low == 0 and isinstance(low, float))):
        return "a logarithmic range starts above 0 (of whole numbers, at 0)"
    return None


def _number(text: str, whole: str) -> Value:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise IovaError(f"--param {whole!r} is not of the form {_FORM}") from None
