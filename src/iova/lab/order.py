"""Finds an order of points in which each gives its recorded result.

Points are executed at their deadlines, one after the other, and each result is checked at once. If
a point X fails at its deadline, six repairs are tried, in this order:

1. if X got the result of another open point (entered, not yet executed), that one first, and so on
   with what X gets then;
2. any other open point first, the same CPU's before others', then X;
3. back into X's interval: X just before an executed point that is on X's CPU or that exchanged a
   magazine with the depot, nearest first, and all that was undone again after it;
4. the same for another open point, back into its interval, then X at its deadline or together
   with the other;
5. two or three other open points first, then X: needed where many CPUs crowd at one tree;
6. if X took a magazine off the depot: an executed exchange with the depot back into its interval,
   before another one. Which of two magazines was put on the other shows only when one is taken.

A repair is accepted if every point it moves gives its recorded result. If nothing repairs a point,
the repairs shortly before it are reconsidered, last one first: each may have given the recorded
results in the wrong order. No point ever leaves its interval. The search is bounded: by the repairs
that are allowed, by the executions they may cost, and by how far it looks; a chain with several
points that nothing repairs is not searched on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import permutations, takewhile
from typing import Final, Protocol

#: Executed points that a repair may undo.
LONGEST_WINDOW: Final = 20_000
#: Open points that a repair tries to put first.
OPEN_CANDIDATES: Final = 64
#: Open points of which several may go first, and how many.
CROWD: Final = 6
MORE_FIRST: Final = (2, 3)
#: Points that are searched for open ones.
OPEN_SCAN: Final = 50_000
#: Repairs that are reconsidered for one point, and points between them and it.
RECONSIDERATIONS: Final = 200
FARTHEST_BACK: Final = 1000
#: Points of a chain that no repair helped, after which no more is tried.
HOPELESS: Final = 8


class State(Protocol):
    """What points act on."""

    @property
    def shows_late(self) -> bool:
        """Whether two steps in the wrong order may give their results, and a later one not."""

    def execute(self, point: int) -> bool:
        """Execute a point; whether it gave its recorded result."""

    def undo(self) -> bool:
        """Take back the last execution; whether it exchanged a magazine with a depot."""

    def gave(self, point: int) -> bool:
        """Whether what the last execution gave is the recorded result of this other point.

        A state that undoes cheaply, so that others can be tried one by one, may always say no.
        """


@dataclass
class Budget:
    """What a search may still spend."""

    repairs: int
    executions: int = 6_000_000


@dataclass
class Order:
    """An order of a chain's points and how it was found."""

    points: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)  #: in no tried order was the result right
    repaired: int = 0
    longest_window: int = 0  #: points, most that one repair moved


@dataclass(frozen=True)
class Interval:
    """CPU, entry and deadline of each point of a chain, sorted by deadline."""

    cpu: list[int]
    entry: list[int]
    end: list[int]


def at_deadlines(state: State, count: int) -> list[int]:
    """Execute ``count`` points in their order, with no search; those that failed."""
    execute = state.execute
    return [point for point in range(count) if not execute(point)]


def find_order(state: State, chain: Interval, budget: Budget) -> Order:
    """Find an order of ``chain`` in which as many points as possible give their result."""
    return _Search(state, chain, budget).run()


@dataclass
class _Repair:
    """A repair in force."""

    point: int  # that failed at its deadline
    ways: Iterator[int]  # carries out one way after another; gives how many points it moved
    moved: int
    executed: int  # how many points are executed with it


@dataclass
class _Stuck:
    """The furthest point that nothing repairs yet, and what led to it."""

    point: int
    executed: list[int]
    repairs: list[_Repair]
    tries: int = 0


