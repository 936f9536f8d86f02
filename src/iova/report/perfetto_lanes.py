"""Which calls can share a track: on one track of a timeline slices must nest.

The calls of a CPU mostly follow one another or nest (a tree allocation within an allocation, an
interrupt within a call). One that began within another and ended after it, as when its task was put
off and resumed, gets another track of the same CPU, a *lane*. Lane 0 has the rest.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

#: Lanes a CPU may have; a call that finds no room in them is no slice but an instant.
MOST_LANES: Final = 64

#: In place of a lane: there was no room.
NO_LANE: Final = -1

Times = npt.NDArray[np.int64]


class Lanes:
    """The calls that have begun and not ended, CPU by CPU. Memory: at most what is open at once."""

    def __init__(self) -> None:
        self._open: dict[int, list[list[int]]] = {}  # CPU: per lane the ends, the outermost first

    def assign(self, cpu: npt.NDArray[np.int64], t: Times, t_end: Times) -> npt.NDArray[np.int64]:
        """Lanes of the calls that follow those of earlier assignments.

        Args:
            cpu: on which each call ran.
            t: when it began, ns; sorted.
            t_end: when it ended.
        """
        lanes = np.zeros(len(t), dtype=np.int64)
        by_cpu = np.argsort(cpu, kind="stable")
        firsts = np.flatnonzero(np.diff(cpu[by_cpu], prepend=-1))
        for rows in np.split(by_cpu, firsts[1:]) if len(by_cpu) else []:
            lanes[rows] = self._of_cpu(int(cpu[rows[0]]), t[rows], t_end[rows])
        return lanes

    def _of_cpu(self, cpu: int, t: Times, t_end: Times) -> npt.NDArray[np.int64]:
        stacks = self._open.setdefault(cpu, [[]])
        before = max((ends[0] for ends in stacks if ends), default=int(t[0]))
        latest = np.maximum.accumulate(np.concatenate(([before], t_end)))
        alone = t >= latest[:-1]
        alone[:-1] &= t[1:] >= latest[1:-1]
        alone[-1] = False  # the next call may begin within it
        lanes = np.zeros(len(t), dtype=np.int64)
        for row in np.flatnonzero(~alone).tolist():
            lanes[row] = _lane_of(stacks, int(t[row]), int(t_end[row]))
        return lanes


def _lane_of(stacks: list[list[int]], t: int, t_end: int) -> int:
    """The first lane that is free or whose innermost call ends no earlier."""
    for lane, ends in enumerate(stacks):
        while ends and ends[-1] <= t:
            ends.pop()
        if not ends or ends[-1] >= t_end:
            ends.append(t_end)
            return lane
    if len(stacks) == MOST_LANES:
        return NO_LANE
    stacks.append([t_end])
    return len(stacks) - 1
