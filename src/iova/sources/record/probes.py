"""What is probed, and how it is said to a kernel.

A probe is a function, entry or return, and the arguments to fetch, each of a stated type, for
kernels differ in what they take as default. Offsets of members come from the kernel's BTF. There
are three ways to put a probe:

- fprobe events (6.5 and later): nothing is lost in nested interrupts, and a return can fetch the
  arguments of its call;
- breakpoints past the function's hook and at its exits (before, x86-64);
- at the function's start and with return probes, if the kernel's text cannot be read: then calls
  in nested interrupts can be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iova.sources.record.btf import Types
from iova.sources.record.errors import RecordError

#: Where the first arguments of a call are on x86-64.
REGISTERS: Final = ("%di", "%si", "%dx", "%cx", "%r8", "%r9")

#: Returns of a function that can be awaited at once.
RETURNS_AT_ONCE: Final = 64

SIZE_CLASSES: Final = 6


@dataclass(frozen=True)
class Probe:
    """One event: ``$1`` stands for the first argument, ``$ret`` for what is returned."""

    name: str
    function: str
    fetch: tuple[str, ...] = ()
    at_return: bool = False
    #: What a return can fetch only where the call's arguments are still known.
    fetch_of_call: tuple[str, ...] = ()
    needed: bool = False  #: without it there is no recording


@dataclass(frozen=True)
class Layout:
    """What BTF says of the allocator; None: not known."""

    depot_lengths: tuple[str, ...] = ()  #: to fetch, from the domain in ``$1``
    range_ends: tuple[int, int] | None = None  #: of struct iova: lowest page, highest page
    magazine_size: int | None = None
    worker: tuple[int, int] | None = None  #: from a depot's worker: to its domain, to its length
    stride: int | None = None  #: bytes of an rcache
    device_use: tuple[str, ...] = ()  #: to fetch from a domain in ``$1`` and a device in ``$4``
    cookie_to_iovad: int | None = None
    unknown: tuple[str, ...] = ()  #: in words


def layout_of(types: Types | None) -> Layout:
    """Find the members that probes fetch."""
    if types is None:
        return Layout(unknown=("the kernel tells no types (BTF): depot lengths and tree ranges are"
                               " not recorded",))  # fmt: skip
    unknown = []
    rcaches = types.offset("iova_domain", "rcaches")
    length = types.offset("iova_rcache", "depot_size")
    stride = types.size("iova_rcache")
    depots: tuple[str, ...] = ()
    if rcaches is not None and length is not None and stride is not None:
        depots = tuple(
            f"d{order}=+{length + order * stride}(+{rcaches}($1)):u16"
            for order in range(SIZE_CLASSES)
        )
    else:
        unknown.append("where a depot keeps its length is not known: lengths are null")
    low, high = types.offset("iova", "pfn_lo"), types.offset("iova", "pfn_hi")
    if low is None or high is None:
        unknown.append("where a range keeps its ends is not known: tree ranges are not recorded")
    work, owner = types.offset("iova_rcache", "work"), types.offset("iova_rcache", "iovad")
    return Layout(
        depot_lengths=depots,
        range_ends=(low, high) if low is not None and high is not None else None,
        magazine_size=types.offset("iova_magazine", "size"),
        worker=(owner - work, length - work)
        if work is not None and owner is not None and length is not None
        else None,
        stride=stride,
        device_use=_device_use(types),
        cookie_to_iovad=types.offset("iommu_dma_cookie", "iovad"),
        unknown=tuple(unknown),
    )


def _device_use(types: Types) -> tuple[str, ...]:
    cookie = types.offset("iommu_domain", "iova_cookie")
    iovad = types.offset("iommu_dma_cookie", "iovad")
    granule = types.offset("iova_domain", "granule")
    start = types.offset("iova_domain", "start_pfn")
    name = types.offset("device", "kobj.name")
    if None in (cookie, iovad, granule, start, name) or iovad is None:
        return ()
    return (
        f"cookie=+{cookie}($1):x64",
        f"granule=+{iovad + (granule or 0)}(+{cookie}($1)):x64",
        f"start=+{iovad + (start or 0)}(+{cookie}($1)):x64",
        f"dev=+0(+{name}($4)):string",
    )


def probes_of(layout: Layout) -> list[Probe]:
    """Everything that is probed on a kernel of this layout, the needed first."""
    depots = layout.depot_lengths
    probes = [
        Probe("alloc_fast", "alloc_iova_fast", ("iovad=$1:x64", "size=$2:u32", "limit=$3:x64",
              "flush=$4:u8", *depots), needed=True),
        Probe("alloc_fast_ret", "alloc_iova_fast", ("pfn=$ret:x64",), True,
              ("iovad=$1:x64", "size=$2:u32"), needed=True),
        Probe("free_fast", "free_iova_fast", ("iovad=$1:x64", "pfn=$2:x64", "size=$3:u32",
              *depots), needed=True),
        Probe("free_fast_ret", "free_iova_fast", (), True, ("iovad=$1:x64", "pfn=$2:x64")),
        Probe("b_init", "init_iova_domain", ("iovad=$1:x64", "granule=$2:x64", "start=$3:x64")),
        Probe("b_resv", "reserve_iova", ("iovad=$1:x64", "lo=$2:x64", "hi=$3:x64")),
        Probe("tree_alloc", "alloc_iova", ("iovad=$1:x64", "size=$2:u32", "limit=$3:x64",
              "align=$4:u8")),
        Probe("tree_free", "free_iova", ("iovad=$1:x64", "pfn=$2:x64")),
        Probe("free_cpu_cached", "free_cpu_cached_iovas", ("cpu=$1:u32", "iovad=$2:x64")),
        Probe("cpuhp_dead", "iova_cpuhp_dead", ("cpu=$1:u32",)),
        Probe("put_domain", "put_iova_domain", ("iovad=$1:x64",)),
        Probe("fq_timeout", "fq_flush_timeout"),
    ]  # fmt: skip
    if layout.range_ends:
        low, high = layout.range_ends
        probes += [
            Probe("tree_alloc_ret", "alloc_iova", ("iova=$ret:x64", f"lo=+{low}($ret):x64",
                  f"hi=+{high}($ret):x64"), True, ("iovad=$1:x64",)),
            Probe("tree_remove", "remove_iova", ("iovad=$1:x64", f"lo=+{low}($2):x64",
                  f"hi=+{high}($2):x64")),
        ]  # fmt: skip
    if layout.magazine_size is not None:
        fetch = ("iovad=$2:x64", f"n=+{layout.magazine_size}($1):u32")
        probes.append(Probe("mag_free_pfns", "iova_magazine_free_pfns", fetch))
    if layout.worker:
        domain, length = layout.worker
        of_worker = ("work=$1:x64", f"iovad={domain:+d}($1):x64", f"depot={length:+d}($1):u32")
        probes.append(Probe("depot_work", "iova_depot_work_func", of_worker))
    return probes


def device_probe(layout: Layout) -> Probe | None:
    """What ties domains to devices, from who asks for addresses; None: it cannot be fetched."""
    if not layout.device_use:
        return None
    return Probe("dev_use", "iommu_dma_alloc_iova", layout.device_use)


# ------------------------------------------------------------------------- how it is said


def as_fprobe(probe: Probe, group: str) -> str:
    """The event's definition on a kernel that has fprobe events."""
    fetch = (*probe.fetch_of_call, *probe.fetch)
    kind, place = ("f", probe.function)
    if probe.at_return:
        kind, place = f"f{RETURNS_AT_ONCE}", f"{probe.function}%return"
    said = " ".join((f"{kind}:{group}/{probe.name}", place, *fetch))
    return _arguments(said, "$arg", "$retval")


