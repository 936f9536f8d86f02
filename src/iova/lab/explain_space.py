"""Causes that lie in who shares the space: 32-bit neighbours, and domains that do nothing."""

from __future__ import annotations

from typing import Final

import polars as pl

from iova.events import Flag, Op
from iova.lab.explain_facts import Facts
from iova.lab.explain_model import WORTH_TELLING, Evidence, Finding, Harm

#: Memory in idle domains below this is nobody's trouble: a single huge page.
IDLE_KIB: Final = 2048

_ALLOC = pl.col("op") == int(Op.ALLOC)
_4_GIB: Final = 1 << 32


# ------------------------------------------------------------------------ 32-bit neighbours


def neighbour_32bit(facts: Facts) -> Finding | None:
    """A device that reaches 4 GiB only shares its domain with one that fills them."""
    calls = facts.trace.events.filter(_ALLOC | (pl.col("op") == int(Op.FREE)))
    calls = calls.with_columns(retried=_is_retried(), low=_is_low(facts)).filter(_ALLOC)
    failed = pl.col("pfn").is_null() & pl.col("t_end").is_not_null()
    # Who can go above 4 GiB keeps the flush of the caches for the second try.
    only_low = pl.col("low") & ((pl.col("flags") & int(Flag.FLUSH_RETRY)) != 0)
    high = ~pl.col("low") | pl.col("retried")
    by_domain = calls.group_by("domain").agg(
        only_low=only_low.sum(), high=high.sum(), refused=(only_low & failed).sum()
    )
    shared = by_domain.filter((pl.col("only_low") > 0) & (pl.col("high") > 0))
    if shared.is_empty():
        return None
    of_shared = calls.filter(pl.col("domain").is_in(shared["domain"].implode()))
    refused = int(shared["refused"].sum())
    tried = of_shared.filter(pl.col("low") & pl.col("retried"))
    vain = of_shared.filter(pl.col("low") & failed)
    share = _time(vain) / max(_time(calls), 1)
    if not refused and share < WORTH_TELLING:
        return None
    return Finding(
        cause="32-bit-neighbour",
        verdict="A device of 32 address bits shares a domain with one that fills the space below"
        " 4 GiB"
        + (
            f": {refused:,} of its requests failed." if refused else ": searches there are in vain."
        ),
        harm=Harm.FAILS if refused else Harm.SLOWS,
        cost=refused if refused else share,
        evidence=(
            Evidence("allocations below 4 GiB or not at all", int(shared["only_low"].sum())),
            Evidence("of these failed", refused),
            Evidence("tried below 4 GiB in vain, then above", tried.height),
            Evidence("of the time of allocations, in vain", share, "share"),
            Evidence("domains that both kinds share", shared.height),
        ),
        remedy="Keep the others above 4 GiB: iommu.forcedac=1. Or give the 32-bit device a domain"
        " of its own: another slot, so that it is in an IOMMU group of its own.",
        settle="Record again with iommu.forcedac=1: only the 32-bit device should ask below 4 GiB.",
        certainty="measured: limits and results are in the trace",
    )


def _is_retried() -> pl.Expr:
    follows = (pl.col("flags").shift(-1) & int(Flag.ONLY_IF_PREVIOUS_FAILED)) != 0
    return follows.fill_null(False)


def _is_low(facts: Facts) -> pl.Expr:
    """Whether a call's limit is below 4 GiB, by the granule of its domain."""
    granule = pl.col("domain").replace_strict(
        {d.domain: d.granule for d in facts.trace.info.domains},
        default=facts.granule(),
        return_dtype=pl.UInt64,
    )
    return pl.col("limit") < pl.lit(_4_GIB, pl.UInt64) // granule


def _time(calls: pl.DataFrame) -> int:
    return int((calls["t_end"] - calls["t"]).sum() or 0)


# ----------------------------------------------------------------------------- idle domains


def idle_domains(facts: Facts) -> Finding | None:
    """Domains that hardly do anything have magazines for every CPU all the same."""
    each = facts.first_magazines
    made = facts.trace.events.filter(pl.col("op") == int(Op.MAKE_CACHES))["domain"].unique()
    calls = facts.trace.events.filter(_ALLOC).group_by("domain").len()
    counts = dict(calls.iter_rows())
    alive = [domain for domain in made.to_list() if domain not in facts.destroyed]
    # Who calls less often than it has magazines would do as well with none.
    idle = [domain for domain in alive if counts.get(domain, 0) < each]
    kib = len(idle) * each * facts.magazine_bytes / 1024
    if kib < IDLE_KIB:
        return None
    return Finding(
        cause="idle-domains",
        verdict=f"{len(idle)} of {len(alive)} domains hardly allocate, and hold magazines for"
        f" {facts.source.possible} CPUs each.",
        harm=Harm.HOLDS,
        cost=kib,
        evidence=(
            Evidence("domains with caches", len(alive)),
            Evidence("with fewer allocations than magazines", len(idle)),
            Evidence("magazines that each was born with", each),
            Evidence("memory in them", kib, "KiB"),
            Evidence("allocations of all of them", sum(counts.get(one, 0) for one in idle)),
        ),
        remedy="Run Linux 7.3 or later, which makes magazines at first use. Or, for devices that"
        " are trusted, passthrough: iommu.passthrough=1, or with the driver unbound: echo identity"
        " > /sys/kernel/iommu_groups/N/type.",
        settle="iommu_iova_magazine in /proc/slabinfo: it should count about as many.",
        certainty="computed: the design makes them when the domain is made",
    )
