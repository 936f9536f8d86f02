"""What a row of a conformance sequence may say: operations, their arguments, their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: How many of the arguments ``a`` to ``d`` each operation uses.
ARGUMENTS: Final = {
    "IN": 4, "IR": 0, "PD": 0,
    "AF": 3, "AC": 3, "AR": 3, "FF": 1, "FR": 1, "FX": 2, "FP": 1, "FN": 1, "RS": 2,
    "CD": 1, "CU": 1,
    "TK": 0, "XM": 1, "XI": 1, "DS": 0,
}  # fmt: skip
ALLOCATIONS: Final = frozenset({"AF", "AC", "AR"})
FREES_OF_ROWS: Final = frozenset({"FF", "FR"})
NEED_CACHES: Final = frozenset({"AF", "AC", "FF", "FX"})
HOTPLUG: Final = frozenset({"CD", "CU"})
WITHOUT_DOMAIN: Final = frozenset({"TK", "XM", "XI"})

MAX_CPUS: Final = 8192
MAX_GRANULE: Final = 4096  #: bytes
MAX_T_US: Final = 2**62 // 1000


class RowRules:
    """Says of each row, asked for in turn, what keeps it from having a meaning.

    Args:
        op: the operation of every row, None where the field is empty.
    """

    def __init__(self, op: Sequence[str | None]) -> None:
        self._op = op
        self._t_us = 0
        self._possible = 0  # CPUs of the domain; 0: there is no domain
        self._has_caches = False

    def problem(
        self,
        row: int,
        t_us: int | None,
        cpu: int | None,
        a: int | None,
        b: int | None,
        c: int | None,
        d: int | None,
    ) -> str | None:
        """What is wrong with a row, or None.

        Args:
            row: its number, from 0.
            t_us: its columns; None where the field is no number from 0 to 2**64-1.
            cpu: likewise, and so on.
            a: the arguments; what the operation does not use does not matter.
            b: likewise.
            c: likewise.
            d: likewise.
        """
        op = self._op[row]
        count = ARGUMENTS.get(op or "")
        if op is None or count is None:
            return f"there is no operation {(op or '')[:40]!r}"
        if t_us is None or cpu is None or None in (a, b, c, d)[:count]:
            missing = "abcd"[(a, b, c, d).index(None)] if None not in (t_us, cpu) else "t_us or cpu"
            return f"{op} needs a number from 0 to 2**64-1 in {missing}"
        if not self._t_us <= t_us <= MAX_T_US:
            return "time goes back" if t_us < self._t_us else "t_us is too large"
        self._t_us = t_us
        a, b, c, d = a or 0, b or 0, c or 0, d or 0
        return self._problem_of_arguments(row, op, a, b, c) or self._problem_of_life(
            op, cpu, a, c, d
        )

    def _problem_of_arguments(self, row: int, op: str, a: int, b: int, c: int) -> str | None:
        if op in FREES_OF_ROWS:
            earlier = a < row and self._op[a] in ALLOCATIONS
            return None if earlier else f"row {a} is no allocation before this row"
        if op in ALLOCATIONS:
            if c > 1:
                return "the flag in c must be 0 or 1"
            return "a size of 0 has no meaning" if a == 0 else None
        if op == "FX" and b == 0:
            return "a size of 0 has no meaning"
        if op == "IN" and (a.bit_count() != 1 or a > MAX_GRANULE):
            return f"the granule must be a power of two up to {MAX_GRANULE}"
        return None

    def _problem_of_life(self, op: str, cpu: int, a: int, c: int, d: int) -> str | None:
        """Whether there is a domain, with caches, with that CPU."""
        if op == "IN":
            if self._possible:
                return "the domain before this one was not torn down"
            if not 1 <= d <= c <= MAX_CPUS:
                return f"want 1 <= online CPUs <= possible CPUs <= {MAX_CPUS}"
            self._possible, self._has_caches = c, False
            return None
        if not self._possible:
            return None if op in WITHOUT_DOMAIN else "there is no domain"
        if cpu >= self._possible or (op in HOTPLUG and a >= self._possible):
            return f"there is no CPU {a if cpu < self._possible else cpu}"
        if op in NEED_CACHES:
            return None if self._has_caches else f"{op} has no meaning before IR"
        if op == "IR" and self._has_caches:
            return "the range caches are there already"
        if op == "IR":
            self._has_caches = True
        elif op == "PD":
            self._possible = 0
        return None