def as_breakpoint(probe: Probe, group: str, offset: int, part: str | None = None) -> str:
    """The event's definition so many bytes into its function, or into a part of it."""
    place = f"{part or probe.function}+{offset}"
    said = " ".join((f"p:{group}/{probe.name}", place, *probe.fetch))
    for number, register in enumerate(REGISTERS, 1):
        said = said.replace(f"${number}", register)
    return said.replace("$ret", "%ax")


def as_kprobe(probe: Probe, group: str) -> str:
    """The event's definition at the function's start, or as a return probe."""
    kind = "r" if probe.at_return else "p"
    said = " ".join((f"{kind}:{group}/{probe.name}", probe.function, *probe.fetch))
    return _arguments(said, "$arg", "$retval")


def _arguments(said: str, argument: str, returned: str) -> str:
    for number in range(1, len(REGISTERS) + 1):
        said = said.replace(f"${number}", f"{argument}{number}")
    return said.replace("$ret:", f"{returned}:").replace("($ret)", f"({returned})")


def boot_words() -> str:
    """Kernel words under which the births of domains at boot are recorded.

    They need nothing that differs between kernels: the event's types are stated, and offsets are
    not used.
    """
    births = [probe for probe in probes_of(Layout()) if probe.name in ("b_init", "b_resv")]
    said = []
    for probe in births:
        fetch = _arguments(",".join(probe.fetch), "$arg", "$retval")
        said.append(f"p:{probe.name},{probe.function},{fetch}")
    return f'trace_clock=mono kprobe_event="{";".join(said)}"'


def refuse_missing(function: str) -> RecordError:
    """The error of a kernel without a function that is needed."""
    return RecordError(
        f"this kernel has no function {function} that could be probed: it was built without the"
        " IOVA allocator (CONFIG_IOMMU_IOVA), or its compiler inlined the function. Record on a"
        " kernel that has it (grep iova /proc/kallsyms), or with --level maps."
    )
