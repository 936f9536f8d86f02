"""The core and the oracle side by side: every call goes to both, and everything seen must agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from iova._core import Memory, RawDomain
from oracle import OracleDomain, OracleMemory

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Setting:
    """How a pair of domains is made."""

    granule: int = 4096
    start: int = 1
    possible: int = 2
    online: int = 2
    design: str = "linux-7.3"
    classes: int = 6

    @property
    def d32(self) -> int:
        return 2**32 // self.granule


class SideBySide:
    """A domain of the core and one of the oracle. A disagreement is an AssertionError."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.core_memory = Memory()
        self.oracle_memory = OracleMemory()
        self.steps: list[str] = []
        self.now = 0
        self.live: list[tuple[int, int]] = []  #: (pfn, size as asked for) of what nobody freed
        self.create()

    # ---- life ----

    def create(self) -> None:
        self.steps.append(f"create {self.setting}")
        self.core = RawDomain(**vars(self.setting), memory=self.core_memory)
        self.oracle = OracleDomain(**vars(self.setting), memory=self.oracle_memory)
        self.online = set(range(self.setting.online))
        self.live.clear()

    def destroy(self) -> None:
        self.call("destroy")
        assert (self.core_memory.magazines, self.core_memory.ranges) == (0, 0)
        assert (self.oracle_memory.magazines, self.oracle_memory.ranges) == (0, 0)
        self.compare_memory()

    def fail_next(self, magazines: int, ranges: int) -> None:
        self.steps.append(f"fail_next {magazines=} {ranges=}")
        for memory in (self.core_memory, self.oracle_memory):
            memory.fail_magazines, memory.fail_ranges = magazines, ranges

    # ---- calls ----

    def call(self, name: str, *args: Any) -> Any:
        """Make one call on both; its result, or the class of what was raised."""
        self.steps.append(f"{name}{args}")
        expected = _outcome(getattr(self.oracle, name), args)
        got = _outcome(getattr(self.core, name), args)
        assert got == expected, f"{name}{args} gave {got}, the oracle says {expected}"
        return expected

    def alloc(self, cpu: int, size: int, limit: int, flush: bool) -> int:
        pfn: int = self.call("alloc", cpu, size, limit, flush, self.now)
        if pfn != 0:
            self.live.append((pfn, size))
        return pfn

    def alloc_raw(self, size: int, limit: int, align: bool) -> int:
        pfn: int = self.call("alloc_raw", size, limit, align)
        if pfn != -1:
            self.live.append((pfn, size))
        return pfn

    def free_live(self, cpu: int, index: int) -> None:
        """Fast free of one of ``live``, stating the size that was asked for."""
        pfn, size = self.live.pop(index)
        self.call("free", cpu, pfn, size, self.now)

    def free_live_raw(self, index: int, offset: int) -> None:
        """Raw free of one of ``live`` by a page frame inside it."""
        pfn, size = self.live.pop(index)
        self.call("free_raw", pfn + offset % size)

    def pass_time(self, ns: int) -> None:
        self.now += ns
        self.call("run_due", self.now)

    def cpu_offline(self, cpu: int) -> None:
        self.online.discard(cpu)
        self.call("cpu_offline", cpu)

    def cpu_online(self, cpu: int) -> None:
        self.online.add(cpu)
        self.call("cpu_online", cpu)

    # ---- everything that can be seen ----

    def compare(self) -> None:
        core, oracle = self.core, self.oracle
        for name in (
            "d32", "online", "possible", "warnings", "reclaim_runs", "has_caches", "classes",
            "search_starts", "walked",
        ):  # fmt: skip
            _agree(name, getattr(core, name), getattr(oracle, name))
        _agree("next_deadline", core.next_deadline(), oracle.next_deadline())
        self.compare_memory()
        assert _same(core.ranges(), oracle.ranges()), "ranges differ"
        if oracle.has_caches:
            for size_class in range(oracle.classes):
                self._compare_class(size_class)

    def compare_memory(self) -> None:
        for name in ("magazines", "ranges", "fail_magazines", "fail_ranges"):
            _agree(
                f"memory.{name}", getattr(self.core_memory, name), getattr(self.oracle_memory, name)
            )

    def _compare_class(self, size_class: int) -> None:
        core, oracle = self.core, self.oracle
        _agree(f"due({size_class})", core.due(size_class), oracle.due(size_class))
        got, expected = core.depot(size_class), oracle.depot(size_class)
        _agree(f"length of depot({size_class})", len(got), len(expected))
        for place, (a, b) in enumerate(zip(got, expected, strict=True)):
            assert _same(a, b), f"depot({size_class})[{place}] is {a}, the oracle says {b}"
        for cpu in range(oracle.possible):
            for previous in (False, True):
                held = core.magazine(cpu, size_class, previous)
                wanted = oracle.magazine(cpu, size_class, previous)
                name = f"magazine({cpu}, {size_class}, {previous})"
                assert _same(held, wanted), f"{name} is {held}, the oracle says {wanted}"


def _outcome(call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return call(*args)
    except (ValueError, MemoryError) as error:
        return type(error)


def _agree(name: str, got: object, expected: object) -> None:
    assert got == expected, f"{name} is {got}, the oracle says {expected}"


def _same(a: Words | None, b: Words | None) -> bool:
    return a is b is None or (a is not None and b is not None and np.array_equal(a, b))
