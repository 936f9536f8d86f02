"""The story of one address: who had it, where each use came from, why the tree was reached.

The calls of the address' domain are replayed, and stopped before and after each call that took or
gave back the page frame: the counters' steps between the two tell which way the call went. What a
trace itself says, that an allocation reached the tree or did not, goes before the replay's word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova import _core
from iova.errors import IovaError
from iova.events import FIRST_INSIDE_OP, Flag, Op
from iova.lab.explain_facts import Facts, of_domain, whole

#: A story shows so many chapters of its beginning and as many of its end.
SHOWN: Final = 10
#: Between two calls of a story the replay is fed at most this many rows at a time.
_CHUNK: Final = 1 << 20

_TREE: Final = "the tree"
_SOME_MAGAZINE: Final = "a magazine, the replay does not know which"
_WHERE: Final = {
    "hits_loaded": "the CPU's loaded magazine",
    "hits_previous": "the CPU's previous magazine",
    "hits_depot": "a magazine from the depot",
}


@dataclass(frozen=True)
class Chapter:
    """One allocation or free of the range."""

    t_ns: int  #: of the call, by the trace's clock
    cpu: int
    op: str  #: ``alloc`` or ``free``
    pages: int
    slot: int | None
    domain: int
    where: str  #: it came from, or went to
    steps: int = 0  #: nodes walked in the tree
    why: str = ""  #: the tree was reached


@dataclass(frozen=True)
class Story:
    """All uses of one page frame as a range's first; ``chapters`` are the first and the last."""

    pfn: int
    granule: int
    domain: int
    other_domains: tuple[int, ...]  #: in which a range begins at the same page frame as well
    calls: int  #: allocations and frees
    allocations: int
    recycled: int  #: allocations that a magazine served
    cpus: tuple[int, ...]  #: that had it, rising
    moved: int  #: allocations on another CPU than the free before
    wheres: tuple[tuple[str, int], ...]  #: where allocations came from, most often first
    whys: tuple[tuple[str, int], ...]  #: why the tree was reached, most often first
    elsewhere: int  #: allocations to which the replay gave another page frame than the trace
    ending: str  #: what has become of it at the end of the trace
    chapters: tuple[Chapter, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["wheres"], values["whys"] = dict(self.wheres), dict(self.whys)
        return values | {"chapters": [vars(chapter) for chapter in self.chapters]}


def parse_address(text: str, granule: int) -> int:
    """The page frame that ``0x...`` (an address in bytes) or ``pfn:N`` names.

    Raises:
        IovaError: it is neither.
    """
    match = re.fullmatch(r"(pfn:)?(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})", text)
    if match is None or (not match[1] and not match[2].lower().startswith("0x")):
        raise IovaError(
            f"--address {text}: give an address in bytes, as in 0xfff7e000, or a page frame, as in"
            " pfn:1048446 or pfn:0xffffe"
        )
    number = int(match[2], 16 if match[2].lower().startswith("0x") else 10)
    pfn = number if match[1] else number // granule
    if pfn >= 1 << 64:
        raise IovaError(f"--address {text}: is beyond 64 bits")
    return pfn


def story_of(facts: Facts, pfn: int) -> Story:
    """Tell one page frame's story, in the domain that uses it most.

    Raises:
        IovaError: no range of the trace begins there.
    """
    uses = facts.ranges.filter(pl.col("pfn") == pfn)["domain"].value_counts(sort=True)
    if uses.is_empty():
        raise IovaError(_nothing_there(facts, pfn))
    domain, *others = uses["domain"].to_list()
    # Counters are summed over domains, so the story's own is looked at alone.
    alone = replace(facts, trace=of_domain(facts.trace, domain))
    told, elsewhere = _tell(alone, _places_of(alone, pfn), pfn)
    allocations = [chapter for chapter in told if chapter.op == "alloc"]
    return Story(
        pfn=pfn,
        granule=facts.granule(domain),
        domain=domain,
        other_domains=tuple(sorted(others)),
        calls=len(told),
        allocations=len(allocations),
        recycled=sum(not chapter.why and chapter.where != _TREE for chapter in allocations),
        cpus=tuple(sorted({chapter.cpu for chapter in told})),
        moved=sum(a.op == "free" and b.op == "alloc" and a.cpu != b.cpu for a, b in pairwise(told)),
        wheres=_counted(chapter.where for chapter in allocations),
        whys=_counted(chapter.why for chapter in allocations if chapter.why),
        elsewhere=elsewhere,
        ending=_ending(alone, pfn),
        chapters=tuple(told if len(told) <= 2 * SHOWN else told[:SHOWN] + told[-SHOWN:]),
    )


def _ending(facts: Facts, pfn: int) -> str:
    last = facts.ranges.filter(pl.col("pfn") == pfn).row(-1, named=True)
    if last["freed"]:
        return "free at the end"
    stuck = facts.stuck.filter(pl.col("row") == last["row"])
    if stuck.is_empty():
        return "in use at the end"
    unmapped = stuck["unmap_t"][0]
    if unmapped is None:
        return "never freed, though by its age it should have been"
    return f"unmapped at {unmapped / 1e9:.6f} s and never freed: it is lost"


def _counted(words: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(words).most_common())


def _calls(facts: Facts) -> pl.DataFrame:
    """The rows that a replay is fed, numbered as in the event table."""
    replayed = (pl.col("op") < FIRST_INSIDE_OP) | (pl.col("op") == int(Op.RECLAIM))
    return facts.trace.events.with_row_index("row").filter(replayed)


def _places_of(facts: Facts, pfn: int) -> npt.NDArray[np.int64]:
    """Places, among the rows that a replay is fed, of the calls on a page frame."""
    ranges = facts.ranges.filter(pl.col("pfn") == pfn)
    event_rows = pl.concat([ranges["row"], ranges["free_row"].drop_nulls()])
    return np.flatnonzero(_calls(facts)["row"].is_in(event_rows.implode()).to_numpy())


def _nothing_there(facts: Facts, pfn: int) -> str:
    inside = facts.ranges.filter((pl.col("pfn") < pfn) & (pl.col("pfn") + pl.col("size") > pfn))
    told = f"no range of the trace begins at page frame {pfn:#x}"
    if inside.height:
        first, pages = int(inside["pfn"][0]), int(inside["size"][0])
        return f"{told}; one of {pages} pages begins at pfn:{first:#x} and covers it"
    if facts.ranges.is_empty():
        return f"{told}: it has no ranges"
    lowest, highest = whole(facts.ranges["pfn"].min()), whole(facts.ranges["pfn"].max())
    return f"{told}; its ranges begin from pfn:{lowest:#x} to pfn:{highest:#x}"


# --------------------------------------------------------------------------------- telling


def _tell(facts: Facts, places: npt.NDArray[np.int64], pfn: int) -> tuple[list[Chapter], int]:
    """Replay up to the last of the calls; the chapters, and addresses that came out different."""
    source, events = facts.source, _calls(facts)[places]
    core = _core.Replay(
        [facts.design.make() for _ in source.domains],
        [(d.granule, d.start) for d in source.domains],
        possible=source.possible,
        online=source.online,
        classes=facts.classes,
        count_steps=True,
    )
    told, elsewhere, done = [], 0, 0
    for place, call in zip(places.tolist(), events.iter_rows(named=True), strict=True):
        for piece in _pieces(source.columns, done, place):
            core.feed(piece)
        core.advance(int(source.columns["t"][place]))  # jobs that are due come before the call
        size_class = _size_class(int(call["size"]), facts.classes)
        before = core.counters(size_class)
        result = np.zeros(1, dtype=np.uint64)
        core.feed({name: column[place : place + 1] for name, column in source.columns.items()},
                  result)  # fmt: skip
        done = place + 1
        chapter = _chapter(facts, call, before, core.counters(size_class))
        elsewhere += chapter.op == "alloc" and int(result[0]) != pfn
        told.append(chapter)
    return told, elsewhere


def _pieces(
    columns: dict[str, npt.NDArray[Any]], first: int, last: int
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    for start in range(first, last, _CHUNK):
        end = min(start + _CHUNK, last)
        yield {name: column[start:end] for name, column in columns.items()}


def _size_class(pages: int, classes: int) -> int:
    order = (pages - 1).bit_length()
    return order if order < classes else _core.BEYOND_CLASSES


def _chapter(
    facts: Facts, call: dict[str, Any], before: dict[str, int], after: dict[str, int]
) -> Chapter:
    grew = {name: after[name] - before[name] for name in after}
    is_alloc = call["op"] == int(Op.ALLOC)
    where = _origin(facts, call, grew) if is_alloc else _fate(grew)
    reached = is_alloc and where == _TREE
    return Chapter(
        t_ns=call["t"],
        cpu=call["cpu"],
        op="alloc" if is_alloc else "free",
        pages=call["size"],
        slot=call["slot"],
        domain=call["domain"],
        where=where,
        steps=grew["tree_steps"] if reached else 0,
        why=_reason(facts, call, grew, before) if reached else "",
    )


def _origin(facts: Facts, call: dict[str, Any], grew: dict[str, int]) -> str:
    """Where an allocation came from."""
    replayed = next((where for counter, where in _WHERE.items() if grew[counter]), _TREE)
    if not facts.tells_of_tree:
        return replayed
    if call["flags"] & int(Flag.REACHED_TREE):
        return _TREE
    return _SOME_MAGAZINE if replayed == _TREE else replayed


def _reason(
    facts: Facts, call: dict[str, Any], grew: dict[str, int], before: dict[str, int]
) -> str:
    """Why an allocation reached the tree."""
    if call["flags"] & int(Flag.RAW):
        return "the call goes past the caches"
    if call["size"] > facts.largest_cached:
        return "its size is beyond the caches"
    if not grew["tree_allocations"]:
        return "recorded so; the replay, in another order, had one cached"
    if before["depot"]:
        return "what was cached lay above the limit of the call"
    if before["cached"]:
        return "the CPU's magazines had none to give, the depot was empty; others had some"
    return "no range of this size was cached anywhere"


def _fate(grew: dict[str, int]) -> str:
    """Where a free went."""
    if grew["pushed"]:
        return "a magazine of the CPU; a full one went to the depot"
    if grew["tree_frees"] and grew["puts"]:
        return f"a magazine of the CPU; {grew['tree_frees']} others went to the tree"
    if grew["puts"]:
        return "a magazine of the CPU"
    return _TREE if grew["tree_frees"] else "nowhere: not allocated in the replay"