class _Search:
    def __init__(self, state: State, chain: Interval, budget: Budget) -> None:
        self._state = state
        self._cpu, self._entry, self._end = chain.cpu, chain.entry, chain.end
        self._budget = budget
        self._done = bytearray(len(self._end))
        self._executed: list[int] = []
        self._wrong: set[int] = set()  # points that nothing helped
        self._repairs: list[_Repair] = []
        self._settled = 0  # how many of them are not reconsidered any more
        self._stuck = _Stuck(-1, [], [])
        spans = zip(self._entry, self._end, strict=True)
        self._longest = max((end - entry for entry, end in spans), default=0)

    def run(self) -> Order:
        execute, done, executed = self._state.execute, self._done, self._executed
        point = 0
        while point < len(done):
            if done[point]:
                pass
            elif execute(point):
                done[point] = 1
                executed.append(point)
            else:
                point = self._repair(point)
            point += 1
        moved = max((repair.moved for repair in self._repairs), default=0)
        return Order(executed, sorted(self._wrong), len(self._repairs), moved)

    def _repair(self, point: int) -> int:
        """Do something about ``point``, just executed in vain; the last point dealt with."""
        if self._may_search():
            exchanged = self._state.undo()
            ways = self._ways(point, exchanged)
            moved = next(ways, 0)
            if moved:
                self._budget.repairs -= 1
                self._repairs.append(_Repair(point, ways, moved, len(self._executed)))
                return point
            earlier = self._reconsider(point)
            if earlier is not None:
                return earlier
            point = self._stuck.point
            self._state.execute(point)
        elif self._stuck.point > point:
            self._state.undo()
            self._return_to_stuck()
            point = self._stuck.point
            self._state.execute(point)
        self._commit([point])
        self._wrong.add(point)
        self._settled = len(self._repairs)
        return point

    def _may_search(self) -> bool:
        budget = self._budget
        return budget.repairs > 0 and budget.executions > 0 and len(self._wrong) < HOPELESS

    # Ways to repair a failure. Each carries out one way after another, and takes it back when it
    # is asked for the next one; with the last one gone everything is as it was.

    def _ways(self, point: int, exchanged: bool) -> Iterator[int]:
        others = self._open(point)
        yield from self._in_place_of(point, others)
        yield from self._after(point, permutations(others, 1))
        yield from self._earlier([point], [])
        for other in others:
            yield from self._earlier([other], [point])
            yield from self._earlier([other, point], [])
        for first in MORE_FIRST:
            yield from self._after(point, permutations(others[:CROWD], first))
        if exchanged and self._state.shows_late:
            yield from self._exchanged_earlier(point)

    def _open(self, point: int) -> list[int]:
        """Points entered and not executed at the deadline of ``point``."""
        now, cpu = self._end[point], self._cpu[point]
        same: list[int] = []
        others: list[int] = []
        for other in range(point + 1, min(point + OPEN_SCAN, len(self._end))):
            if self._end[other] - self._longest > now or len(others) >= OPEN_CANDIDATES:
                break
            if self._entry[other] <= now and not self._done[other]:
                (same if self._cpu[other] == cpu else others).append(other)
        return (same + others)[:OPEN_CANDIDATES]

    def _in_place_of(self, point: int, others: list[int]) -> Iterator[int]:
        """``point`` after those whose results it gets in place of its own, one after another."""
        first: list[int] = []
        while not self._state.execute(point):
            left = (other for other in others if other not in first)
            other = next(filter(self._state.gave, left), None)
            self._state.undo()
            if other is None or self._budget.executions <= 0 or not self._execute_all([other]):
                for _ in first:
                    self._state.undo()
                return
            first.append(other)
        self._commit([*first, point])
        yield len(first)
        self._take_back(len(first) + 1)

    def _after(self, point: int, firsts: Iterable[tuple[int, ...]]) -> Iterator[int]:
        """``point`` after each of ``firsts``."""
        for first in firsts:
            if self._budget.executions <= 0:
                return
            if self._execute_all([*first, point]):
                self._commit([*first, point])
                yield len(first)
                self._take_back(len(first) + 1)

    def _earlier(self, points: list[int], then: list[int]) -> Iterator[int]:
        """``points`` before executed ones, nearest first, and ``then`` at the end."""
        executed, cpu = self._executed, self._cpu[points[-1]]
        latest_entry = max(self._entry[point] for point in points)
        undone: list[int] = []
        while executed and len(undone) < LONGEST_WINDOW and self._budget.executions > 0:
            before = executed[-1]
            if self._end[before] < latest_entry:
                break
            exchanged = self._state.undo()
            executed.pop()
            undone.append(before)
            if exchanged or self._cpu[before] == cpu:
                again = points + undone[::-1] + then
                if self._execute_all(again):
                    self._commit(again)
                    yield len(again)
                    self._take_back(len(again))
        self._put_back(undone)

    def _exchanged_earlier(self, point: int) -> Iterator[int]:
        """An executed exchange before another that it overlaps, nearest first, then ``point``."""
        executed = self._executed
        undone: list[int] = []
        exchanges: list[int] = []  # of those undone, what may go before all of them
        while executed and len(undone) < LONGEST_WINDOW and self._budget.executions > 0:
            before = executed[-1]
            exchanges = [one for one in exchanges if self._entry[one] <= self._end[before]]
            exchanged = self._state.undo()
            executed.pop()
            undone.append(before)
            if not exchanged:
                continue
            for one in reversed(exchanges):
                again = [one, *(other for other in reversed(undone) if other != one), point]
                if self._execute_all(again):
                    self._commit(again)
                    yield len(again)
                    self._take_back(len(again))
            exchanges.append(before)
        self._put_back(undone)

    def _put_back(self, undone: list[int]) -> None:
        """Execute again what was undone, last first."""
        self._budget.executions -= 2 * len(undone)
        for before in reversed(undone):
            self._state.execute(before)
        self._commit(undone[::-1])

    def _execute_all(self, points: list[int]) -> bool:
        """Execute ``points``; if one fails, take all back."""
        for count, point in enumerate(points, 1):
            if not self._state.execute(point) and point not in self._wrong:
                for _ in range(count):
                    self._state.undo()
                self._budget.executions -= 2 * count
                return False
        self._budget.executions -= len(points)
        return True

    def _commit(self, points: list[int]) -> None:
        self._executed.extend(points)
        for point in points:
            self._done[point] = 1

    def _take_back(self, count: int) -> None:
        """Undo the last ``count`` executions."""
        for _ in range(count):
            self._state.undo()
            self._done[self._executed.pop()] = 0
        self._budget.executions -= count

    # What to do when no way helps: an earlier repair gave the recorded results, but not the state.

    def _reconsider(self, point: int) -> int | None:
        """Repair an earlier point in another way; which one, None: there is none to try."""
        if point > self._stuck.point:
            repairs = [replace(repair) for repair in self._repairs]
            self._stuck = _Stuck(point, self._executed.copy(), repairs)
        stuck = self._stuck
        while len(self._repairs) > self._settled and stuck.tries < RECONSIDERATIONS:
            repair = self._repairs[-1]
            if stuck.point - repair.point > FARTHEST_BACK or self._budget.executions <= 0:
                break
            stuck.tries += 1
            self._take_back(len(self._executed) - repair.executed)
            repair.moved = next(repair.ways, 0)
            if repair.moved:
                repair.executed = len(self._executed)
                return repair.point
            self._repairs.pop()
            self._budget.repairs += 1
        self._return_to_stuck()
        return None

    def _return_to_stuck(self) -> None:
        """Restore what led to the furthest point, for good."""
        stuck = self._stuck
        pairs = zip(self._executed, stuck.executed, strict=False)
        same = sum(takewhile(bool, (a == b for a, b in pairs)))
        self._take_back(len(self._executed) - same)
        for point in stuck.executed[same:]:
            self._state.execute(point)
        self._commit(stuck.executed[same:])
        self._budget.repairs -= len(stuck.repairs) - len(self._repairs)
        self._repairs = stuck.repairs.copy()
        self._settled = len(self._repairs)
