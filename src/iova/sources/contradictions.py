"""Whether a trace can have happened: each range has one owner at a time."""

from __future__ import annotations

from typing import Final

import polars as pl

from iova.events import Op
from iova.sources import Loaded
from iova.words import counted

#: As few, or a smaller share of the calls, may come of a lost event or an order that is not known.
FEWEST: Final = 10
LEAST_SHARE: Final = 0.01


def contradiction_of(loaded: Loaded) -> str | None:
    """What a trace says that no allocator does, in a sentence; None: too little to mention.

    Allocations of live ranges are counted when a text is imported. Frees of what was never
    allocated count for domains whose beginning is in the trace.
    """
    trace = loaded.trace
    born = [domain.domain for domain in trace.info.domains if domain.born]
    is_free = pl.col("op") == int(Op.FREE)
    calls, frees = trace.events.select(
        calls=(is_free | (pl.col("op") == int(Op.ALLOC))).sum(),
        frees=(is_free & pl.col("slot").is_null() & pl.col("domain").is_in(born)).sum(),
    ).row(0)
    allocs = loaded.report.pairing.allocs_of_live
    if allocs + frees < max(FEWEST, LEAST_SHARE * calls):
        return None
    told = [
        f"{counted(allocs, 'allocation')} returned a range that was live" if allocs else "",
        f"{counted(frees, 'free')} gave back what was not allocated" if frees else "",
    ]
    return (
        f"the trace contradicts itself: of {counted(calls, 'call')}"
        f" {' and '.join(filter(None, told))}; what is said of it can not be trusted"
    )
